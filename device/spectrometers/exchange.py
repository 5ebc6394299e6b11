"""Requests and replies, one at a time, over a line that may stammer, lie or fall silent."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from device.spectrometers.spectrometer import SpectrometerLostError
from device.spectrometers.transport import Transport
from specnet.errors import SpectrometerError

QUIET_S = 0.03
STALL_S = 0.5
MAX_STALE_READS = 20_000
MAX_DRAIN_S = 10.0

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)


class Parser(Protocol[E_co]):
    """Bytes in, events out; holds a bounded number of bytes and never raises."""

    @property
    def held_bytes(self) -> int:
        """Bytes of something unfinished."""

    def feed(self, data: bytes) -> Sequence[E_co]:
        """Events that `data` completes; how the bytes are cut into pieces changes nothing."""

    def reset(self) -> int:
        """Forget what is unfinished; returns how many bytes it had."""


class Exchange(Generic[E]):
    """One connection and what goes wrong on it.

    Parameters
    ----------
    parser
        Of the instrument's protocol.
    connect
        Opens the transport.
    """

    def __init__(self, parser: Parser[E], connect: Callable[[], Transport]) -> None:
        self._parser = parser
        self._connect = connect
        self._transport: Transport | None = None
        self.in_step = False
        self.counters: Counter[str] = Counter()

    @property
    def transport(self) -> Transport:
        """The connection; `SpectrometerLostError` when there is none."""
        if self._transport is None:
            raise SpectrometerLostError("the spectrometer is not open")
        return self._transport

    def open(self) -> None:
        """Connect anew, out of step."""
        self.close()
        self._transport = self._connect()
        self._parser.reset()

    def close(self) -> None:
        """Disconnect; harmless when not connected."""
        transport, self._transport = self._transport, None
        self.in_step = False
        if transport is not None:
            transport.close()

    def ask(self, request: bytes, patience_s: float) -> E:
        """Send a request and give the one event that follows.

        Raises
        ------
        SpectrometerError
            When there is none within `patience_s` seconds, only a part of one, or more than one.
        SpectrometerLostError
            When the connection is gone.
        """
        self.transport.write(request)
        events = self.events(patience_s)
        if len(events) > 1:
            raise self.failure("unasked", f"the spectrometer sent {len(events)} replies, expected one")
        if events:
            return events[0]
        kind = "half_line" if self._parser.reset() else "timeout"
        what = kind.replace("_", " ")
        raise self.failure(kind, f"the spectrometer gave no whole reply within {patience_s:g} s ({what})")

    def events(self, patience_s: float) -> Sequence[E]:
        """Wait for events; an empty list when none came in time."""
        transport = self.transport
        deadline = time.monotonic() + patience_s
        while (left := deadline - time.monotonic()) > 0:
            # a reply that has begun goes on at once; waiting longer for the rest of a broken one would only cost time
            data = transport.read(min(left, STALL_S) if self._parser.held_bytes else left)
            if events := self._parser.feed(data):
                return events
            if not data and self._parser.held_bytes:
                break
        return []

    def drain(self) -> None:
        """Throw away what still comes, until the line is quiet."""
        # a slow line may be in the middle of a long spectrum that nobody wants any more
        deadline = time.monotonic() + MAX_DRAIN_S
        for _ in range(MAX_STALE_READS):
            if not self.transport.read(QUIET_S):
                self._parser.reset()
                return
            if time.monotonic() > deadline:
                break
        raise SpectrometerLostError("the spectrometer sends without being asked and does not stop")

    def failure(self, kind: str, message: str) -> SpectrometerError:
        """Count what went wrong; the next request begins with getting into step again."""
        self.counters[kind] += 1
        self.in_step = False
        return SpectrometerError(message)
