"""A spectrometer whose spectra are exposed, averaged, corrected and judged as the settings say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.averaging import ScanAverage
from device.spectrometers.bad_pixels import BadPixels, find_bad_pixels
from device.spectrometers.calibration import largest_deviation
from device.spectrometers.dark import DarkFrame, DarkLibrary
from device.spectrometers.dark_file import FILE_NAME, read_dark_frames, write_dark_frames
from device.spectrometers.exposure import AutoExposure
from device.spectrometers.quality import Quality, judge_saturation, judge_signal
from device.spectrometers.reading import Reading
from device.spectrometers.settings import SpectrometerSettings
from device.spectrometers.spectrometer import Spectrometer, create_spectrometer
from specnet.errors import ConfigurationError

MAX_AXIS_PIXELS = 1.0


class Instrument:
    """Takes readings with a driver.

    Parameters
    ----------
    driver
        Not yet open.
    settings
        How spectra are taken.
    dark_path
        File of the dark spectra.
    wavelengths
        Wavelengths ``(n_points,)`` in nm that the pixels are taken to have, compared with what the instrument tells;
        None for no comparison.
    """

    def __init__(
        self,
        driver: Spectrometer,
        settings: SpectrometerSettings,
        dark_path: Path,
        wavelengths: NDArray[np.float64] | None = None,
    ) -> None:
        self._driver = driver
        self._settings = settings
        self._dark_path = dark_path
        self._expected = wavelengths
        self._dark = self._library([])
        self._bad = BadPixels(settings.bad_pixels, driver.pixels)
        self._good = self._bad.good
        self._exposure: AutoExposure | None = None
        self._standing = Quality(0)
        self._counters: Counter[str] = Counter()

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._driver.model

    @property
    def serial_number(self) -> str:
        """Serial number, or the port where the instrument has none."""
        return self._driver.serial_number

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self._driver.pixels

    @property
    def bad_pixels(self) -> tuple[int, ...]:
        """Pixels that are interpolated: those of the settings and those that dark spectra show."""
        return self._bad.pixels

    @property
    def counters(self) -> Mapping[str, int]:
        """What the driver counted, and how often each flag was set."""
        return MappingProxyType({**self._counters, **self._driver.counters})

    def open(self) -> None:
        """Connect, and take up the dark spectra that are there; errors as in `Spectrometer.open`.

        Raises
        ------
        ConfigurationError
            When dark spectra are to be subtracted and their file is damaged or another instrument's.
        """
        self._driver.open()
        settings = self._settings
        if settings.exposure.auto:
            limits = self._driver.integration_time_micros_limits
            self._exposure = AutoExposure(settings.exposure, settings.full_scale, limits)
            within = self._exposure.clamp(self._driver.exposure_micros)
            if within != self._driver.exposure_micros:
                self._driver.integration_time_micros(within)
        if settings.dark.subtract:
            try:
                self._use(read_dark_frames(self._dark_path, self._dark_owner, self.pixels))
            except ConfigurationError:
                self._driver.close()
                raise
        self._standing = self._judge_axis()

    def close(self) -> None:
        """Disconnect."""
        self._driver.close()

    def wavelengths(self) -> NDArray[np.float64] | None:
        """Wavelengths ``(n_points,)`` in nm as the open instrument tells them; None when it does not."""
        return self._driver.wavelengths()

    def read(self) -> Reading:
        """Take one spectrum; errors as in `Spectrometer.intensities`."""
        settings = self._settings
        micros = self._driver.exposure_micros
        temperature = self._driver.temperature_c() if settings.dark.subtract else None
        average, flags, highest, brightest = ScanAverage(self.pixels), self._standing, 0.0, 0
        counts: NDArray[Any] = np.zeros(self.pixels)
        for _ in range(settings.scans):
            scan = self._driver.intensities()
            # a corrected spectrum no longer shows that it was saturated, and a hot pixel always is
            good = scan[self._good]
            flags |= judge_saturation(good, settings.full_scale)
            if float(good.max()) > highest:
                highest, brightest = float(good.max()), int(self._good[int(good.argmax())])
            counts = self._corrected(scan)
            average.add(counts)
        if settings.scans > 1:
            counts = average.mean
        if settings.dark.subtract:
            flags, counts = self._subtract_dark(flags, counts, micros, temperature)
        if self._bad.pixels:
            flags, counts = flags | Quality.PIXELS_REPAIRED, self._bad.repair(counts)
        flags |= judge_signal(counts, settings.min_signal)
        if self._exposure is not None:
            offset = self._dark.offset(brightest, micros, temperature)
            flags |= self._adapt(self._exposure, micros, highest, offset)
        self._counters.update(flags.names)
        return Reading(counts, flags, micros, settings.scans, highest, temperature)

    def take_dark(self, scans: int, micros: int | None = None) -> DarkFrame:
        """Take a dark spectrum of the exposure in force, or of another one, and keep it in the file.

        Parameters
        ----------
        scans
            How many are averaged.
        micros
            Exposure in microseconds; None takes the one in force.

        Raises
        ------
        ConfigurationError
            When the file belongs to another instrument or is full, or the light is on: a pixel is saturated.
        """
        if micros is not None:
            self._driver.integration_time_micros(micros)
        average, flags = ScanAverage(self.pixels), Quality(0)
        for _ in range(scans):
            scan = self._driver.intensities()
            flags |= judge_saturation(scan[self._good], self._settings.full_scale)
            average.add(self._corrected(scan))
        if flags:
            raise ConfigurationError("a dark spectrum is saturated: close the shutter or cover the fibre")
        frame = DarkFrame(
            self._driver.exposure_micros, average.mean, average.noise, scans, self._driver.temperature_c()
        )
        kept = [
            other
            for other in read_dark_frames(self._dark_path, self._dark_owner, self.pixels)
            if other.integration_us != frame.integration_us
        ]
        write_dark_frames(self._dark_path, self._dark_owner, [*kept, frame])
        self._use([*kept, frame])
        return frame

    def _corrected(self, scan: NDArray[Any]) -> NDArray[Any]:
        dark, linear = self._settings.correct_dark_counts, self._settings.correct_nonlinearity
        return self._driver.corrected(scan, dark, linear) if dark or linear else scan

    @property
    def _dark_owner(self) -> str:
        """Whose dark spectra they are: instruments without a serial number are told apart by their model only."""
        known = self.serial_number != self._settings.port
        return f"{self.model} {self.serial_number}" if known else self.model

    def _library(self, frames: list[DarkFrame]) -> DarkLibrary:
        dark = self._settings.dark
        return DarkLibrary(frames, tolerance=dark.tolerance, max_kelvin=dark.max_kelvin)

    def _use(self, frames: list[DarkFrame]) -> None:
        self._dark = self._library(frames)
        found = [pixel for frame in frames for pixel in find_bad_pixels(frame.counts, frame.noise, frame.scans)]
        self._bad = BadPixels([*self._settings.bad_pixels, *found], self.pixels)
        self._good = self._bad.good

    def _judge_axis(self) -> Quality:
        told = self._driver.wavelengths()
        if self._expected is None or told is None:
            return Quality(0)
        near = largest_deviation(told, self._expected) <= MAX_AXIS_PIXELS
        return Quality(0) if near else Quality.WRONG_AXIS

    def _subtract_dark(
        self, flags: Quality, counts: NDArray[Any], micros: int, temperature: float | None
    ) -> tuple[Quality, NDArray[Any]]:
        dark = self._dark.fitting(micros, temperature)
        if dark is None:
            return flags | Quality.NO_DARK, counts
        return flags | (Quality.DARK_SCALED if dark.scaled else Quality(0)), counts - dark.counts

    def _adapt(self, exposure: AutoExposure, micros: int, highest: float, offset: float) -> Quality:
        step = exposure.next(micros, highest, offset)
        if step.micros != micros:
            self._driver.integration_time_micros(step.micros)
        changed = self._driver.exposure_micros != micros
        return (Quality.EXPOSURE_CHANGING if changed else Quality(0)) | (
            Quality.EXPOSURE_AT_LIMIT if step.at_limit else Quality(0)
        )


def create_instrument(
    settings: SpectrometerSettings,
    n_points: int,
    state_dir: Path | str,
    wavelengths: NDArray[np.float64] | None = None,
) -> Instrument:
    """Make the instrument that the settings describe, not yet open.

    Parameters
    ----------
    settings
        Everything about it.
    n_points
        Number of pixels.
    state_dir
        Folder of the dark spectra where the settings name no file.
    wavelengths
        See `Instrument`.

    Raises
    ------
    ConfigurationError
        When the driver is unknown or its options are, or a bad pixel is outside the spectrum.
    """
    path = Path(settings.dark.file) if settings.dark.file else Path(state_dir) / FILE_NAME
    return Instrument(create_spectrometer(settings, n_points), settings, path, wavelengths)
