"""Spectrometers: protocols without input and output, transports, drivers, quality of spectra, simulated boards.

=================  =============================================================================================
`c12880ma`         Hamamatsu C12880MA on boards with the line protocol
`ocean-letter`     Ocean Optics on RS-232: USB2000, USB4000, HR2000, HR4000, Flame
`ocean-binary`     Ocean Optics with the Ocean Binary Protocol: STS and others
`as7265x`          ams AS7265x, 18 channels, AT commands
`declarative`      any board that a TOML file describes: `device.spectrometers.definition`
`seabreeze`        Ocean Optics on USB through python-seabreeze, where that is installed
=================  =============================================================================================
"""

# each registers its driver
from device.spectrometers import as7265x, c12880ma, declarative, ocean_binary, ocean_letter, seabreeze_usb
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

del as7265x, c12880ma, declarative, ocean_binary, ocean_letter, seabreeze_usb
