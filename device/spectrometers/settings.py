"""Which spectrometer, where it is, and what its pixels mean."""

from __future__ import annotations

import math

import msgspec

from specnet.errors import ConfigurationError
from specnet.spectra import MAX_POINTS

MAX_COEFFICIENTS = 12
MAX_INTEGRATION_S = 600.0


class SpectrometerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[spectrometer]``.

    Parameters
    ----------
    driver
        Name in the registry of drivers.
    port, baudrate
        Serial port; USB ones ignore the speed.
    integration_time_s
        Exposure of one spectrum, in seconds.
    timeout_s
        How long the answer may take in addition to the exposure, in seconds.
    n_points
        Pixels; 0 takes as many as the axis has.
    axis_file
        JSON file of an axis: quantity, unit, values.
    coefficients
        Polynomial from the pixel's number (the first pixel is 1, as on the manufacturer's test sheet) to its wavelength
        in nm, constant term first. Without `axis_file` and `coefficients` the bundle's own axis is taken.
    laser_nm
        Excitation line in nm, where the model wants a Raman shift and the axis is a wavelength; 0 when there is none.
    full_scale
        ADC value from which a pixel is saturated; 0 switches the check off.
    interval_s
        Pause between two spectra, in seconds.

    Raises
    ------
    ConfigurationError
        When a value is out of range or two contradict each other.
    """

    driver: str = "c12880ma"
    port: str = ""
    baudrate: int = 115_200
    integration_time_s: float = 0.01
    timeout_s: float = 2.0
    n_points: int = 0
    axis_file: str = ""
    coefficients: tuple[float, ...] = ()
    laser_nm: float = 0.0
    full_scale: float = 65_535.0
    interval_s: float = 0.0

    def __post_init__(self) -> None:
        _check("baudrate", self.baudrate, 300, 12_000_000)
        _check("integration_time_s", self.integration_time_s, 1e-6, MAX_INTEGRATION_S)
        _check("timeout_s", self.timeout_s, 0.01, 600.0)
        _check("n_points", self.n_points, 0, MAX_POINTS)
        _check("laser_nm", self.laser_nm, 0.0, 1e5)
        _check("full_scale", self.full_scale, 0.0, 1e12)
        _check("interval_s", self.interval_s, 0.0, 86_400.0)
        if self.axis_file and self.coefficients:
            raise ConfigurationError(
                "spectrometer.axis_file and spectrometer.coefficients exclude each other, got both"
            )
        if len(self.coefficients) > MAX_COEFFICIENTS or not all(math.isfinite(c) for c in self.coefficients):
            raise ConfigurationError(
                f"spectrometer.coefficients are at most {MAX_COEFFICIENTS} finite numbers, got {self.coefficients[:20]}"
            )
        if self.coefficients and self.n_points < 2:
            raise ConfigurationError(f"spectrometer.coefficients need n_points of at least 2, got {self.n_points}")


def _check(name: str, value: float, low: float, high: float) -> None:
    # written so that NaN fails too
    if not low <= value <= high:
        raise ConfigurationError(f"spectrometer.{name} is from {low:g} to {high:g}, got {value}")
