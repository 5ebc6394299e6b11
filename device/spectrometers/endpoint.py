"""Where a simulated board is reached: a pseudo-terminal or a TCP port, which can be unplugged."""

from __future__ import annotations

import os
import select
import socket
import termios
import time
import tty
from pathlib import Path
from typing import Protocol

from specnet.errors import ConfigurationError

POLL_S = 0.2
READ_BYTES = 4096
_BAUDRATES = {getattr(termios, name): int(name[1:]) for name in dir(termios) if name[0] == "B" and name[1:].isdigit()}


class Endpoint(Protocol):
    """The board's end of the line."""

    @property
    def address(self) -> str:
        """What a host has to connect to."""

    @property
    def host_baudrate(self) -> int:
        """Speed that the host has set; 0 when there is none."""

    def receive(self) -> bytes:
        """Bytes from the host, waiting a moment for them."""

    def send(self, data: bytes, patience_s: float) -> bytes:
        """Send what can be sent within `patience_s` seconds; returns what is left because the host does not read."""

    def unplug(self) -> None:
        """Be gone; harmless when gone."""

    def plug_in(self) -> None:
        """Be there again."""


class PtyEndpoint:
    """A pseudo-terminal.

    Parameters
    ----------
    link
        Path of a symbolic link to it, renewed when it is plugged in again; None for none.

    Raises
    ------
    ConfigurationError
        When the link's path is taken by something that is no link.
    """

    def __init__(self, link: Path | None) -> None:
        self._link = link
        self._master, self._slave = -1, -1
        self._address = ""
        if link is not None and link.exists() and not link.is_symlink():
            raise ConfigurationError(f"{link} exists and is no symbolic link; choose another path for the link")
        self.plug_in()

    @property
    def address(self) -> str:
        """Path of the terminal."""
        return self._address

    @property
    def host_baudrate(self) -> int:
        """Speed that the host has set on the terminal."""
        return _BAUDRATES.get(termios.tcgetattr(self._slave)[5], 0)

    def receive(self) -> bytes:
        """See `Endpoint`."""
        ready, _, _ = select.select([self._master], [], [], POLL_S)
        return os.read(self._master, READ_BYTES) if ready else b""

    def send(self, data: bytes, patience_s: float) -> bytes:
        """See `Endpoint`."""
        deadline = time.monotonic() + patience_s
        while data and (left := deadline - time.monotonic()) > 0:
            if select.select([], [self._master], [], min(left, POLL_S))[1]:
                try:
                    data = data[os.write(self._master, data) :]
                except BlockingIOError:
                    # select may promise room that the line discipline then does not have
                    time.sleep(0.001)
        if data:
            termios.tcflush(self._slave, termios.TCIFLUSH)
        return data

    def unplug(self) -> None:
        """See `Endpoint`."""
        if self._link is not None:
            self._link.unlink(missing_ok=True)
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
        self._master, self._slave = -1, -1

    def plug_in(self) -> None:
        """See `Endpoint`."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._address = os.ttyname(self._slave)
        if self._link is not None:
            self._link.parent.mkdir(parents=True, exist_ok=True)
            # renamed into place, so that whoever follows the link finds the old port or the new one
            temporary = self._link.with_name(f".{self._link.name}.{os.getpid()}")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(self._address)
            temporary.replace(self._link)


class TcpEndpoint:
    """A serial server: one host at a time.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one.

    Raises
    ------
    ConfigurationError
        When nobody can listen there.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._listener: socket.socket | None = None
        self._peer: socket.socket | None = None
        self.plug_in()

    @property
    def address(self) -> str:
        """As the settings of a device want it."""
        return f"socket://{self._host}:{self._port}"

    @property
    def host_baudrate(self) -> int:
        """None: a network has no speed to agree upon."""
        return 0

    def receive(self) -> bytes:
        """See `Endpoint`; takes the next host when the one before has gone."""
        assert self._listener is not None
        watched = self._peer or self._listener
        if not select.select([watched], [], [], POLL_S)[0]:
            return b""
        if self._peer is None:
            self._peer = self._listener.accept()[0]
            self._peer.setblocking(False)
            self._peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return b""
        try:
            data = self._peer.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._hang_up()
        return data

    def send(self, data: bytes, patience_s: float) -> bytes:
        """See `Endpoint`."""
        deadline = time.monotonic() + patience_s
        while data and self._peer is not None and (left := deadline - time.monotonic()) > 0:
            try:
                if select.select([], [self._peer], [], min(left, POLL_S))[1]:
                    data = data[self._peer.send(data) :]
            except BlockingIOError:
                continue
            except OSError:
                self._hang_up()
        return data

    def unplug(self) -> None:
        """See `Endpoint`."""
        self._hang_up()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def plug_in(self) -> None:
        """See `Endpoint`."""
        try:
            self._listener = socket.create_server((self._host, self._port), backlog=1)
        except OSError as error:
            raise ConfigurationError(f"cannot listen at {self._host}:{self._port}: {error}") from error
        self._port = self._listener.getsockname()[1]

    def _hang_up(self) -> None:
        if self._peer is not None:
            self._peer.close()
            self._peer = None
