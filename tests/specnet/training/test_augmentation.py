"""Augmentations do what their names say, by as much as they say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from specnet.errors import ConfigurationError
from specnet.training import AUGMENTATIONS, Augmentation, create_augmentation

pytestmark = pytest.mark.usefixtures("one_thread")
POINTS = 201


def _peaks(batch: int, centre: float = 100.0, width: float = 4.0) -> Tensor:
    return torch.exp(-0.5 * ((torch.arange(POINTS) - centre) / width) ** 2).repeat(batch, 1)


def _centres(spectra: Tensor) -> Tensor:
    return (spectra * torch.arange(POINTS)).sum(dim=1) / spectra.sum(dim=1)


def _apply(augmentation: Augmentation, spectra: Tensor, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return augmentation(spectra, torch.full((spectra.shape[1],), 0.1))


def test_no_strength_changes_nothing() -> None:
    spectra = _peaks(3)
    assert torch.equal(create_augmentation("none")(spectra), spectra)


def test_every_part_is_drawn_for_every_spectrum_and_follows_the_seed() -> None:
    spectra = _peaks(4)
    for name, augmentation in AUGMENTATIONS.items():
        disturbed = _apply(augmentation, spectra)
        assert disturbed.shape == spectra.shape
        assert disturbed.dtype == torch.float32
        assert torch.equal(_apply(augmentation, spectra), disturbed)
        if name != "none":
            assert not torch.equal(disturbed[0], disturbed[1])
            assert not torch.equal(_apply(augmentation, spectra, seed=1), disturbed)
    assert torch.equal(spectra, _peaks(4))  # the input is left alone


def test_a_shift_moves_a_peak_by_the_points_that_were_drawn() -> None:
    moved = _apply(Augmentation(shift_points=3.0), _peaks(6))
    torch.manual_seed(0)
    torch.randn(6, 1)  # drawn for the stretch
    drawn = 3.0 * torch.randn(6, 1)[:, 0]
    # reading at x + s moves what was at x to x - s
    torch.testing.assert_close(_centres(moved), 100.0 - drawn, atol=0.02, rtol=0)


def test_a_stretch_leaves_the_middle_and_moves_the_rest_in_proportion() -> None:
    stretch = Augmentation(stretch=0.01)
    torch.testing.assert_close(_centres(_apply(stretch, _peaks(5, 100.0))), torch.full((5,), 100.0), atol=0.01, rtol=0)
    left, right = _centres(_apply(stretch, _peaks(5, 50.0))), _centres(_apply(stretch, _peaks(5, 150.0)))
    torch.testing.assert_close(left - 50.0, 150.0 - right, atol=0.02, rtol=0)
    assert (left - 50.0).abs().max() > 0.2


def test_ends_are_repeated_and_not_invented() -> None:
    ramp = torch.arange(float(POINTS)).repeat(20, 1)
    moved = _apply(Augmentation(shift_points=10.0), ramp)
    assert moved.min() >= 0
    assert moved.max() <= POINTS - 1


def test_a_gain_is_lognormal_and_keeps_the_shape() -> None:
    spectra = _peaks(4000) + 1.0
    gains = _apply(Augmentation(scale=0.2), spectra) / spectra
    torch.testing.assert_close(gains, gains[:, :1].expand_as(gains))
    logarithms = gains[:, 0].log()
    assert float(logarithms.mean()) == pytest.approx(0.0, abs=0.015)
    assert float(logarithms.std()) == pytest.approx(0.2, rel=0.05)


def test_noise_is_white_with_a_uniformly_drawn_strength() -> None:
    noise = _apply(Augmentation(noise=0.3), torch.zeros(4000, POINTS))
    strengths = noise.std(dim=1)
    assert 0 <= float(strengths.min()) < 0.01
    assert float(strengths.max()) == pytest.approx(0.3, rel=0.15)
    assert float(strengths.mean()) == pytest.approx(0.15, rel=0.05)
    neighbours = (noise[:, 1:] * noise[:, :-1]).mean() / noise.square().mean()
    assert abs(float(neighbours)) < 0.01


def test_the_background_is_a_parabola_of_the_announced_size() -> None:
    background = _apply(Augmentation(slope=0.5), torch.zeros(4000, POINTS))
    third_differences = background.double().diff(n=3, dim=1)
    assert third_differences.abs().max() < 1e-5
    slopes = (background[:, -1] - background[:, 0]) / 2
    assert float(slopes.std()) == pytest.approx(0.5, rel=0.05)
    assert abs(float(background.mean())) < 0.02


def test_half_of_the_spectra_get_less_than_half_of_another_one() -> None:
    """Every spectrum of the batch has a point of its own, where it is one and the others are nothing."""
    batch = POINTS
    mixed = _apply(Augmentation(mixture=0.4), torch.eye(batch, POINTS))
    own = mixed.diagonal()
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(batch))
    assert ((mixed > 0).sum(dim=1) <= 2).all(), "one other spectrum at most"
    assert 0.6 <= float(own.min()) < 0.65
    assert 0.35 < float((own < 1).float().mean()) < 0.65
    assert float((1 - own[own < 1]).mean()) == pytest.approx(0.2, rel=0.15)


def test_a_line_that_is_broadened_is_wider_and_has_the_same_area_and_place() -> None:
    spectra = _peaks(2000)
    broad = _apply(Augmentation(broadening=6.0), spectra)
    torch.testing.assert_close(broad.sum(dim=1), spectra.sum(dim=1), rtol=1e-4, atol=0)
    torch.testing.assert_close(_centres(broad), _centres(spectra), atol=0.01, rtol=0)
    offset = (torch.arange(POINTS) - 100.0) ** 2
    added = ((broad * offset).sum(dim=1) / broad.sum(dim=1) - 4.0**2).clamp(min=0).sqrt()
    assert float(added.min()) < 0.3
    assert float(added.max()) == pytest.approx(6.0, rel=0.1)
    assert float(added.mean()) == pytest.approx(3.0, rel=0.1)


def test_broadening_repeats_the_ends_and_fits_short_spectra() -> None:
    flat = torch.ones(8, POINTS)
    torch.testing.assert_close(_apply(Augmentation(broadening=5.0), flat), flat)
    assert _apply(Augmentation(broadening=5.0), torch.ones(8, 6)).shape == (8, 6)


def test_a_response_is_a_smooth_gain_of_the_announced_size() -> None:
    gains = _apply(Augmentation(response=0.2), torch.ones(4000, POINTS)).log().double()
    assert gains.diff(n=4, dim=1).abs().max() < 1e-5, "a polynomial of degree 3"
    assert float(gains.std()) == pytest.approx(0.2, rel=0.05)
    assert abs(float(gains.mean())) < 0.01
    assert gains.std(dim=1).min() > 0.01, "no plain gain: that is what scale is for"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="unknown augmentation 'wild'; known: none, light, measured, strong, full"
    ):
        create_augmentation("wild")
