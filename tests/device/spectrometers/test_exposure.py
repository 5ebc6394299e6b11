from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.spectrometers.exposure import AutoExposure
from device.spectrometers.settings import ExposureSettings, SpectrometerSettings
from specnet.errors import ConfigurationError

FULL = 65_535.0
LIMITS = (10, 5_000_000)
AUTO = ExposureSettings(auto=True)


def follow(
    rate: float, offset: float, start: int, *, noise: float = 0.0, n: int = 60, setup: ExposureSettings = AUTO
) -> list[tuple[int, float, bool]]:
    """Exposures, highest points and limits of n spectra of a steady light, `rate` in counts per microsecond."""
    controller, generator = AutoExposure(setup, FULL, LIMITS), np.random.default_rng(1)
    micros, steps = controller.clamp(start), []
    for _ in range(n):
        true = offset + rate * micros * (1 + noise * generator.uniform(-1, 1))
        step = controller.next(micros, min(true, FULL), offset)
        steps.append((micros, min(true, FULL), step.at_limit))
        micros = step.micros
    return steps


@settings(deadline=None)
@given(
    rate=st.floats(1e-3, 500.0), offset=st.floats(0.0, 3000.0), start=st.integers(*LIMITS), noise=st.floats(0.0, 0.15)
)
def test_it_comes_to_rest_in_the_band_and_does_not_swing(rate: float, offset: float, start: int, noise: float) -> None:
    steps = follow(rate, offset, start, noise=noise)
    exposures = [micros for micros, _, _ in steps]
    # from the worst start: ten bounded steps down, or up with patience
    assert len(set(exposures[30:])) == 1, "it swings"
    final, highest, at_limit = steps[-1]
    reachable = offset + rate * LIMITS[1] / (1 + noise) > 0.4 * FULL and offset + rate * LIMITS[0] < 0.85 * FULL
    if reachable and 30 < final < LIMITS[1] / 2:
        assert 0.4 * FULL <= highest <= 0.85 * FULL
    else:
        assert highest < FULL or at_limit


def test_every_step_is_bounded() -> None:
    exposures = [micros for micros, _, _ in follow(1.0, 100.0, 4_000_000)]
    ratios = [after / before for before, after in itertools.pairwise(exposures)]
    assert min(ratios) >= 1 / AUTO.max_step - 1e-3
    assert max(ratios) <= AUTO.max_step + 1e-3
    assert exposures[0] / exposures[1] == pytest.approx(4)


def test_a_dark_object_now_and_then_changes_nothing() -> None:
    controller = AutoExposure(AUTO, FULL, LIMITS)
    for highest in [40_000, 500, 40_000, 500, 40_000, 600, 40_000]:
        assert controller.next(1000, highest).micros == 1000
    assert controller.next(1000, 500).micros == 1000
    assert controller.next(1000, 500).micros == 4000


def test_saturation_shortens_at_once_and_bounds_are_told() -> None:
    controller = AutoExposure(AUTO, FULL, (500, 2000))
    assert controller.next(1000, FULL).micros == 500
    step = controller.next(500, FULL)
    assert (step.micros, step.at_limit) == (500, True)
    controller.next(2000, 100)
    step = controller.next(2000, 100)
    assert (step.micros, step.at_limit) == (2000, True)


def test_the_settings_bound_it_within_the_instrument() -> None:
    bounded = ExposureSettings(auto=True, min_s=0.001, max_s=0.01)
    assert AutoExposure(bounded, FULL, LIMITS).clamp(1) == 1000
    assert AutoExposure(bounded, FULL, LIMITS).clamp(10**9) == 10_000
    assert AutoExposure(bounded, FULL, (2000, 3000)).clamp(10**9) == 3000
    assert AutoExposure(AUTO, FULL, LIMITS).clamp(1) == 10


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"low": 0.7, "high": 0.8}, "exposure.high is from 0.91"),
        ({"max_step": 1.0}, "max_step"),
        ({"patience": 0}, "patience"),
        ({"min_s": 1.0, "max_s": 0.5}, "max_s"),
    ],
)
def test_settings_that_would_swing_are_refused(changes: dict[str, float], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        ExposureSettings(**changes)


def test_automatic_exposure_needs_full_scale() -> None:
    with pytest.raises(ConfigurationError, match="full_scale"):
        SpectrometerSettings(exposure=AUTO, full_scale=0.0)
