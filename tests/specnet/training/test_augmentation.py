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
    return augmentation(spectra)


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


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="unknown augmentation 'wild'; known: none, light, strong"):
        create_augmentation("wild")
