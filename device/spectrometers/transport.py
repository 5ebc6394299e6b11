"""Bytes to and from an instrument on a serial port."""

from __future__ import annotations

import select
import termios
from typing import Protocol

import serial

from device.spectrometers.spectrometer import SpectrometerLostError

READ_BYTES = 65_536
WRITE_TIMEOUT_S = 2.0
# what pyserial lets through when a port disappears under it: besides its own errors those of the calls below it
_GONE = (OSError, ValueError, TypeError, termios.error)


class Transport(Protocol):
    """A connected stream of bytes."""

    def read(self, timeout: float) -> bytes:
        """Bytes that have arrived, at the latest after `timeout` seconds; empty when none did.

        Raises
        ------
        SpectrometerLostError
            When the connection is gone.
        """

    def write(self, data: bytes) -> None:
        """Send all bytes; errors as `read`."""

    def set_baudrate(self, baudrate: int) -> bool:
        """Change the speed; False where there is none to change (a network)."""

    def close(self) -> None:
        """Disconnect; harmless when gone already."""


class SerialTransport:
    """A serial port, or a pseudo-terminal, opened for this process alone.

    Parameters
    ----------
    port
        Path of the port.
    baudrate
        Speed.

    Raises
    ------
    SpectrometerLostError
        When the port is not there, is in use, or may not be opened.
    """

    def __init__(self, port: str, baudrate: int) -> None:
        self._port = port
        try:
            # timeout 0: waiting is done by select, because pyserial reconfigures the port for each new timeout
            self._serial = serial.Serial(port, baudrate, timeout=0, write_timeout=WRITE_TIMEOUT_S, exclusive=True)
        except _GONE as error:
            raise SpectrometerLostError(f"serial port {port!r} cannot be opened: {error}") from error

    def read(self, timeout: float) -> bytes:
        """Bytes that have arrived; see `Transport`."""
        try:
            if not select.select([self._serial.fileno()], [], [], max(timeout, 0.0))[0]:
                return b""
            return bytes(self._serial.read(READ_BYTES))
        except _GONE as error:
            raise SpectrometerLostError(f"serial port {self._port!r} is gone: {error}") from error

    def write(self, data: bytes) -> None:
        """Send all bytes; see `Transport`."""
        try:
            self._serial.write(data)
        except _GONE as error:
            raise SpectrometerLostError(f"serial port {self._port!r} is gone: {error}") from error

    def set_baudrate(self, baudrate: int) -> bool:
        """Change the speed; see `Transport`."""
        try:
            self._serial.baudrate = baudrate
        except _GONE as error:
            raise SpectrometerLostError(
                f"serial port {self._port!r} cannot be set to {baudrate} baud: {error}"
            ) from error
        return True

    def close(self) -> None:
        """Disconnect; see `Transport`."""
        try:
            self._serial.close()
        except _GONE:
            return
