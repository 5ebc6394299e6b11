"""What the pixels of the spectrometer mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from device.spectrometers.calibration import WavelengthCalibration
from device.spectrometers.settings import SpectrometerSettings
from device.spectrometers.spectrometer import known_axis
from specnet.errors import AxisError, ConfigurationError
from specnet.files import read_bounded
from specnet.spectra import Quantity, SpectralAxis, convert_spectra

MAX_AXIS_BYTES = 4 << 20


@dataclass(frozen=True)
class PixelAxis:
    """Axis of the spectra as the model sees them, and the order in which the pixels are taken.

    `order` is ``(n_points,)``; it turns the spectrum round where wavelengths become wavenumbers. `wavelengths` are
    those of the pixels in nm ``(n_points,)`` in the order of the detector, None where only something else is known.
    """

    axis: SpectralAxis
    order: NDArray[np.intp]
    wavelengths: NDArray[np.float64] | None = None

    @property
    def n_points(self) -> int:
        """Number of pixels."""
        return self.axis.n_points

    def arrange(self, counts: NDArray[Any]) -> NDArray[Any]:
        """Put counts ``(n_points,)`` into the order of the axis."""
        return counts[self.order]


def resolve_axis(settings: SpectrometerSettings, wanted: SpectralAxis) -> PixelAxis:
    """Find out what the pixels mean: from a file, a polynomial, the driver, or as in the training spectra.

    Parameters
    ----------
    settings
        Where the axis comes from.
    wanted
        Axis of the training spectra: its quantity is converted to, and it is taken itself when neither the settings nor
        the driver name an axis.

    Raises
    ------
    ConfigurationError
        When the file cannot be read, or the number of points disagrees with the settings.
    AxisError
        When the axis is none, or cannot be converted.
    """
    if settings.axis_file:
        axis = _read_axis(Path(settings.axis_file))
    elif settings.coefficients:
        calibration = WavelengthCalibration(settings.coefficients, first_pixel=1)
        axis = SpectralAxis(calibration.wavelengths(settings.n_points), Quantity.WAVELENGTH)
    else:
        known = known_axis(settings)
        axis = wanted if known is None else known
    if settings.n_points not in (0, axis.n_points):
        raise ConfigurationError(f"spectrometer.n_points is {settings.n_points}, its axis has {axis.n_points} points")
    order = np.arange(axis.n_points)
    is_in_nm = axis.quantity is Quantity.WAVELENGTH and axis.unit == "nm"
    wavelengths = axis.values if is_in_nm else None
    if (axis.quantity, axis.unit) != (wanted.quantity, wanted.unit):
        laser_nm = settings.laser_nm or None
        order, axis = convert_spectra(order, axis, wanted.quantity, wanted.unit, laser_nm=laser_nm)
    return PixelAxis(axis, order, wavelengths)


def _read_axis(path: Path) -> SpectralAxis:
    content = read_bounded(path, MAX_AXIS_BYTES, "spectrometer.axis_file", ConfigurationError)
    try:
        return SpectralAxis.from_dict(msgspec.json.decode(content, type=dict[str, Any]))
    except (msgspec.MsgspecError, UnicodeDecodeError, AxisError) as error:
        raise ConfigurationError(
            f"spectrometer.axis_file {path} is no axis (JSON with quantity, unit, values): {error}"
        ) from error
