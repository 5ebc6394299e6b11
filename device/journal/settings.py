"""Bounds of what a device keeps on disk."""

from __future__ import annotations

import msgspec

from specnet.ranges import check_range

DAY_S = 86_400.0


class OutboxSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[outbox]``: bounds of what waits for the gateway.

    Beyond them the oldest audit samples are dropped, then the oldest requests, whose own answer becomes final.

    Parameters
    ----------
    max_bytes
        Size of all payloads together.
    max_requests
        Number of requests and audit samples together.
    max_age_s
        After this many seconds a request is given up. Counted by the monotonic clock; a pause between two boots counts
        for what the wall clock says, at most a day.
    audit_share
        Audit samples take at most this share of `max_bytes` and of `max_requests`, 0 to 1.
    """

    max_bytes: int = 16 << 20
    max_requests: int = 10_000
    max_age_s: float = 7 * DAY_S
    audit_share: float = 0.1

    def __post_init__(self) -> None:
        check_range("outbox.max_bytes", self.max_bytes, 1024, 1 << 34)
        check_range("outbox.max_requests", self.max_requests, 1, 10_000_000)
        check_range("outbox.max_age_s", self.max_age_s, 1.0, 3660 * DAY_S)
        check_range("outbox.audit_share", self.audit_share, 0.0, 1.0)


class HistorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[history]``: final answers that stay on disk, and how often the disk is flushed.

    Parameters
    ----------
    enabled
        Whether final answers are kept; without, they are forgotten once they are counted.
    max_rows
        Number of final answers that are kept.
    max_age_s
        How long they are kept, in seconds, by the same clock as ``outbox.max_age_s``.
    flush_s, flush_spectra
        Spectra and answers of the device alone are flushed to disk together: after so many seconds or so many spectra,
        whichever is first. That is what a power cut can take; a killed process loses nothing.
    """

    enabled: bool = True
    max_rows: int = 100_000
    max_age_s: float = 90 * DAY_S
    flush_s: float = 1.0
    flush_spectra: int = 64

    def __post_init__(self) -> None:
        check_range("history.max_rows", self.max_rows, 1, 10_000_000)
        check_range("history.max_age_s", self.max_age_s, 1.0, 36_600 * DAY_S)
        check_range("history.flush_s", self.flush_s, 0.01, 3600.0)
        check_range("history.flush_spectra", self.flush_spectra, 1, 100_000)
