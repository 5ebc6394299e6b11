"""Which spectrometer, where it is, what its pixels mean, and how its spectra are taken."""

from __future__ import annotations

import math

import msgspec

from specnet.errors import ConfigurationError
from specnet.ranges import check_range
from specnet.spectra import MAX_POINTS

MAX_COEFFICIENTS = 12
MAX_INTEGRATION_S = 600.0
MAX_SCANS = 1000
MAX_BAD_PIXELS = 4096


class ExposureSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[spectrometer.exposure]``: automatic exposure.

    Parameters
    ----------
    auto
        Whether the exposure follows the light; otherwise it stays at ``integration_time_s``.
    low, high
        Band for the highest point of a spectrum, as shares of full scale; inside it nothing is changed.
    max_step
        Largest factor between one exposure and the next.
    patience
        So many spectra in a row must be too dark before the exposure is lengthened; a saturated one shortens it at
        once.
    min_s, max_s
        Bounds in seconds, inside those of the instrument.
    """

    auto: bool = False
    low: float = 0.4
    high: float = 0.85
    max_step: float = 4.0
    patience: int = 2
    min_s: float = 1e-6
    max_s: float = 10.0

    def __post_init__(self) -> None:
        check_range("spectrometer.exposure.low", self.low, 0.01, 0.9)
        # a narrower band would let noise carry the peak from one side to the other
        check_range("spectrometer.exposure.high", self.high, min(1.3 * self.low, 0.98), 0.98)
        check_range("spectrometer.exposure.max_step", self.max_step, 1.2, 100.0)
        check_range("spectrometer.exposure.patience", self.patience, 1, 1000)
        check_range("spectrometer.exposure.min_s", self.min_s, 1e-6, MAX_INTEGRATION_S)
        check_range("spectrometer.exposure.max_s", self.max_s, self.min_s, MAX_INTEGRATION_S)


class DarkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[spectrometer.dark]``: spectra without light that are subtracted.

    Parameters
    ----------
    subtract
        Whether every spectrum must have a dark one subtracted; one without a fitting dark spectrum is unusable.
    file
        Where ``specnet-device dark`` keeps them; in the state folder when empty.
    tolerance
        A dark spectrum fits as it is when its exposure differs by no more than this share.
    max_kelvin
        Largest difference of temperature, where the instrument tells its temperature.
    """

    subtract: bool = False
    file: str = ""
    tolerance: float = 0.01
    max_kelvin: float = 3.0

    def __post_init__(self) -> None:
        check_range("spectrometer.dark.tolerance", self.tolerance, 0.0, 0.5)
        check_range("spectrometer.dark.max_kelvin", self.max_kelvin, 0.0, 100.0)


class SpectrometerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[spectrometer]``.

    Parameters
    ----------
    driver
        Name in the registry of drivers.
    port
        Serial port by path (``/dev/ttyACM0``) or by its USB numbers (``usb://2341:8037``, and ``/SERIAL`` behind them
        where there are two); a TCP serial server (``socket://host:port``); for ``seabreeze`` the serial number of the
        instrument, or ``first``.
    baudrate
        Serial port's speed; 0 takes the driver's usual one. USB ports ignore it.
    definition
        For ``declarative``: the TOML file, or the name of one that comes with the package.
    integration_time_s
        Exposure of one scan, in seconds; where it begins with automatic exposure.
    timeout_s
        How long the answer may take in addition to the exposure, in seconds.
    scans
        Scans that are averaged into one spectrum, by this software.
    onboard_scans
        Scans that the instrument itself adds up, where its driver can.
    boxcar
        Pixels to each side that the instrument averages, where its driver can.
    gain
        Gain setting of the instrument, where its driver has one.
    calibrated
        Calibrated values instead of counts, where its driver can.
    correct_dark_counts, correct_nonlinearity
        As in python-seabreeze: subtract the mean of the optically black pixels; apply the instrument's polynomial.
    dark_pixels
        Optically black pixels, counted from 0.
    n_points
        Pixels; 0 takes as many as the axis has.
    axis_file
        JSON file of an axis: quantity, unit, values; ``specnet-device axis`` writes one from the instrument's memory.
    coefficients
        Polynomial from the pixel's number (the first pixel is 1, as on the manufacturer's test sheet) to its wavelength
        in nm, constant term first. Without `axis_file` and `coefficients` the driver's own axis is taken where it has
        one that never changes, and the bundle's otherwise.
    laser_nm
        Excitation line in nm, where the model wants a Raman shift and the axis is a wavelength; 0 when there is none.
    full_scale
        ADC value from which a pixel is saturated; 0 switches the check off.
    min_signal
        A spectrum whose highest and lowest points differ by less is too weak; 0 switches the check off.
    bad_pixels
        Dead or hot pixels, counted from 0; their values are interpolated.
    interval_s
        Pause between two spectra, in seconds.
    exposure, dark
        Tables of their own.

    Raises
    ------
    ConfigurationError
        When a value is out of range or two contradict each other.
    """

    driver: str = "c12880ma"
    port: str = ""
    baudrate: int = 0
    definition: str = ""
    integration_time_s: float = 0.01
    timeout_s: float = 2.0
    scans: int = 1
    onboard_scans: int = 1
    boxcar: int = 0
    gain: int = 0
    calibrated: bool = False
    correct_dark_counts: bool = False
    correct_nonlinearity: bool = False
    dark_pixels: tuple[int, ...] = ()
    n_points: int = 0
    axis_file: str = ""
    coefficients: tuple[float, ...] = ()
    laser_nm: float = 0.0
    full_scale: float = 65_535.0
    min_signal: float = 0.0
    bad_pixels: tuple[int, ...] = ()
    interval_s: float = 0.0
    exposure: ExposureSettings = msgspec.field(default_factory=ExposureSettings)
    dark: DarkSettings = msgspec.field(default_factory=DarkSettings)

    def __post_init__(self) -> None:
        if self.baudrate != 0:
            check_range("spectrometer.baudrate", self.baudrate, 300, 12_000_000)
        check_range("spectrometer.integration_time_s", self.integration_time_s, 1e-6, MAX_INTEGRATION_S)
        check_range("spectrometer.timeout_s", self.timeout_s, 0.01, 600.0)
        check_range("spectrometer.scans", self.scans, 1, MAX_SCANS)
        check_range("spectrometer.onboard_scans", self.onboard_scans, 1, MAX_SCANS)
        check_range("spectrometer.boxcar", self.boxcar, 0, 500)
        check_range("spectrometer.gain", self.gain, 0, 255)
        check_range("spectrometer.n_points", self.n_points, 0, MAX_POINTS)
        check_range("spectrometer.laser_nm", self.laser_nm, 0.0, 1e5)
        check_range("spectrometer.full_scale", self.full_scale, 0.0, 1e12)
        check_range("spectrometer.min_signal", self.min_signal, 0.0, 1e12)
        check_range("spectrometer.interval_s", self.interval_s, 0.0, 86_400.0)
        for name, pixels in (("bad_pixels", self.bad_pixels), ("dark_pixels", self.dark_pixels)):
            if len(pixels) > MAX_BAD_PIXELS or any(not 0 <= pixel < MAX_POINTS for pixel in pixels):
                raise ConfigurationError(
                    f"spectrometer.{name} are at most {MAX_BAD_PIXELS} from 0 to {MAX_POINTS - 1}, got {pixels[:20]}"
                )
        if self.exposure.auto and not self.full_scale:
            raise ConfigurationError("spectrometer.exposure.auto needs spectrometer.full_scale, got 0")
        self._check_axis()

    def _check_axis(self) -> None:
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
