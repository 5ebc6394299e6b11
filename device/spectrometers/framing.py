"""Pieces of a byte stream that end with a separator; nothing is held beyond a limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """A whole piece, without its separator."""

    content: bytes


@dataclass(frozen=True)
class OverlongFrame:
    """A piece that was longer than the limit and was thrown away; `n_bytes` without its separator."""

    n_bytes: int


class SeparatedFramer:
    """Bytes in, frames out.

    How the bytes are cut into pieces changes nothing and no input raises.

    Parameters
    ----------
    separator
        What ends a frame, one byte or more.
    max_bytes
        Longest frame that is kept; no more than this and the separator are held.
    """

    def __init__(self, separator: bytes, max_bytes: int) -> None:
        self._separator = separator
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._discarded = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of an unfinished frame in the buffer."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame | OverlongFrame]:
        """Frames that `data` completes, empty ones included."""
        frames: list[Frame | OverlongFrame] = []
        size = len(self._separator)
        # a separator may have begun in the bytes before
        begin, search = 0, max(0, len(self._buffer) - size + 1)
        self._buffer += data
        while (end := self._buffer.find(self._separator, search)) >= 0:
            n_bytes = self._discarded + end - begin
            kept = n_bytes <= self._max_bytes
            frames.append(Frame(bytes(self._buffer[begin:end])) if kept else OverlongFrame(n_bytes))
            self._discarded = 0
            begin = search = end + size
        del self._buffer[:begin]
        if self._discarded or len(self._buffer) > self._max_bytes + size - 1:
            surplus = len(self._buffer) - size + 1
            if surplus > 0:
                self._discarded += surplus
                del self._buffer[:surplus]
        return frames

    def reset(self) -> int:
        """Forget the unfinished frame; returns how many bytes it had."""
        lost = len(self._buffer) + self._discarded
        self._buffer.clear()
        self._discarded = 0
        return lost
