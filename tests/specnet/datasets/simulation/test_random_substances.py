from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from specnet.datasets import Holdout, SpectraTable, ensure_holdout, read_spectra, write_spectra
from specnet.datasets.simulation import PRESETS, simulate
from specnet.datasets.simulation.background import dispersion
from specnet.datasets.simulation.instrument import draw_instrument, observe
from specnet.datasets.simulation.peaks import Bands

HARD = dataclasses.replace(PRESETS["hard"], n_classes=8, spectra_per_class=40, n_points=300, seed=5)
RANDOM = dataclasses.replace(PRESETS["random"], n_classes=30, spectra_per_class=20, n_points=256, seed=5)
AXIS = np.linspace(100.0, 1500.0, 1000)


@pytest.fixture(scope="module")
def hard() -> SpectraTable:
    return simulate(HARD)


@pytest.fixture(scope="module")
def pretraining() -> SpectraTable:
    return simulate(RANDOM)


def test_test_instruments_take_the_whole_test_part_and_nothing_else(hard):
    instruments = {part: set(hard.columns["instrument_id"][hard.rows(part)]) for part in Holdout}
    assert instruments[Holdout.TEST] == {"simulated-4", "simulated-5"}
    assert instruments[Holdout.TRAIN] == {"simulated-1", "simulated-2", "simulated-3"}
    assert instruments[Holdout.CALIBRATION] == {"simulated-1", "simulated-2", "simulated-3"}


def test_samples_are_kept_apart_as_well(hard):
    samples = [set(hard.columns["sample_id"][hard.rows(part)]) for part in Holdout]
    assert sum(map(len, samples)) == len(set.union(*samples))


def test_the_split_says_that_the_test_part_has_its_own_instruments(hard):
    _, sentence = ensure_holdout(hard, seed=0)
    assert sentence == "the file's own split, grouped by sample_id and instrument_id (test part)"
    shared = simulate(dataclasses.replace(HARD, test_instruments=0))
    assert ensure_holdout(shared, seed=0)[1] == "the file's own split, grouped by sample_id"


def test_classes_are_named_by_family_and_the_column_says_so_too(hard):
    assert hard.class_names[:5] == ("f0000-1", "f0000-2", "f0000-3", "f0000-4", "f0001-1")
    names = np.array(hard.class_names)[hard.labels]
    assert all(name.startswith(family + "-") for name, family in zip(names, hard.columns["family"], strict=True))


@pytest.mark.parametrize("config", [HARD, RANDOM], ids=["hard", "random"])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(config):
    config = dataclasses.replace(config, spectra_per_class=20)
    one, again, other = simulate(config), simulate(config), simulate(dataclasses.replace(config, seed=6))
    assert one.intensity.tobytes() == again.intensity.tobytes()
    assert one.holdout.tobytes() == again.holdout.tobytes()
    assert one.bands.position.tobytes() == again.bands.position.tobytes()
    assert not np.array_equal(one.intensity, other.intensity)
    assert not np.isin(other.bands.position, one.bands.position).any()


def test_the_file_keeps_everything(hard, tmp_path):
    back = read_spectra(write_spectra(tmp_path / "hard.h5", hard))
    np.testing.assert_array_equal(back.intensity, hard.intensity)
    np.testing.assert_array_equal(back.columns["family"], hard.columns["family"])
    for name in ("label", "position", "height", "width"):
        np.testing.assert_array_equal(getattr(back.bands, name), getattr(hard.bands, name))


def test_each_spectrum_for_pretraining_has_an_instrument_of_its_own(pretraining):
    assert pretraining.intensity.dtype == np.uint16
    assert len(set(pretraining.columns["instrument_id"])) == pretraining.n_spectra == 600
    assert len(set(pretraining.columns["family"])) == 10


def test_spectra_of_a_substance_are_nearer_to_each_other_than_to_other_families(pretraining):
    spectra = np.diff(pretraining.intensity.astype(np.float64), axis=1)
    spectra = (spectra - spectra.mean(axis=1, keepdims=True)) / spectra.std(axis=1, keepdims=True)
    likeness = spectra @ spectra.T / spectra.shape[1]
    family = pretraining.columns["family"]
    same = pretraining.labels[:, None] == pretraining.labels
    np.fill_diagonal(same, False)
    assert likeness[same].mean() > 3 * np.abs(likeness[family[:, None] != family].mean())


def test_the_strongest_band_of_a_substance_is_seen_within_the_instruments_errors():
    table = simulate(
        dataclasses.replace(
            HARD,
            n_points=1400,
            mixture_share=0.0,
            signal_electrons=(5e4, 5e4),
            fluorescence_ratio=(1e-3, 1e-3),
            cosmic_rays=0.0,
            orientation=0.0,
            width_spread=0.0,
            disorder_cm=0.0,
        )
    )
    largest = HARD.offset_cm + HARD.stretch_cm + HARD.bend_cm + 4 * (HARD.drift_cm + HARD.shift_cm) + 3
    axis = table.axis.values
    regions = table.bands.regions(table.axis, len(table.class_names), weakest=0.3)
    seen = axis[table.intensity.argmax(axis=1)]
    distance = np.array(
        [np.abs(axis[regions[label]] - place).min() for label, place in zip(table.labels, seen, strict=True)]
    )
    assert max(distance) < largest


def test_the_bend_of_an_axis_is_smooth_within_its_limit_and_zero_at_the_ends():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        made = draw_instrument("a", AXIS, rng, offset_cm=0.0, stretch_cm=0.0, resolution_cm=(5.0, 5.0), bend_cm=4.0)
        lines = Bands(*(np.array([array]) for array in (AXIS, np.ones(1000), np.ones(1000), np.zeros(1000))))
        seen = observe(lines, AXIS, np.zeros(1), np.zeros(1), np.ones(1), made.bend_cm[None])
        error = seen.position[0] - AXIS
        assert 2.0 - 0.01 <= np.abs(error).max() <= 4.0 + 0.01
        np.testing.assert_allclose(error[[0, -1]], 0.0, atol=1e-9)
        assert np.abs(np.diff(error)).max() < 0.1


def test_without_bend_nothing_more_is_drawn():
    straight, bent = np.random.default_rng(0), np.random.default_rng(0)
    limits = {"offset_cm": 1.0, "stretch_cm": 1.0, "resolution_cm": (5.0, 6.0)}
    one = draw_instrument("a", AXIS, straight, **limits)
    other = draw_instrument("a", AXIS, bent, **limits, bend_cm=2.0)
    np.testing.assert_array_equal(one.response, other.response)
    assert (one.offset_cm, one.resolution_cm) == (other.offset_cm, other.resolution_cm)
    assert not one.bend_cm.any()
    assert other.bend_cm.any()


def test_dispersion_is_positive_about_one_and_has_both_signs():
    factor = dispersion(AXIS, 300, np.random.default_rng(0))
    assert factor.min() > 0.35
    assert factor.max() < 1.65
    assert factor.mean() == pytest.approx(1.0, abs=0.02)
    assert (factor.max(axis=1) > 1.0).all()
    assert (factor.min(axis=1) < 1.0).all()
