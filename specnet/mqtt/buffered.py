"""Fewer system calls for many small messages: paho asks its socket for one byte, for another, then for the rest."""

from __future__ import annotations

from typing import Any

import paho.mqtt.client as paho

BUFFER_BYTES = 65_536


class BufferedSocket:
    """A socket whose `recv` answers from what an earlier call of the kernel has brought; everything else is passed on.

    Each call of the kernel gives the interpreter's lock away, which a computing thread may keep for milliseconds before
    it gives it back. `pending` tells paho that there is more to read without waiting, as it does for TLS.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._buffer, self._at = b"", 0

    def recv(self, n: int) -> bytes:
        """Give up to `n` bytes; raises what the socket raises, and gives none at the end of the stream, as it does."""
        if self._at == len(self._buffer):
            self._buffer, self._at = self._sock.recv(max(n, BUFFER_BYTES)), 0
        taken = self._buffer[self._at : self._at + n]
        self._at += len(taken)
        return taken

    def pending(self) -> int:
        """Count the bytes that can be read without waiting for the network."""
        beneath = getattr(self._sock, "pending", None)
        return len(self._buffer) - self._at + (beneath() if beneath is not None else 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class BufferedClient(paho.Client):
    """A paho client with such a socket.

    The method is private in paho, which puts wrappers of its own there (websockets, TLS); a paho without it works as
    before, and a test would say so.
    """

    def _create_socket(self) -> Any:
        return BufferedSocket(super()._create_socket())
