"""The noise of spectra is measured where it is, and not taken from their peaks."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from specnet.errors import ConfigurationError
from specnet.training import Augmentation
from specnet.training import augmentation as augmentations
from specnet.training.noise import augmentation_for, dataset_noise, noise_level

pytestmark = pytest.mark.usefixtures("one_thread")
N, POINTS = 600, 400


def _clean(width: float = 3.0) -> Tensor:
    """Spectra of ten peaks on a sloping background, each spectrum with heights of its own."""
    x = torch.arange(float(POINTS))
    lines = torch.stack([torch.exp(-0.5 * ((x - centre) / width) ** 2) for centre in range(20, POINTS, 40)])
    return torch.rand(N, len(lines)) @ lines * 5.0 + 0.01 * x


def _noisy(deviation: Tensor, width: float = 3.0) -> Tensor:
    torch.manual_seed(0)
    return _clean(width) + deviation * torch.randn(N, POINTS)


@pytest.mark.parametrize("deviation", [0.01, 0.1, 1.0])
def test_white_noise_under_peaks_is_measured(deviation: float) -> None:
    level = noise_level(_noisy(torch.full((POINTS,), deviation)))
    assert level.shape == (POINTS,)
    assert level.dtype == torch.float32
    torch.testing.assert_close(level.median(), torch.tensor(deviation), rtol=0.1, atol=0)


def test_the_level_follows_the_axis() -> None:
    deviation = torch.linspace(0.05, 0.5, POINTS)
    level = noise_level(_noisy(deviation))
    torch.testing.assert_close(level[40:-40], deviation[40:-40], rtol=0.2, atol=0)


def test_spectra_without_noise_have_little_and_constant_ones_none() -> None:
    assert float(noise_level(_clean(width=10.0)).max()) < 0.02
    assert torch.equal(noise_level(torch.ones(5, POINTS)), torch.zeros(POINTS))
    assert torch.equal(noise_level(torch.rand(5, 2)), torch.zeros(2))


def _dataset(spectra: Tensor) -> Dataset[tuple[Tensor, Tensor]]:
    data: Any = TensorDataset(spectra, torch.zeros(len(spectra), dtype=torch.int64))
    return cast("Dataset[tuple[Tensor, Tensor]]", data)


def test_a_dataset_is_measured_on_a_part_of_its_spectra() -> None:
    spectra = _noisy(torch.full((POINTS,), 0.2))
    level = dataset_noise(_dataset(spectra))
    torch.testing.assert_close(level.median(), torch.tensor(0.2), rtol=0.1, atol=0)
    assert dataset_noise(_dataset(spectra[:1])).shape == (POINTS,)


def test_noise_is_added_in_multiples_of_the_level() -> None:
    level = torch.linspace(0.0, 0.2, POINTS)
    torch.manual_seed(0)
    added = Augmentation(measured_noise=3.0)(torch.zeros(4000, POINTS), level)
    # strengths are uniform from 0 to 3 levels: their square is 3 on average
    torch.testing.assert_close(added.square().mean(dim=0).sqrt(), level * 3.0**0.5, rtol=0.1, atol=1e-6)
    strengths = added[:, 1:].div(level[1:]).std(dim=1)
    assert float(strengths.max()) == pytest.approx(3.0, rel=0.15)


def test_without_a_level_it_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs a level"):
        Augmentation(measured_noise=3.0)(torch.zeros(2, POINTS))


def test_a_named_augmentation_gets_the_level_of_its_spectra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(augmentations.AUGMENTATIONS, "measured_only", Augmentation(measured_noise=2.0))
    data = _dataset(_noisy(torch.full((POINTS,), 0.3)))
    torch.manual_seed(0)
    added = augmentation_for("measured_only", data)(torch.zeros(2000, POINTS))
    assert float(added.square().mean().sqrt()) == pytest.approx(0.3 * 2.0 / 3.0**0.5, rel=0.1)
    assert torch.equal(augmentation_for("none", data)(torch.ones(1, POINTS)), torch.ones(1, POINTS))
