"""Preprocessing and exit 0 are chosen by what they achieve on the training spectra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from specnet.datasets import SpectraTable, write_spectra
from specnet.errors import ConfigurationError
from specnet.preprocessing import suitable_pipelines
from specnet.spectra import Quantity, SpectralAxis
from specnet.training import preparation
from specnet.training.linear import bin_means
from specnet.training.preparation import Preparation, points_per_bin, prepare

pytestmark = pytest.mark.usefixtures("one_thread")
POINTS = 60
N = 160
Floats = NDArray[np.float64]


def _axis(points: int = POINTS) -> SpectralAxis:
    return SpectralAxis(np.linspace(1000.0, 1600.0, points), Quantity.WAVELENGTH, "nm")


def _write(path: Path, intensity: Floats, labels: NDArray[np.int64], n_classes: int = 2) -> Path:
    names = tuple(f"class {index}" for index in range(n_classes))
    table = SpectraTable(intensity.astype(np.float32), _axis(intensity.shape[1]), labels=labels, class_names=names)
    return write_spectra(path, table)


def _prepare(path: Path, labels: NDArray[np.int64], preprocessing: str = "auto", **options: Any) -> Preparation:
    return prepare(path, np.arange(len(labels)), labels, None, preprocessing=preprocessing, seed=0, **options)


def _levels() -> tuple[Floats, NDArray[np.int64]]:
    """One shape at two heights: whoever scales every spectrum has nothing left."""
    generator = np.random.default_rng(0)
    labels = np.arange(N) % 2
    shape = 100.0 + 50.0 * np.sin(np.arange(POINTS) / 5)
    gain = (1.0 + 0.3 * labels + 0.05 * generator.standard_normal(N))[:, None]
    # noise in proportion, lest the height be told from how much of it there is
    return gain * (shape + generator.standard_normal((N, POINTS))), labels.astype(np.int64)


def _products() -> tuple[Floats, NDArray[np.int64]]:
    """Reflectances whose classes differ by a product over two bands: linear in absorbance alone."""
    generator = np.random.default_rng(0)
    labels = np.arange(N) % 2
    first = generator.uniform(-2.0, 0.0, N)
    second = -2.0 - first + 0.3 * (labels - 0.5)
    exponent = np.full((N, POINTS), -0.5) + 0.005 * generator.standard_normal((N, POINTS))
    exponent[:, 10:25] += first[:, None] + 0.5
    exponent[:, 35:50] += second[:, None] + 0.5
    return 10.0**exponent, labels.astype(np.int64)


def test_heights_that_matter_call_for_autoscaling(tmp_path: Path) -> None:
    intensity, labels = _levels()
    said: list[str] = []
    prepared = _prepare(_write(tmp_path / "a.h5", intensity, labels), labels, stage=said.append)
    assert prepared.name == "autoscale"
    assert "absorbance" not in prepared.tried  # counts are no reflectance
    assert set(prepared.tried) == set(suitable_pipelines(_axis(), intensity))
    assert prepared.tried["autoscale"] > 0.95
    assert max(prepared.tried["snv"], prepared.tried["derivative"]) < 0.75
    assert len([sentence for sentence in said if "of unseen spectra" in sentence]) == len(prepared.tried)
    assert "exit 0 is" in said[-1]


def test_reflectances_that_multiply_call_for_absorbance(tmp_path: Path) -> None:
    intensity, labels = _products()
    prepared = _prepare(_write(tmp_path / "a.h5", intensity, labels), labels)
    assert set(prepared.tried) == set(suitable_pipelines(_axis(), intensity))
    others = [accuracy for name, accuracy in prepared.tried.items() if name != "absorbance"]
    assert prepared.tried["absorbance"] > 0.98 > max(others) + 0.05
    assert prepared.name == "absorbance"
    assert prepared.linear.accuracy > 0.98
    # what is handed on is what was fitted
    spectra = prepared.bound(intensity.astype(np.float32))
    np.testing.assert_allclose(spectra.mean(axis=0), 0.0, atol=1e-3)
    assert (prepared.linear.scores(spectra.astype(np.float64)).argmax(axis=1) == labels).mean() > 0.98


def test_a_named_preprocessing_is_compared_with_nothing(tmp_path: Path) -> None:
    intensity, labels = _levels()
    path = _write(tmp_path / "a.h5", intensity, labels)
    prepared = _prepare(path, labels, "snv")
    assert (prepared.name, prepared.tried) == ("snv", {})
    with pytest.raises(ConfigurationError, match="unknown preprocessing 'magic'"):
        _prepare(path, labels, "magic")


def test_a_preprocessing_that_spectra_cannot_go_through_is_out(tmp_path: Path) -> None:
    intensity, labels = _levels()
    intensity[3] = 7.0  # no spread to divide by
    said: list[str] = []
    prepared = _prepare(_write(tmp_path / "a.h5", intensity, labels), labels, stage=said.append)
    assert prepared.name == "autoscale"
    assert "snv" not in prepared.tried
    assert any(sentence.startswith("preprocessing snv is out: ") for sentence in said)


def test_too_few_spectra_get_the_usual_preprocessing(tmp_path: Path) -> None:
    intensity, labels = _levels()
    prepared = _prepare(_write(tmp_path / "a.h5", intensity[:4], labels[:4]), labels[:4])
    assert (prepared.name, prepared.tried) == ("snv", {})
    assert prepared.offsets.shape == (4, 2)


def test_spectra_beyond_the_sample_are_judged_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "LINEAR_SPECTRA", 60)
    monkeypatch.setattr(preparation, "COMPARED_SPECTRA", 23)  # so the other 100 come in five blocks
    intensity, labels = _levels()
    path = _write(tmp_path / "a.h5", intensity, labels, n_classes=3)  # one class has no spectrum
    prepared = _prepare(path, labels, "autoscale")
    assert prepared.offsets.shape == (N, 3)
    assert prepared.linear.out_of_fold.shape == (60, 3)
    chosen = np.flatnonzero([(row == prepared.linear.out_of_fold).all(axis=1).any() for row in prepared.offsets])
    np.testing.assert_array_equal(prepared.offsets[chosen], prepared.linear.out_of_fold)
    rest = np.setdiff1d(np.arange(N), chosen)
    assert len(rest) == 100
    features = bin_means(prepared.bound(intensity[rest].astype(np.float32)), prepared.linear.bin).astype(np.float64)
    expected = prepared.linear.scores(features)
    np.testing.assert_allclose(prepared.offsets[rest][:, :2], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(prepared.offsets[rest][:, 2], expected.min(axis=1), rtol=1e-4, atol=1e-4)
    assert (prepared.offsets.argmax(axis=1) == labels).mean() > 0.95


def test_rows_of_a_file_keep_their_order(tmp_path: Path) -> None:
    """Training spectra are every other row of the file; offsets follow them and not the file."""
    intensity, labels = _levels()
    path = _write(tmp_path / "a.h5", intensity, labels)
    rows = np.sort(np.random.default_rng(1).permutation(N)[:90])
    prepared = prepare(path, rows, labels[rows], None, preprocessing="autoscale", seed=0)
    assert prepared.offsets.shape == (90, 2)
    np.testing.assert_array_equal(prepared.offsets, prepared.linear.out_of_fold)
    assert (prepared.offsets.argmax(axis=1) == labels[rows]).mean() > 0.95


def test_long_axes_are_averaged_to_at_least_250_features() -> None:
    assert [points_per_bin(_axis(n)) for n in (60, 499, 500, 1700)] == [1, 1, 2, 6]


def test_a_calibration_part_of_the_files_own_judges_instead_of_cross_validation(tmp_path: Path) -> None:
    """In the training part the height of a spectrum follows its class; in new spectra a weak band alone does."""
    generator = np.random.default_rng(0)
    labels = np.arange(2 * N) % 2
    gain = 1.0 + np.where(np.arange(2 * N) < N, labels, generator.integers(0, 2, 2 * N))[:, None]
    shape = 100.0 + 50.0 * np.sin(np.arange(POINTS) / 5)
    band = np.exp(-0.5 * ((np.arange(POINTS) - 30) / 2) ** 2)
    intensity = gain * (shape + 3.0 * labels[:, None] * band + generator.standard_normal((2 * N, POINTS)))
    path = _write(tmp_path / "a.h5", intensity, labels)
    options: dict[str, Any] = {"preprocessing": "auto", "seed": 0}
    folds = prepare(path, np.arange(N), labels[:N], None, **options)
    unseen = prepare(path, np.arange(N), labels[:N], None, unseen=np.arange(N, 2 * N), **options)
    assert folds.tried["autoscale"] > 0.99
    assert unseen.tried["autoscale"] < 0.8
    assert unseen.name != "autoscale"
    assert unseen.linear.accuracy == unseen.linear.tried[unseen.linear.name] > 0.85
    assert unseen.offsets.shape == (N, 2)  # still from folds: what exits are added to must not have seen its spectrum
