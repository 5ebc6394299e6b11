"""Bytes to and from an instrument behind a TCP serial server."""

from __future__ import annotations

import select
import socket
import time

from device.spectrometers.spectrometer import SpectrometerLostError

CONNECT_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 5.0
READ_BYTES = 65_536
# a server that lost its power says nothing more: found out after 10 + 3 * 5 seconds instead of two hours
KEEP_ALIVE_IDLE_S, KEEP_ALIVE_INTERVAL_S, KEEP_ALIVE_PROBES = 10, 5, 3


class TcpTransport:
    """A raw TCP connection, as serial servers and `ser2net` offer it.

    Parameters
    ----------
    host, port
        Address of the server.

    Raises
    ------
    SpectrometerLostError
        When nobody listens there, within five seconds.
    """

    def __init__(self, host: str, port: int) -> None:
        self._name = f"{host}:{port}"
        try:
            self._socket = socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S)
        except OSError as error:
            raise SpectrometerLostError(f"serial server {self._name} cannot be reached: {error}") from error
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", KEEP_ALIVE_IDLE_S),
            ("TCP_KEEPINTVL", KEEP_ALIVE_INTERVAL_S),
            ("TCP_KEEPCNT", KEEP_ALIVE_PROBES),
        ):
            # the names differ between systems
            if hasattr(socket, name):
                self._socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def read(self, timeout: float) -> bytes:
        """Bytes that have arrived; see `Transport`."""
        try:
            if not select.select([self._socket], [], [], max(timeout, 0.0))[0]:
                return b""
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        except (OSError, ValueError) as error:
            raise SpectrometerLostError(f"serial server {self._name} is gone: {error}") from error
        if not data:
            raise SpectrometerLostError(f"serial server {self._name} has closed the connection")
        return data

    def write(self, data: bytes) -> None:
        """Send all bytes; see `Transport`."""
        deadline = time.monotonic() + WRITE_TIMEOUT_S
        try:
            while data:
                if not select.select([], [self._socket], [], max(deadline - time.monotonic(), 0.0))[1]:
                    raise SpectrometerLostError(f"serial server {self._name} takes no bytes for {WRITE_TIMEOUT_S:g} s")
                data = data[self._socket.send(data) :]
        except (OSError, ValueError) as error:
            raise SpectrometerLostError(f"serial server {self._name} is gone: {error}") from error

    def set_baudrate(self, baudrate: int) -> bool:
        """Nothing to change: the server has its own speed towards the instrument."""
        return False

    def close(self) -> None:
        """Disconnect; see `Transport`."""
        self._socket.close()
