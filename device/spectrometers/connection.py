"""From the text of a port to a connected transport."""

from __future__ import annotations

import re

from serial.tools import list_ports

from device.spectrometers.settings import SpectrometerSettings
from device.spectrometers.spectrometer import SpectrometerLostError
from device.spectrometers.tcp_transport import TcpTransport
from device.spectrometers.transport import SerialTransport, Transport
from specnet.errors import ConfigurationError

_USB = re.compile(r"usb://([0-9a-fA-F]{4}):([0-9a-fA-F]{4})(?:/([^/]{1,100}))?\Z")
_SOCKET = re.compile(r"socket://(\[[0-9a-fA-F:.]+\]|[^/:\[\]]+):([0-9]{1,5})\Z")


def connect(settings: SpectrometerSettings, usual_baudrate: int) -> Transport:
    """Open the port of the settings.

    Parameters
    ----------
    settings
        Port and speed.
    usual_baudrate
        Speed when the settings name none.

    Raises
    ------
    ConfigurationError
        When the port is written in a way that nobody understands.
    SpectrometerLostError
        When it is not there, in use, or cannot be opened.
    """
    port = settings.port
    if port.startswith("socket://"):
        return TcpTransport(*parse_address(port))
    path = find_usb_port(port) if port.startswith("usb://") else port
    return SerialTransport(path, settings.baudrate or usual_baudrate)


def parse_address(port: str) -> tuple[str, int]:
    """Host and port number of ``socket://HOST:PORT``; `ConfigurationError` when it is something else."""
    match = _SOCKET.match(port)
    if match is None or not 0 < int(match[2]) < 65_536:
        raise ConfigurationError(f"a serial server is written socket://HOST:PORT, got {port[:80]!r}")
    return match[1].strip("[]"), int(match[2])


def find_usb_port(port: str) -> str:
    """Path of the serial port with the USB numbers ``usb://VID:PID`` or ``usb://VID:PID/SERIAL``.

    It is looked up again each time: after a replug the same instrument may have another path.

    Raises
    ------
    ConfigurationError
        When the numbers are not written so.
    SpectrometerLostError
        When no port has them, or several have and the serial number is missing.
    """
    match = _USB.match(port)
    if match is None:
        raise ConfigurationError(f"a USB port is written usb://VID:PID or usb://VID:PID/SERIAL, got {port[:80]!r}")
    vendor, product, serial = int(match[1], 16), int(match[2], 16), match[3]
    ports = list(list_ports.comports())
    fitting = [
        found
        for found in ports
        if (found.vid, found.pid) == (vendor, product) and (serial is None or found.serial_number == serial)
    ]
    if len(fitting) == 1:
        return str(fitting[0].device)
    if fitting:
        serials = ", ".join(f"{port}/{found.serial_number}" for found in fitting if found.serial_number)
        raise SpectrometerLostError(
            f"{len(fitting)} ports are {port}; add the serial number: {serials or 'none has one'}"
        )
    there = ", ".join(f"{found.vid:04x}:{found.pid:04x}" for found in ports if found.vid and found.pid)
    raise SpectrometerLostError(f"no serial port is {port}; there are {there or 'no USB ports'}")
