from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest

from specnet.datasets import Holdout, read_spectra, write_spectra
from specnet.datasets.simulation import PRESETS, ProceduralConfig, SimulationConfig, load_minerals, simulate
from specnet.datasets.simulation.mixtures import draw_mixing
from specnet.datasets.simulation.substances import choose_minerals
from specnet.errors import ConfigurationError

SMALL = SimulationConfig(spectra_per_class=24, n_classes=6, n_points=400, seed=3)

MEAN_COUNTS = {"easy": 1547.832, "demo": 1571.336}


@pytest.fixture(scope="module")
def small():
    return simulate(SMALL)


def assert_same(one, other):
    np.testing.assert_array_equal(one.intensity, other.intensity)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.holdout, other.holdout)
    assert one.columns.keys() == other.columns.keys()
    for name in one.columns:
        np.testing.assert_array_equal(one.columns[name], other.columns[name])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(small):
    assert_same(small, simulate(SMALL))
    other = simulate(dataclasses.replace(SMALL, seed=4))
    assert other.class_names == small.class_names
    assert not np.array_equal(other.intensity, small.intensity)


def test_the_table_has_the_asked_size_axis_and_balance(small):
    assert small.intensity.shape == (6 * 24, 400)
    assert small.intensity.dtype == np.uint16
    assert (small.axis.values[0], small.axis.values[-1], small.axis.unit) == (100.0, 1500.0, "1/cm")
    np.testing.assert_array_equal(np.bincount(small.labels), 24)
    assert len(np.unique(small.columns["sample_id"])) == 6 * SMALL.samples_per_class == 36
    assert set(small.columns["instrument_id"]) <= {f"simulated-{k + 1}" for k in range(12)}


def test_no_sample_is_in_two_parts_and_each_part_has_all_classes(small):
    parts = {part: set(small.columns["sample_id"][small.rows(part)]) for part in Holdout}
    assert not parts[Holdout.TRAIN] & parts[Holdout.TEST]
    assert not parts[Holdout.TRAIN] & parts[Holdout.CALIBRATION]
    assert not parts[Holdout.CALIBRATION] & parts[Holdout.TEST]
    for part in Holdout:
        assert len(np.unique(small.labels[small.rows(part)])) == 6
    assert len(small.rows(Holdout.TRAIN)) == pytest.approx(0.6 * small.n_spectra, rel=0.15)


def test_sample_names_say_which_mineral_they_are_labelled_as(small):
    for name, label in zip(small.columns["sample_id"], small.labels, strict=True):
        assert name.startswith(small.class_names[label] + "-")


def test_a_simulated_file_reads_back_as_it_was_written(small, tmp_path):
    assert_same(read_spectra(write_spectra(tmp_path / "simulated.h5", small)), small)


def test_the_strongest_point_of_a_clean_spectrum_is_at_the_strongest_band():
    config = dataclasses.replace(
        PRESETS["easy"],
        spectra_per_class=16,
        seed=1,
        orientation=0.0,
        signal_electrons=(2e4, 2e4),
        fluorescence_ratio=(1e-3, 1e-3),
        cosmic_rays=0.0,
        offset_cm=0.0,
        stretch_cm=0.0,
    )
    table = simulate(config)
    minerals = {mineral.name: mineral for mineral in load_minerals()}
    found = table.axis.values[table.intensity.argmax(axis=1)]
    right = 0
    for position, label in zip(found, table.labels, strict=True):
        strong = [peak.position for peak in minerals[table.class_names[label]].peaks if peak.intensity >= 0.8]
        right += any(abs(position - peak) <= 6 for peak in strong)
    assert right == table.n_spectra


def test_mixtures_are_labelled_by_their_main_mineral():
    minerals = load_minerals()
    families = [mineral.family for mineral in minerals]
    labels = np.random.default_rng(0).integers(0, len(minerals), 4000)
    mixing = draw_mixing(
        labels, families, np.random.default_rng(1), mixture_share=0.4, share_range=(0.1, 0.48), family_share=0.6
    )
    assert mixing.is_mixture.mean() == pytest.approx(0.4, abs=0.03)
    mixed = mixing.is_mixture
    assert (mixing.secondary_share[~mixed] == 0).all()
    assert ((mixing.secondary_share[mixed] >= 0.1 - 1e-6) & (mixing.secondary_share[mixed] <= 0.48 + 1e-6)).all()
    assert (mixing.others != labels[:, None]).all()
    assert (mixing.others[mixed, 0] != mixing.others[mixed, 1]).all()
    assert (mixing.shares.max(axis=1) < 1 - mixing.secondary_share).all(), "the label is the largest part"
    assert ((mixing.others >= 0) == (mixing.shares > 0)).all()


def test_mixtures_prefer_the_family_as_often_as_asked():
    minerals = load_minerals()
    families = np.array([mineral.family for mineral in minerals])
    calcite = [mineral.name for mineral in minerals].index("calcite")
    labels = np.full(2000, calcite)
    shares = {}
    for asked in (0.0, 1.0):
        mixing = draw_mixing(
            labels, families, np.random.default_rng(1), mixture_share=1.0, share_range=(0.2, 0.3), family_share=asked
        )
        shares[asked] = (families[mixing.others[:, 0]] == "carbonates").mean()
    assert shares[1.0] == 1.0
    assert shares[0.0] < 0.3


def test_the_columns_tell_which_spectra_are_mixtures(small):
    mixed = small.columns["is_mixture"].astype(bool)
    assert 0 < mixed.sum() < small.n_spectra
    np.testing.assert_array_equal(small.columns["secondary_share"] > 0, mixed)


def test_the_band_of_the_other_mineral_is_in_the_spectrum_with_its_share():
    base = SimulationConfig(
        spectra_per_class=60,
        n_classes=2,
        seed=2,
        mixture_share=1.0,
        mixture_range=(0.4, 0.4),
        orientation=0.0,
        cosmic_rays=0.0,
        signal_electrons=(2e4, 2e4),
        fluorescence_ratio=(1e-3, 1e-3),
        offset_cm=0.0,
        stretch_cm=0.0,
    )
    table = simulate(base)
    assert table.class_names == ("quartz", "pyrite")
    axis = table.axis.values
    bands = {"quartz": (axis > 455) & (axis < 475), "pyrite": (axis > 370) & (axis < 390)}
    for label, (main, other) in enumerate((("quartz", "pyrite"), ("pyrite", "quartz"))):
        rows = table.intensity[table.labels == label].astype(float)
        dark = np.median(rows, axis=1)
        ratio = (rows[:, bands[other]].max(axis=1) - dark) / (rows[:, bands[main]].max(axis=1) - dark)
        assert np.median(ratio) == pytest.approx(0.4 / 0.6, rel=0.12)


def test_strong_light_is_kept_off_full_scale():
    config = dataclasses.replace(SMALL, signal_electrons=(9e5, 9e5), fluorescence_ratio=(5.0, 5.0), cosmic_rays=0.0)
    table = simulate(config)
    assert table.intensity.max() < 65_535
    assert (table.columns["signal_electrons"] < 9e5).all(), "the column has what was really exposed"


def test_progress_counts_up_to_the_total():
    seen = []
    simulate(SMALL, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (144, 144)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


@pytest.mark.parametrize("preset", ["easy", "demo"])
def test_presets_of_minerals_make_a_file_of_all_of_them(preset):
    table = simulate(dataclasses.replace(PRESETS[preset], spectra_per_class=20))
    assert len(table.class_names) == len(load_minerals())
    assert table.group_by == "sample_id"
    assert table.provenance["minerals_sha256"]


@pytest.mark.parametrize(
    ("preset", "digest"),
    [
        ("easy", "0948f7105e49dd2d"),
        ("demo", "b4e6906a7a265418"),
    ],
)
def test_presets_of_minerals_stay_the_same_from_release_to_release(preset, digest):
    table = simulate(dataclasses.replace(PRESETS[preset], spectra_per_class=20))
    # whole numbers only: the last bits of intensities depend on the processor's exponential function
    drawn = [table.labels, table.holdout, table.columns["is_mixture"].astype(np.int64)]
    names = "\n".join([*table.columns["sample_id"], *table.columns["instrument_id"]]).encode()
    assert hashlib.sha256(b"".join(array.tobytes() for array in drawn) + names).hexdigest()[:16] == digest
    assert table.intensity.mean() == pytest.approx(MEAN_COUNTS[preset], rel=1e-3)


def test_the_demo_has_six_to_eight_thousand_spectra():
    assert 8000 <= PRESETS["demo"].spectra_per_class * len(load_minerals()) <= 10_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spectra_per_class": 0}, "spectra_per_class is at least 1, got 0"),
        ({"n_classes": 1}, "n_classes is at least 2, got 1"),
        ({"n_points": 4}, "n_points is at least 16, got 4"),
        ({"n_points": 100_000}, "n_points is at most 65536, got 100000"),
        ({"mixture_share": 1.2}, "mixture_share is within 0 to 1"),
        ({"mixture_range": (0.3, 0.6)}, "mixture_range is within 0 to 0.499"),
        ({"resolution_cm": (9.0, 5.0)}, "ascending order, got 9.0 to 5.0"),
        ({"axis_range": (500.0, 500.0)}, "axis_range is ascending"),
        ({"offset_cm": float("nan")}, "offset_cm is at least 0, got nan"),
        ({"seed": -1}, "seed is at least 0, got -1"),
        ({"n_instruments": 0}, "n_instruments is within 1 to 10000 in ascending order, got 0"),
        ({"n_instruments": 5, "test_instruments": 5}, r"below n_instruments \(5\), got 5"),
        ({"n_instruments": None, "test_instruments": 1}, "its own instrument, got 1"),
        ({"substances": ProceduralConfig()}, "how many random substances to make, got None"),
        ({"dispersive_share": 2.0}, "dispersive_share is within 0 to 1"),
    ],
)
def test_impossible_configurations_are_refused(change, message):
    with pytest.raises(ConfigurationError, match=message):
        SimulationConfig(**change)


def test_too_many_classes_spectra_or_an_empty_axis_are_refused():
    with pytest.raises(ConfigurationError, match="n_classes asks for 5000"):
        simulate(SimulationConfig(n_classes=5000))
    with pytest.raises(ConfigurationError, match="at most 2000000 spectra"):
        simulate(SimulationConfig(spectra_per_class=10_000_000))
    with pytest.raises(ConfigurationError, match="has no band between 1200 and 1300"):
        choose_minerals(load_minerals(), SimulationConfig(axis_range=(1200.0, 1300.0)))
