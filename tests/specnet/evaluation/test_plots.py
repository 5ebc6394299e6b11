"""Figures are real PNG files with something on them; what they say is checked where it is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from support_cached_logits import make_cached

from specnet.calibration import calibrate
from specnet.errors import ModelError
from specnet.evaluation import DepthMaps, confusion_matrix, evaluate, plots, reliability
from specnet.evaluation.plots.depth_map import position_edges
from specnet.exits import route
from specnet.spectra import Quantity, SpectralAxis


@pytest.fixture(scope="module", params=[(1.2, 1.0, 1.0), (1.5,)], ids=["three exits", "one exit"])
def report(request: pytest.FixtureRequest) -> dict[str, Any]:
    held, test = (make_cached(seed=seed, n=200, evidence=request.param) for seed in (0, 1))
    return evaluate(test, calibrate(held), held, classes=list("abcdef"), split_by="")


def _is_drawn(path: Path) -> bool:
    image = imread(path)
    return image.shape[0] > 300 and image.shape[1] > 300 and float(image[..., :3].std()) > 0.02


def test_curves_and_shares(report: dict[str, Any], tmp_path: Path) -> None:
    assert _is_drawn(plots.plot_accuracy_against_macs(report, tmp_path / "new" / "curve.png"))
    assert _is_drawn(plots.plot_exit_shares(report, tmp_path / "shares.png"))
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["curve.png", "shares.png"]


def test_an_exit_that_costs_nothing_fits_a_logarithmic_axis(report: dict[str, Any], tmp_path: Path) -> None:
    free = report | {"exits": [report["exits"][0] | {"macs": 0.0}, *report["exits"][1:]]}
    assert _is_drawn(plots.plot_accuracy_against_macs(free, tmp_path / "curve.png"))


@pytest.mark.parametrize("n", [2, 40, 130])
def test_confusion_of_few_and_many_classes(n: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(n), 3)
    matrix = confusion_matrix(labels, np.where(rng.random(len(labels)) < 0.8, labels, 0), n)
    names = [f"a mineral with a name that is rather long {i}" for i in range(n)]
    assert _is_drawn(plots.plot_confusion(matrix, names, tmp_path / "confusion.png"))
    with pytest.raises(ModelError, match=rf"is \({n}, {n}\), got \(1, 1\)"):
        plots.plot_confusion(np.ones((1, 1), dtype=np.int64), names, tmp_path / "other.png")
    assert not (tmp_path / "other.png").exists()


@pytest.mark.parametrize("n", [1, 5])
def test_reliability_of_one_and_several(n: int, tmp_path: Path) -> None:
    cached = make_cached(seed=0, n=100, evidence=(1.0,) * n)
    probabilities = route(calibrate(cached).policy, cached.logits).all_probabilities
    diagrams = {f"exit {k}": reliability(p, cached.labels) for k, p in enumerate(probabilities)}
    assert _is_drawn(plots.plot_reliability(diagrams, tmp_path / "reliability.png"))
    with pytest.raises(ModelError, match="no reliability diagrams"):
        plots.plot_reliability({}, tmp_path / "none.png")


@pytest.mark.parametrize("n_spectra", [1, 20])
def test_depth_maps_under_spectra(n_spectra: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    axis = SpectralAxis(np.geomspace(400.0, 1800.0, 101), Quantity.RAMAN_SHIFT)
    depth = DepthMaps([rng.integers(0, 3, (n_spectra, 25)), np.zeros((n_spectra, 7), dtype=np.uint8)], [2, 0])
    spectra = rng.standard_normal((n_spectra, 101)).astype(np.float32)
    assert _is_drawn(plots.plot_depth_maps(depth, spectra, axis, tmp_path / "depth.png"))
    peaks = rng.random((n_spectra, 101)) < 0.3
    marked = plots.plot_depth_maps(depth, spectra, axis, tmp_path / "marked.png", peaks=peaks)
    assert _is_drawn(marked)
    assert marked.read_bytes() != (tmp_path / "depth.png").read_bytes()
    with pytest.raises(ModelError, match=rf"peaks are \({n_spectra}, 101\) as spectra are, got"):
        plots.plot_depth_maps(depth, spectra, axis, tmp_path / "other.png", peaks=peaks[:, :50])
    with pytest.raises(ModelError, match=rf"spectra are \({n_spectra}, 101\), got"):
        plots.plot_depth_maps(depth, spectra[:, :50], axis, tmp_path / "other.png")


def test_positions_divide_the_points_of_an_uneven_axis_evenly() -> None:
    axis = SpectralAxis(np.array([0.0, 1.0, 3.0, 7.0, 15.0]), Quantity.WAVELENGTH)
    np.testing.assert_allclose(position_edges(axis, 2), [0.0, 3.0, 15.0])
    np.testing.assert_allclose(position_edges(axis, 4), axis.values)
