"""Who is told what became of the requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from device.outbox import Dropped, PendingRequest
from specnet.wire import Command, Result


class Listener(Protocol):
    """Called in the uplink's thread; `dropped` also in the one that submits."""

    def answered(self, answers: Sequence[tuple[PendingRequest, Result]]) -> None:
        """Make results final in the journal and give them out; ``result.error`` says that there is no answer."""

    def overdue(self, request: PendingRequest) -> None:
        """Note that the deadline has passed without a result."""

    def dropped(self, dropped: Dropped) -> None:
        """Note that a request was given up: the device's own answer stands, and is final in the journal."""

    def commanded(self, command: Command) -> str:
        """Obey a command; returns why not, or an empty text."""

    def refused(self, reason: str) -> None:
        """Note that a command could not be read."""
