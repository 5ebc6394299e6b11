from __future__ import annotations

import json

import numpy as np
import pytest

from specnet.datasets import SpectraFile, write_spectra
from specnet.datasets.plots import plot_classes
from specnet.datasets.report import report_spectra


@pytest.fixture
def look(make_table, tmp_path):
    def report(**fields):
        with SpectraFile(write_spectra(tmp_path / "spectra.h5", make_table(**fields))) as file:
            return report_spectra(file)

    return report


def test_a_sound_file_has_no_warnings_and_all_counts(look) -> None:
    report, _ = look(holdout=np.arange(120) // 12 % 3, group_by="sample_id")
    assert report.warnings == ()
    assert (report.n_spectra, report.n_points, report.groups) == (120, 50, {"sample_id": 30, "session_id": 2})
    assert [entry.n_spectra for entry in report.classes] == [40, 40, 40]
    assert sum(sum(entry.parts.values()) for entry in report.classes) == 120
    assert report.axis["uniform"]
    json.dumps(report.to_dict(), allow_nan=False)


def test_groups_on_both_sides_of_the_split(look) -> None:
    report, _ = look(holdout=np.arange(120) % 3)
    assert any("30 groups (sample_id) are on both sides" in warning for warning in report.warnings)


def test_copies_across_the_split_and_with_another_label(look, make_table) -> None:
    intensity = make_table().intensity.copy()
    intensity[[50, 119]] = intensity[0]
    report, statistics = look(intensity=intensity, holdout=np.arange(120) // 40, columns={})
    assert report.warnings[0] == (
        "2 spectra are exact copies of another one, 2 of them of one in another part of the split, 1 with another label"
    )
    assert statistics.first_copy[119] == 0


def test_saturated_and_constant_spectra(look, make_table) -> None:
    intensity = make_table().intensity.copy()
    intensity[3, 10:14] = 65_535
    intensity[4, [10, 20, 30]] = 65_535  # the same height three times is no plateau
    intensity[5] = 0
    report, _ = look(intensity=intensity)
    assert any(warning.startswith("1 spectra look saturated") and "65535" in warning for warning in report.warnings)
    assert any(warning.startswith("1 spectra are constant") for warning in report.warnings)


def test_uneven_empty_and_missing_labels(look) -> None:
    report, _ = look(labels=np.repeat([0, 1, -1], [100, 5, 15]))
    assert "15 spectra have no label" in report.warnings
    assert "1 of 3 classes have no spectra" in report.warnings
    assert any("from 5 to 100 spectra" in warning for warning in report.warnings)


def test_nan_in_a_file_is_counted_and_kept_out_of_the_means(make_table, tmp_path) -> None:
    import h5py

    path = write_spectra(
        tmp_path / "nan.h5", make_table(intensity=np.random.default_rng(0).random((120, 50), np.float32))
    )
    with h5py.File(path, "r+") as file:
        file["entry/data/intensity"][5, 3] = np.nan
    with SpectraFile(path) as file:
        report, statistics = report_spectra(file)
    assert "1 spectra have NaN or infinite points: they cannot be used" in report.warnings
    assert np.isfinite(statistics.mean).all()
    json.dumps(report.to_dict(), allow_nan=False)


def test_means_are_those_of_standardised_spectra(look, make_table, monkeypatch) -> None:
    monkeypatch.setattr("specnet.datasets.statistics.BLOCK_SPECTRA", 17)
    _, statistics = look()
    table = make_table()
    raw = table.intensity.astype(float)
    standard = (raw - raw.mean(1, keepdims=True)) / raw.std(1, keepdims=True)
    for label in range(3):
        np.testing.assert_allclose(statistics.mean[label], standard[table.labels == label].mean(0), atol=1e-9)
        np.testing.assert_allclose(statistics.spread[label], standard[table.labels == label].std(0), atol=1e-7)


def test_empty_and_unlabelled_files_are_reported_too(look, make_table) -> None:
    report, _ = look(n=0, columns={}, labels=None, class_names=())
    assert "the file has no spectra" in report.warnings
    report, statistics = look(labels=None, class_names=())
    assert "no labels" in report.warnings
    assert statistics.class_names == ("all spectra",)


@pytest.mark.parametrize("n_classes", [0, 1, 3, 40])
def test_plot_is_a_png_whatever_the_number_of_classes(look, tmp_path, n_classes) -> None:
    names = tuple(f"class {number}" for number in range(n_classes))
    labels = None if not names else np.arange(120) % n_classes
    _, statistics = look(labels=labels, class_names=names)
    picture = plot_classes(statistics, tmp_path / "plot.png", title="Carbonates")
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture.stat().st_size > 10_000
