"""Stands for systemd: a socket to which a service says how it goes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


class Manager:
    """Stands for the service manager: a bound socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(30)

    def receive(self) -> str:
        return self.socket.recv(4096).decode()

    def wait_for(self, state: str) -> list[str]:
        """Everything up to the first message that has this line."""
        messages = [self.receive()]
        while state not in messages[-1].splitlines():
            messages.append(self.receive())
        return messages

    @property
    def silent(self) -> bool:
        self.socket.setblocking(False)
        try:
            self.socket.recv(4096)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(30)
        return False


@contextmanager
def manager_at(address: str) -> Iterator[Manager]:
    manager = Manager(address)
    try:
        yield manager
    finally:
        manager.socket.close()
