"""How long the disk takes until a request is safe there."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from device.journal import HistorySettings, Journal, OutboxSettings
from device.outbox import Outbox, PendingRequest

REQUESTS = 100
PAYLOAD_BYTES = 200
PAUSE_S = 0.005
"""Between two requests: a disk that is written to without a pause takes longer than one that rests."""


def outbox_times(state_dir: Path | None = None, n: int = REQUESTS) -> list[float]:
    """Put requests into an outbox of its own, one after the other; microseconds of each.

    Parameters
    ----------
    state_dir
        A folder on the disk in question; that of temporary files when it is None or not there yet.
    n
        Requests.
    """
    times = []
    place = state_dir if state_dir is not None and state_dir.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        settings = OutboxSettings()
        journal = Journal(Path(folder) / "journal.sqlite", settings, HistorySettings())
        outbox = Outbox(journal, settings)
        try:
            for sequence in range(n):
                request = _request(journal.boot, sequence)
                before = time.perf_counter()
                outbox.put(request, "specnet/v1/site/device/offload/0123456789abcdef/1", bytes(PAYLOAD_BYTES))
                outbox.flush()
                times.append((time.perf_counter() - before) * 1e6)
                outbox.give_up(request.key, "measured")
                time.sleep(PAUSE_S)
        finally:
            journal.close()
    return times


def _request(boot: int, sequence: int) -> PendingRequest:
    return PendingRequest(
        boot=boot,
        sequence=sequence,
        bundle="0123456789abcdef",
        label=0,
        class_name="class",
        probability=0.5,
        exit_index=0,
        macs=0,
        local_us=0.0,
        payload_bytes=PAYLOAD_BYTES,
        acquired=0.0,
    )
