"""Fetching a model over MQTT: one part is asked for when the one before it is on disk."""

from __future__ import annotations

import logging
import queue
import time
from collections import Counter
from collections.abc import Callable

from device.models.pace import Pace
from device.models.partial import PartialFile
from specnet.errors import ModelStoreError, WireError
from specnet.wire import MAX_PART_PAYLOAD_BYTES, Part, PartRequest, decode, encode

logger = logging.getLogger(__name__)

LEAST_PART_BYTES = 256
FIRST_PART_BYTES = 4096
FAST_S = 0.25
SLOW_S = 2.0
TIMEOUT_S = 10.0
MAX_PAUSE_S = 60.0
MAX_INBOX = 4


class PartSource:
    """Asks for parts and takes them; parts that are damaged, late or of another file are asked for again.

    Parameters
    ----------
    publish
        Sends a payload to the topic of requests; False when that is not possible now.
    part_bytes
        Most bytes of a part. Parts become shorter where they take long, so that a slow link, which results share,
        is not blocked for long.
    timeout_s
        A part that takes longer is asked for again, in seconds; then twice as long, and so on up to a minute.
    """

    def __init__(self, publish: Callable[[bytes], bool], part_bytes: int, timeout_s: float = TIMEOUT_S) -> None:
        self._publish = publish
        self._part_bytes = part_bytes
        self._timeout_s = timeout_s
        self._inbox: queue.Queue[bytes] = queue.Queue(MAX_INBOX)
        self.counters: Counter[str] = Counter()

    def receive(self, payload: bytes) -> None:
        """Take a message from the topic of parts; called in the session's thread, never waits."""
        try:
            self._inbox.put_nowait(payload)
        except queue.Full:  # nobody has asked for so many: they are asked for again
            self.counters["parts_dropped"] += 1

    def fetch(self, partial: PartialFile, sha256: str, part_bytes: int, pace: Pace) -> None:
        """Fetch what is missing.

        Parameters
        ----------
        partial
            Takes the parts.
        sha256
            Of the file.
        part_bytes
            Most that the other side gives out at once.
        pace
            Rate, and when to end.

        Raises
        ------
        ModelStoreError
            When the other side has no such file, or the disk does not take it; `FetchInterruptedError` when it is to
            end.
        """
        most = min(self._part_bytes, part_bytes)
        length, pause = min(most, FIRST_PART_BYTES), self._timeout_s
        while partial.received < partial.size:
            pace.check()
            wanted = min(length, partial.size - partial.received)
            started = time.monotonic()
            part = self._ask(PartRequest(sha256=sha256, offset=partial.received, length=wanted), pause, pace)
            if part is None:
                length, pause = max(LEAST_PART_BYTES, length // 2), min(2 * pause, MAX_PAUSE_S)
                continue
            took = time.monotonic() - started
            partial.append(part.data)
            if took < FAST_S:
                length = min(2 * length, most)
            elif took > SLOW_S:
                length = max(LEAST_PART_BYTES, length // 2)
            pause = self._timeout_s
            pace.took(len(part.data))

    def _ask(self, request: PartRequest, timeout: float, pace: Pace) -> Part | None:
        """One part; None when it did not come in time."""
        deadline = time.monotonic() + timeout
        if not self._publish(encode(request)):
            pace.wait(min(timeout, 1.0))
            return None
        self.counters["parts_asked"] += 1
        while (left := deadline - time.monotonic()) > 0:
            pace.check()
            try:
                payload = self._inbox.get(timeout=min(left, 0.1))
            except queue.Empty:
                continue
            part = self._read(payload, request)
            if part is not None:
                return part
        self.counters["parts_late"] += 1
        return None

    def _read(self, payload: bytes, request: PartRequest) -> Part | None:
        try:
            part = decode(Part, payload, MAX_PART_PAYLOAD_BYTES)
        except WireError as error:
            self.counters["parts_damaged"] += 1
            logger.warning("a part of a model is refused: %s", error)
            return None
        if (part.sha256, part.offset) != (request.sha256, request.offset):
            self.counters["parts_foreign"] += 1  # the answer to a question that was asked twice
            return None
        if part.data and len(part.data) != request.length:
            # each part is forced to disk: one byte at a time would wear it out
            self.counters["parts_foreign"] += 1
            return None
        if part.error:
            raise ModelStoreError(f"the model is not given out: {part.error[:200]}")
        self.counters["parts"] += 1
        return part
