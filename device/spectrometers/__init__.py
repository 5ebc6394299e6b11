"""Spectrometers: line protocol, transports, drivers, and a simulator on a pseudo-terminal."""

from device.spectrometers import c12880ma as _c12880ma  # registers the driver
from device.spectrometers.settings import SpectrometerSettings
from device.spectrometers.spectrometer import (
    EndOfSpectraError,
    Spectrometer,
    SpectrometerLostError,
    create_spectrometer,
    list_spectrometers,
    register_spectrometer,
)

__all__ = [
    "EndOfSpectraError",
    "Spectrometer",
    "SpectrometerLostError",
    "SpectrometerSettings",
    "create_spectrometer",
    "list_spectrometers",
    "register_spectrometer",
]

del _c12880ma
