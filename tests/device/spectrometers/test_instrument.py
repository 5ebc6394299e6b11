"""Readings with their flags, from a board on a real pseudo-terminal whose spectra follow the exposure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support_boards import CASES, Case, simulated

from device.spectrometers import SpectrometerLostError
from device.spectrometers.faults import FaultPlan
from device.spectrometers.instrument import Instrument, create_instrument
from device.spectrometers.quality import Quality
from device.spectrometers.settings import DarkSettings, ExposureSettings
from specnet.errors import ConfigurationError

CASE, N = CASES["c12880ma"], 16
SHAPE = np.linspace(200, 1000, N).astype(np.uint32)


def instrument(case: Case, port: str, folder: Path, wavelengths: Any = None, **changes: Any) -> Instrument:
    made = create_instrument(case.settings(port, **changes), case.n_points, folder, wavelengths)
    made.open()
    return made


def light(n: int = 4, scale: float = 1.0) -> np.ndarray[Any, Any]:
    return np.rint(np.tile(SHAPE * scale, (n, 1))).astype(np.uint32)


def test_a_plain_reading(tmp_path: Path) -> None:
    with simulated(CASE, light()) as board:
        reading = instrument(CASE, board.port, tmp_path).read()
    np.testing.assert_array_equal(reading.counts, SHAPE)
    assert (reading.flags, reading.integration_us, reading.scans, reading.highest_raw) == (Quality(0), 3000, 1, 1000)
    assert reading.usable
    assert reading.counts.dtype.kind == "i", "a spectrum without corrections is sent without loss"


def test_scans_are_averaged(tmp_path: Path) -> None:
    with simulated(CASE, np.concatenate([light(1), light(1, 3.0)])) as board:
        reading = instrument(CASE, board.port, tmp_path, scans=2).read()
    np.testing.assert_array_equal(reading.counts, 2.0 * SHAPE)
    assert reading.highest_raw == 3000


def test_one_saturated_scan_among_many_makes_the_reading_unusable(tmp_path: Path) -> None:
    with simulated(CASE, np.concatenate([light(1), light(1, 5.0), light(2)])) as board:
        source = instrument(CASE, board.port, tmp_path, scans=4, full_scale=4095)
        reading = source.read()
    assert reading.flags == Quality.SATURATED
    assert not reading.usable
    assert source.counters["saturated"] == 1


def test_saturation_is_judged_before_the_corrections_hide_it(tmp_path: Path) -> None:
    spectrum = np.full((1, N), 4095, dtype=np.uint32)
    spectrum[0, :2] = 100
    with simulated(CASE, spectrum) as board:
        options = {"full_scale": 4095.0, "correct_dark_counts": True, "dark_pixels": (0, 1)}
        reading = instrument(CASE, board.port, tmp_path, **options).read()
    assert reading.counts.max() == 3995
    assert reading.flags == Quality.SATURATED


def test_a_weak_spectrum_is_flagged(tmp_path: Path) -> None:
    with simulated(CASE, light(2, 0.01)) as board:
        reading = instrument(CASE, board.port, tmp_path, min_signal=50).read()
    assert reading.flags == Quality.LOW_SIGNAL


def test_a_hot_pixel_is_repaired_and_does_not_saturate_everything(tmp_path: Path) -> None:
    spectra = light(2)
    spectra[:, 5] = 65_535
    with simulated(CASE, spectra) as board:
        reading = instrument(CASE, board.port, tmp_path, bad_pixels=(5,)).read()
    assert reading.flags == Quality.PIXELS_REPAIRED
    assert reading.counts[5] == pytest.approx((reading.counts[4] + reading.counts[6]) / 2)
    assert reading.highest_raw == 1000


def test_automatic_exposure_reaches_the_band_and_stays(tmp_path: Path) -> None:
    with simulated(CASE, light(40), recorded_us=1000, loop=True) as board:
        source = auto(board.port, tmp_path, 1.0)
        first = source.read()
        assert first.flags == Quality.SATURATED | Quality.EXPOSURE_CHANGING
        readings = [source.read() for _ in range(10)]
        source.close()
    settled = readings[-1]
    assert settled.flags == Quality(0)
    assert 0.4 * 65_535 <= settled.highest_raw <= 0.85 * 65_535
    assert readings[-2].integration_us == settled.integration_us


def auto(port: str, folder: Path, seconds: float, **changes: Any) -> Instrument:
    exposure = ExposureSettings(auto=True, max_s=changes.pop("max_s", 1.0))
    return instrument(CASE, port, folder, exposure=exposure, integration_time_s=seconds, **changes)


def test_too_little_light_for_the_longest_exposure_is_told(tmp_path: Path) -> None:
    with simulated(CASE, light(20), recorded_us=1000) as board:
        source = auto(board.port, tmp_path, 0.001, max_s=0.002, min_signal=3000)
        readings = [source.read() for _ in range(5)]
    assert readings[-1].integration_us == 2000
    assert readings[-1].flags == Quality.EXPOSURE_AT_LIMIT | Quality.LOW_SIGNAL


def test_the_exposure_survives_an_unplugging(tmp_path: Path) -> None:
    link = tmp_path / "port"
    with simulated(CASE, light(40), recorded_us=1000, link=link, faults=FaultPlan.parse("unplug@8")):
        source = auto(str(link), tmp_path, 1.0)
        before = [source.read() for _ in range(8)][-1].integration_us
        with pytest.raises(SpectrometerLostError):
            source.read()
        while True:
            try:
                source.open()
                break
            except SpectrometerLostError:
                continue
        assert source.read().integration_us == before


def dark(**changes: Any) -> dict[str, Any]:
    return {"dark": DarkSettings(subtract=True, **changes)}


def test_dark_spectra_are_kept_subtracted_and_their_hot_pixels_repaired(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    covered = np.rint(300 + generator.normal(0, 3, (8, N))).astype(np.uint32)
    covered[:, 9] += 2000
    with simulated(CASE, covered) as board:
        source = instrument(CASE, board.port, tmp_path, **dark())
        assert source.read().flags == Quality.NO_DARK
        frame = source.take_dark(7)
        source.close()
    assert frame.scans == 7
    assert source.bad_pixels == (9,)
    lit = light(2) + 300
    lit[:, 9] += 2000
    with simulated(CASE, lit) as board:
        source = instrument(CASE, board.port, tmp_path, **dark())
        reading = source.read()
        source.close()
    assert reading.flags == Quality.PIXELS_REPAIRED
    np.testing.assert_allclose(reading.counts, SHAPE, atol=60)


def test_dark_spectra_of_two_exposures_serve_a_third(tmp_path: Path) -> None:
    with simulated(CASE, np.full((6, N), 100, dtype=np.uint32), recorded_us=1000) as board:
        source = instrument(CASE, board.port, tmp_path, **dark())
        for micros in (1000, 5000):
            source.take_dark(2, micros)
        source.close()
        source = instrument(CASE, board.port, tmp_path, **dark())
        reading = source.read()
    assert reading.flags == Quality.DARK_SCALED
    np.testing.assert_allclose(reading.counts, 0.0, atol=1e-6)


def test_a_dark_spectrum_with_the_light_on_is_refused(tmp_path: Path) -> None:
    with simulated(CASE, light(3, 70)) as board:
        source = instrument(CASE, board.port, tmp_path)
        with pytest.raises(ConfigurationError, match="close the shutter"):
            source.take_dark(1)
    assert not (tmp_path / "dark.json").exists()


def test_damaged_dark_spectra_are_named_when_the_instrument_is_opened(tmp_path: Path) -> None:
    (tmp_path / "dark.json").write_text("{}")
    with simulated(CASE, light()) as board:
        with pytest.raises(ConfigurationError, match="take them anew"):
            instrument(CASE, board.port, tmp_path, **dark())
        instrument(CASE, board.port, tmp_path).close()


def test_another_wavelength_calibration_than_that_of_the_instrument_is_flagged(tmp_path: Path) -> None:
    letter = CASES["ocean-letter"]
    pixels = np.arange(letter.n_points)
    own = 350 + 0.25 * pixels - 1e-6 * pixels**2
    for shift, flags in ((0.1, Quality(0)), (5.0, Quality.WRONG_AXIS)):
        with simulated(letter, letter.spectra(1)) as board:
            source = instrument(letter, board.port, tmp_path, own + shift)
            assert source.read().flags == flags
            source.close()


@pytest.mark.parametrize("pixels", [(16,), tuple(range(15))])
def test_bad_pixels_of_the_settings_must_be_possible(tmp_path: Path, pixels: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match="bad"):
        create_instrument(CASE.settings("x", bad_pixels=pixels), N, tmp_path)
