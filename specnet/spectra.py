"""The spectral axis: what is measured along it, in which unit, and how one quantity becomes another.

Spectra themselves are plain arrays ``(n_spectra, n_points)`` whose last axis is spectral; a `SpectralAxis` says what
that last axis means.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from specnet.errors import AxisError, SpectrumError

NM_PER_CM = 1e7
MAX_POINTS = 65_536


class Quantity(StrEnum):
    """What is measured along the axis. `CHANNEL` is the number of a detector channel: nothing is known about it."""

    RAMAN_SHIFT = "raman_shift"
    WAVENUMBER = "wavenumber"
    WAVELENGTH = "wavelength"
    CHANNEL = "channel"


UNITS: dict[Quantity, tuple[str, ...]] = {
    Quantity.RAMAN_SHIFT: ("1/cm",),
    Quantity.WAVENUMBER: ("1/cm",),
    Quantity.WAVELENGTH: ("nm", "um"),
    Quantity.CHANNEL: ("1",),
}
"""Allowed units per quantity; the first is the usual one."""

LONG_NAMES: dict[Quantity, str] = {
    Quantity.RAMAN_SHIFT: "Raman shift (1/cm)",
    Quantity.WAVENUMBER: "Wavenumber (1/cm)",
    Quantity.WAVELENGTH: "Wavelength (nm)",
    Quantity.CHANNEL: "Channel",
}


@dataclass(frozen=True, eq=False)
class SpectralAxis:
    """An ascending spectral axis.

    Parameters
    ----------
    values
        ``(n_points,)`` strictly ascending, finite.
    quantity
        What is measured along the axis.
    unit
        ``"1/cm"``, ``"nm"``, ``"um"``, or ``"1"`` for channel numbers; the usual unit of the quantity when empty.

    Raises
    ------
    AxisError
        When the values are no ascending axis, or quantity and unit do not go together.
    """

    values: NDArray[np.float64]
    quantity: Quantity
    unit: str = ""

    def __post_init__(self) -> None:
        try:
            quantity = Quantity(self.quantity)
        except ValueError:
            known = ", ".join(Quantity)
            raise AxisError(f"unknown spectral quantity {self.quantity!r}; known: {known}") from None
        unit = self.unit or UNITS[quantity][0]
        if unit not in UNITS[quantity]:
            raise AxisError(f"a {quantity} axis is in {' or '.join(UNITS[quantity])}, got unit {unit!r}")
        values = np.array(self.values, dtype=np.float64)
        if values.ndim != 1 or not 2 <= values.size <= MAX_POINTS:
            raise AxisError(f"a spectral axis has 2 to {MAX_POINTS} points in one dimension, got shape {values.shape}")
        if not np.isfinite(values).all():
            raise AxisError(f"a spectral axis is finite; {int((~np.isfinite(values)).sum())} points are not")
        steps = np.diff(values)
        if not (steps > 0).all():
            first = int(np.argmin(steps > 0))
            raise AxisError(
                f"a spectral axis is strictly ascending; point {first + 1} ({values[first + 1]:g}) "
                f"does not follow point {first} ({values[first]:g})"
            )
        values.flags.writeable = False
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "quantity", quantity)
        object.__setattr__(self, "unit", unit)

    @classmethod
    def channels(cls, n_points: int) -> Self:
        """Axis of bare channel numbers ``0 .. n_points - 1``, for data whose axis is not known."""
        return cls(np.arange(n_points, dtype=np.float64), Quantity.CHANNEL)

    @property
    def n_points(self) -> int:
        """Number of points."""
        return int(self.values.size)

    @property
    def label(self) -> str:
        """Text for a plot's axis."""
        return "Wavelength (um)" if self.unit == "um" else LONG_NAMES[self.quantity]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SpectralAxis)
            and (self.quantity, self.unit) == (other.quantity, other.unit)
            and np.array_equal(self.values, other.values)
        )

    def __hash__(self) -> int:
        return hash((self.quantity, self.unit, self.values.tobytes()))

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON."""
        return {"quantity": str(self.quantity), "unit": self.unit, "values": self.values.tolist()}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        try:
            return cls(np.asarray(plain["values"], dtype=np.float64), Quantity(plain["quantity"]), plain["unit"])
        except (KeyError, TypeError, ValueError) as error:
            raise AxisError(f"an axis needs quantity, unit and values: {error}") from error

    def require_same_kind(self, other: SpectralAxis, what: str = "axis") -> None:
        """Raise `AxisError` unless `other` measures the same quantity in the same unit."""
        if (self.quantity, self.unit) != (other.quantity, other.unit):
            raise AxisError(
                f"{what} is {other.quantity} in {other.unit}, expected {self.quantity} in {self.unit}; "
                "convert it first (a Raman shift needs the laser line)"
            )

    def convert(self, quantity: Quantity | str, unit: str = "", *, laser_nm: float | None = None) -> SpectralAxis:
        """Axis of the same points in another quantity.

        The result is ascending, so converting between wavelength and wavenumber *reverses the order of points*:
        use `convert_spectra`, which reverses the intensities too.

        Parameters
        ----------
        quantity, unit
            The target.
        laser_nm
            Excitation line in nm; needed to or from a Raman shift.

        Raises
        ------
        AxisError
            For a channel axis, a missing laser line, or points at or below zero.
        """
        target = Quantity(quantity)
        wavelength = self._wavelength_nm(laser_nm)
        return SpectralAxis(np.sort(_from_wavelength(wavelength, target, unit, laser_nm)), target, unit)

    def _wavelength_nm(self, laser_nm: float | None) -> NDArray[np.float64]:
        if self.quantity is Quantity.CHANNEL:
            raise AxisError("channel numbers cannot be converted: nothing is known about their position")
        if self.quantity is Quantity.WAVELENGTH:
            return self.values * (1e3 if self.unit == "um" else 1.0)
        absolute = self.values
        if self.quantity is Quantity.RAMAN_SHIFT:
            absolute = NM_PER_CM / _require_laser(laser_nm) - self.values
        if not (absolute > 0).all():
            raise AxisError(f"an absolute wavenumber is positive, the axis reaches {absolute.min():g} 1/cm")
        return NM_PER_CM / absolute


def convert_spectra(
    intensity: NDArray[Any],
    axis: SpectralAxis,
    quantity: Quantity | str,
    unit: str = "",
    *,
    laser_nm: float | None = None,
) -> tuple[NDArray[Any], SpectralAxis]:
    """Spectra ``(..., n_points)`` and their axis in another quantity, points reversed where the order turns round."""
    converted = axis.convert(quantity, unit, laser_nm=laser_nm)
    wavelength = axis._wavelength_nm(laser_nm)
    reverse = _from_wavelength(wavelength[:2], converted.quantity, converted.unit, laser_nm)
    return (intensity[..., ::-1].copy() if reverse[0] > reverse[1] else intensity), converted


def _from_wavelength(
    wavelength_nm: NDArray[np.float64], quantity: Quantity, unit: str, laser_nm: float | None
) -> NDArray[np.float64]:
    if not (wavelength_nm > 0).all():
        raise AxisError(f"a wavelength is positive, the axis reaches {wavelength_nm.min():g} nm")
    if quantity is Quantity.WAVELENGTH:
        return wavelength_nm / (1e3 if unit == "um" else 1.0)
    if quantity is Quantity.WAVENUMBER:
        return NM_PER_CM / wavelength_nm
    if quantity is Quantity.RAMAN_SHIFT:
        return NM_PER_CM / _require_laser(laser_nm) - NM_PER_CM / wavelength_nm
    raise AxisError("an axis cannot be converted to channel numbers; use SpectralAxis.channels")


def _require_laser(laser_nm: float | None) -> float:
    if laser_nm is None or not np.isfinite(laser_nm) or laser_nm <= 0:
        raise AxisError(f"a Raman shift needs the laser line in nm, got {laser_nm}")
    return float(laser_nm)


def check_intensity(intensity: ArrayLike, n_points: int, saturation: float | None = None) -> NDArray[np.float32]:
    """Spectra as float32 ``(..., n_points)``, or the reason why they cannot be judged.

    Parameters
    ----------
    intensity
        Counts or any other intensity; the last axis is spectral.
    n_points
        Length that the axis announces.
    saturation
        Full scale of the detector in the same unit; a spectrum with a point at or above it is refused.

    Raises
    ------
    SpectrumError
        Wrong length, not finite, all zero (a dead detector or a closed shutter) or saturated.
    """
    try:
        array = np.asarray(intensity, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise SpectrumError(f"intensity is no array of numbers: {error}") from error
    if array.ndim == 0 or array.shape[-1] != n_points:
        raise SpectrumError(f"got {array.shape[-1] if array.ndim else 0} points, expected {n_points}")
    if np.count_nonzero(np.isfinite(array)) < array.size:  # .all() takes longer for one spectrum
        raise SpectrumError(f"{int((~np.isfinite(array)).sum())} of {array.size} points are NaN or infinite")
    if array.size and not (np.count_nonzero(array) if array.ndim == 1 else array.any(axis=-1).all()):
        raise SpectrumError("all points are zero: no light reached the detector, or it did not answer")
    if saturation is not None and array.size and float(array.max()) >= saturation:
        raise SpectrumError(f"saturated: highest point {float(array.max()):g}, full scale {saturation:g}")
    return array
