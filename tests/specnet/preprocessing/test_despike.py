from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from specnet.errors import AxisError
from specnet.preprocessing import Despike, Pipeline
from specnet.spectra import SpectralAxis


def test_spikes_go_and_everything_else_stays(axis: SpectralAxis, spectra: NDArray[np.float32]) -> None:
    bound = Pipeline((Despike(),)).bind(axis)
    spiked = spectra.copy()
    places = [(0, 0), (1, 400), (2, 57), (2, 300), (4, 199), (4, 200), (6, 33)]
    for row, point in places:
        spiked[row, point] += 12_000
    cleaned = bound(spiked)
    hit = np.zeros(spectra.shape, dtype=bool)
    hit[tuple(np.transpose(places))] = True
    np.testing.assert_array_equal(cleaned[~hit], spectra[~hit])
    assert np.abs(cleaned - spectra)[hit].max() < 1_200


@given(point=st.integers(0, 299), width=st.sampled_from([1, 2]), height=st.floats(400, 60_000))
def test_a_spike_is_found_wherever_it_is(point: int, width: int, height: float) -> None:
    axis = SpectralAxis.channels(300)
    quiet = np.random.default_rng(5).normal(500, 5, 300)
    spiked = quiet.copy()
    spiked[point : point + width] += height
    cleaned = Pipeline((Despike(),)).bind(axis)(spiked)
    assert np.abs(cleaned - quiet).max() < 40


@pytest.mark.parametrize("width_at_half_maximum", [2.3, 3.0, 5.0, 10.0, 40.0])
@pytest.mark.parametrize("phase", [0.0, 0.25, 0.5])
def test_a_strong_band_in_a_quiet_spectrum_is_no_spike(width_at_half_maximum: float, phase: float) -> None:
    x = np.arange(400)
    band = 50_000 * np.exp(-4 * np.log(2) * ((x - 200 - phase) / width_at_half_maximum) ** 2)
    spectrum = (band + np.random.default_rng(6).normal(1000, 5, 400)).astype(np.float32)
    cleaned = Pipeline((Despike(),)).bind(SpectralAxis.channels(400))(spectrum)
    np.testing.assert_array_equal(cleaned, spectrum)


def test_the_replacement_is_the_mean_of_the_sound_neighbours() -> None:
    spectrum = 100 + np.tile([0.0, 1.0, -1.0, 0.0, 2.0], 12)
    spectrum[30] = 5000
    cleaned = Pipeline((Despike(window=2, passes=1),)).bind(SpectralAxis.channels(60))(spectrum)
    assert cleaned[30] == pytest.approx(np.mean(spectrum[[28, 29, 31, 32]]))


def test_a_spike_with_feet_needs_the_second_pass() -> None:
    quiet = np.random.default_rng(8).normal(500, 5, 200)
    spiked = quiet.copy()
    spiked[99:102] += [900, 9000, 900]
    axis = SpectralAxis.channels(200)
    left = [np.abs(Pipeline((Despike(passes=n),)).bind(axis)(spiked) - quiet).max() for n in (1, 2)]
    assert left[0] > 800
    assert left[1] < 300


def test_counts_that_are_mostly_equal_still_have_a_noise_level() -> None:
    """The median absolute deviation of few counts is zero; a plain z-score would be infinite for each of them."""
    spectrum = np.ones(200, dtype=np.float32)
    spectrum[::9] = 2
    cleaned = Pipeline((Despike(),)).bind(SpectralAxis.channels(200))(spectrum)
    np.testing.assert_array_equal(cleaned, spectrum)
    spectrum[100] = 400
    cleaned = Pipeline((Despike(),)).bind(SpectralAxis.channels(200))(spectrum)
    assert cleaned[100] < 2


def test_a_flat_spectrum_passes() -> None:
    np.testing.assert_array_equal(Pipeline((Despike(),)).bind(SpectralAxis.channels(20))(np.full(20, 3.0)), 3)


def test_an_axis_shorter_than_the_opening_is_refused() -> None:
    with pytest.raises(AxisError, match="width 3 needs at least 9 points, the axis has 8"):
        Despike(width=3).bind(SpectralAxis.channels(8))
