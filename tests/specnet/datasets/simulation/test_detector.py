from __future__ import annotations

import numpy as np
import pytest

from specnet.datasets.simulation.background import fluorescence
from specnet.datasets.simulation.detector import FULL_SCALE, Detector, cosmic_rays, expose, limit_exposure
from specnet.datasets.simulation.instrument import draw_instrument, response_curve

QUIET = Detector(electrons_per_count=1.0, read_noise=0.0, offset_counts=0.0)
AXIS = np.linspace(100.0, 1500.0, 1000)


def exposed(electrons: float, detector: Detector, n: int = 200, points: int = 500) -> np.ndarray:
    expected = np.full((n, points), electrons, dtype=np.float32)
    camera = np.zeros(n, dtype=np.intp)
    return expose(expected, np.zeros_like(expected), (detector,), camera, np.random.default_rng(0))


@pytest.mark.parametrize("electrons", [50.0, 4000.0])
def test_shot_noise_has_a_variance_equal_to_the_mean(electrons):
    counts = exposed(electrons, QUIET).astype(float)
    assert counts.mean() == pytest.approx(electrons, rel=0.005)
    assert counts.var() == pytest.approx(electrons, rel=0.03)


def test_read_noise_gain_and_offset_turn_electrons_into_counts():
    detector = Detector(electrons_per_count=2.0, read_noise=30.0, offset_counts=500.0)
    counts = exposed(1000.0, detector).astype(float)
    assert counts.mean() == pytest.approx(500 + 1000 / 2, rel=0.005)
    # rounding to whole counts adds a variance of 1/12
    assert counts.var() == pytest.approx((1000 + 30.0**2) / 2.0**2 + 1 / 12, rel=0.03)


def test_counts_are_16_bit_and_saturate_at_full_scale():
    assert exposed(200_000.0, QUIET).dtype == np.uint16
    assert (exposed(200_000.0, QUIET) == FULL_SCALE).all()
    assert (exposed(0.0, Detector(1.0, 50.0, 0.0)) <= 500).all(), "negative noise must not wrap round"


def test_each_row_is_taken_with_its_own_camera():
    detectors = (QUIET, Detector(electrons_per_count=10.0, read_noise=0.0, offset_counts=0.0))
    expected = np.full((2, 2000), 1000.0, dtype=np.float32)
    counts = expose(expected, np.zeros_like(expected), detectors, np.array([1, 0]), np.random.default_rng(0))
    np.testing.assert_allclose(counts.mean(axis=1), [100.0, 1000.0], rtol=0.01)


def test_exposure_is_limited_only_where_it_would_saturate():
    expected = np.array([[10.0, 20.0], [100.0, 400.0]], dtype=np.float32)
    factor = limit_exposure(expected, np.array([100.0, 100.0]), share=0.8)
    np.testing.assert_allclose(factor, [1.0, 0.2])


@pytest.mark.parametrize("mean", [0.3, 2.0])
def test_cosmic_rays_come_at_the_asked_rate_and_are_narrow(mean):
    electrons = cosmic_rays(5000, 1000, mean, np.random.default_rng(0))
    starts = (electrons > 0) & (np.roll(electrons, 1, axis=1) == 0)
    assert starts.sum() / 5000 == pytest.approx(mean, rel=0.05)
    assert (electrons > 0).sum() < 3 * starts.sum()
    assert electrons[electrons > 0].max() > 1000


def test_no_cosmic_rays_when_none_are_asked_for():
    assert not cosmic_rays(100, 1000, 0.0, np.random.default_rng(0)).any()


def test_fluorescence_is_positive_has_maximum_one_and_is_smooth_against_any_band():
    background = fluorescence(AXIS, 300, np.random.default_rng(0)).astype(float)
    assert background.min() > 0
    np.testing.assert_allclose(background.max(axis=1), 1.0, rtol=1e-6)
    assert np.abs(np.diff(background, axis=1)).max() < 0.01


def test_instruments_stay_within_the_asked_errors_and_differ():
    rng = np.random.default_rng(0)
    made = [
        draw_instrument(str(k), AXIS, rng, offset_cm=4.0, stretch_cm=2.0, resolution_cm=(5.0, 9.0)) for k in range(50)
    ]
    offsets = np.array([instrument.offset_cm for instrument in made])
    assert np.abs(offsets).max() <= 4.0
    assert np.ptp(offsets) > 4.0
    assert all(5.0 <= instrument.resolution_cm <= 9.0 for instrument in made)


def test_response_is_positive_has_maximum_one_and_falls_behind_the_filter_edge():
    for seed in range(10):
        response = response_curve(AXIS, np.random.default_rng(seed))
        assert response.min() > 0
        assert response.max() == pytest.approx(1.0)
        assert response[0] < 0.85 * response[100]
