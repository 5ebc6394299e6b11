"""Predicting with a bundle: spectra in, answers out, and nothing computed after an exit."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from support_bundle import CLASSES, N_POINTS, POLICY, DeviceSide, make_bundle, reference_logits, spectra

import specnet
from specnet.errors import AxisError, BundleError, SpectrumError
from specnet.exits import NEVER, route
from specnet.runtime import Predictor, Segments, load_bundle, self_test
from specnet.spectra import Quantity, SpectralAxis


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "hand.specnet"
    make_bundle(path)
    return path


@pytest.fixture(scope="module")
def predictor(path: Path) -> Predictor:
    return load_bundle(path)


def test_the_public_name_loads_a_bundle(path: Path) -> None:
    assert specnet.load_bundle(path).predict(spectra(3)).classes == CLASSES


def test_segments_give_the_logits_of_the_reference(predictor: Predictor) -> None:
    measured = spectra(20, seed=5)
    logits, depths = predictor.segments.run_all(measured)
    np.testing.assert_allclose(logits, reference_logits(measured), atol=1e-5)
    assert depths[0] is None
    assert [depth.shape for depth in depths[1:] if depth is not None] == [(20, 8)] * 3


def test_answers_are_those_of_the_policy_on_all_logits(predictor: Predictor) -> None:
    measured = spectra(200)
    prediction = predictor.predict(measured)
    routing = route(POLICY, reference_logits(measured))
    np.testing.assert_array_equal(prediction.exit_index, routing.exit_index)
    np.testing.assert_allclose(prediction.probabilities, routing.probabilities, atol=1e-5)
    assert set(prediction.exit_index.tolist()) == {0, 1, 2, 3}
    assert prediction.names == [CLASSES[label] for label in routing.probabilities.argmax(axis=1)]


def test_a_batch_is_its_spectra_one_by_one(predictor: Predictor, path: Path) -> None:
    measured, one_by_one = spectra(30, seed=2), DeviceSide(path)
    prediction = predictor.predict(measured)
    for row, spectrum in enumerate(measured):
        single = predictor.predict(spectrum)
        assert single.probabilities.shape == (1, 3)
        assert (single.labels[0], single.exit_index[0], single.macs[0]) == (
            prediction.labels[row],
            prediction.exit_index[row],
            prediction.macs[row],
        )
    late = int(np.argmax(prediction.exit_index))
    expected = one_by_one.expected(measured[late], split=0)
    assert (expected.label, expected.exit_index) == (prediction.labels[late], prediction.exit_index[late])


def test_what_left_early_costs_nothing_later(predictor: Predictor) -> None:
    measured = spectra(200)
    prediction = predictor.predict(measured)
    _, depths = predictor.segments.run_all(measured)
    for row, exit_index in enumerate(prediction.exit_index):
        cost = sum(100 * (index + 1) for index in range(exit_index + 1))
        cost += sum(7 * int(depth[row].sum()) for depth in depths[1 : exit_index + 1] if depth is not None)
        assert prediction.macs[row] == cost


def test_segments_after_the_last_spectrum_left_are_not_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = msgspec.structs.replace(POLICY, thresholds=(NEVER, 0.0, NEVER, 0.0))
    predictor = Predictor(load_bundle(path).bundle, policy=policy)
    run: list[int] = []
    original = predictor.segments.run
    monkeypatch.setattr(predictor.segments, "run", lambda index, x: (run.append(index), original(index, x))[1])
    assert set(predictor.predict(spectra(10)).exit_index) == {1}
    assert run == [0, 1]


def test_many_spectra_are_answered_in_blocks(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = spectra(25)
    whole = predictor.predict(measured)
    monkeypatch.setattr("specnet.runtime.MAX_BATCH", 10)
    blocks = predictor.predict(measured)
    np.testing.assert_array_equal(blocks.exit_index, whole.exit_index)
    np.testing.assert_allclose(blocks.probabilities, whole.probabilities, atol=1e-6)
    assert len(blocks.names) == 25


def test_any_numeric_type_and_lists_are_spectra(predictor: Predictor) -> None:
    counts = np.random.default_rng(0).integers(1, 60_000, (4, N_POINTS))
    expected = predictor.predict(counts.astype(np.float64))
    for same in (counts.astype(np.uint16), counts.astype(np.int32), counts.astype(np.float32), counts.tolist()):
        np.testing.assert_allclose(predictor.predict(same).probabilities, expected.probabilities, atol=1e-5)


def test_spectra_that_cannot_be_judged_are_refused(predictor: Predictor) -> None:
    good = spectra(2)
    cases = {
        r"expected 32": good[:, :31],
        r"NaN or infinite": np.where(np.arange(N_POINTS) == 3, np.nan, good),
        r"all points are zero": good * 0,
        r"got shape \(1, 2, 32\)": good[None],
        r"at least one": good[:0],
    }
    for message, wrong in cases.items():
        with pytest.raises(SpectrumError, match=message):
            predictor.predict(wrong)
    with pytest.raises(SpectrumError, match="no array of numbers"):
        predictor.predict([["a"] * N_POINTS])


def test_another_kind_of_axis_is_refused(predictor: Predictor, packed: Path) -> None:
    with pytest.raises(AxisError, match=r"32 points of Wavelength \(nm\) .* expects 32 points of Channel from 0 to 31"):
        predictor.predict(spectra(1), SpectralAxis(np.arange(1.0, 33.0), Quantity.WAVELENGTH))
    minerals = load_bundle(packed)
    axis = minerals.bundle.source_axis
    counts = np.full((1, axis.n_points), 100.0) + np.arange(axis.n_points)
    shifted = SpectralAxis(axis.values + 300, axis.quantity)
    with pytest.raises(AxisError, match="cover"):
        minerals.predict(counts, shifted)
    with pytest.raises(AxisError, match=r"is wavenumber in 1/cm, expected raman_shift in 1/cm; convert it first"):
        minerals.predict(counts, SpectralAxis(axis.values, Quantity.WAVENUMBER))


def test_plain_values_are_an_axis_in_the_unit_of_the_bundle(packed: Path) -> None:
    minerals = load_bundle(packed)
    vectors = minerals.bundle.selftest()["intensity"]
    axis = minerals.bundle.source_axis
    expected = minerals.predict(vectors)
    for given in (axis, axis.values, axis.values.tolist()):
        np.testing.assert_array_equal(minerals.predict(vectors, given).probabilities, expected.probabilities)
    # a finer instrument that covers the axis answers the same
    finer = np.linspace(axis.values[0] - 5, axis.values[-1] + 5, 900)
    resampled = np.stack([np.interp(finer, axis.values, spectrum) for spectrum in vectors])
    assert minerals.predict(resampled, finer).names == expected.names


def test_a_device_loads_its_segments_only(path: Path) -> None:
    segments = Segments(load_bundle(path).bundle, range(2))
    assert segments.loaded == (0, 1)
    with pytest.raises(KeyError):
        segments.run(3, np.zeros((1, 8, 6), dtype=np.float32))


def test_the_self_test_gives_the_deviation(predictor: Predictor) -> None:
    assert 0 <= self_test(predictor.segments) <= 1e-4


def test_a_missing_bundle_is_a_bundle_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot read bundle"):
        load_bundle(tmp_path / "missing.specnet")
