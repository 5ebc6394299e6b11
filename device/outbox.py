"""Requests that wait for their result, on disk: they survive a crash, a power cut and a week without a broker."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import NamedTuple

import msgspec

from device.journal.finals import Final, Key
from device.journal.journal import Journal
from device.journal.settings import OutboxSettings

EXPIRE_STEP = 200
FULL, EXPIRED = "outbox full", "too old"


class PendingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request without result, and the device's own answer that stands until then.

    `acquired` is monotonic time in seconds; it means something only within its boot. `audit` marks a sample of a final
    answer, whose result is only compared. `flags` is what is known against the spectrum.
    """

    boot: int
    sequence: int
    bundle: str
    label: int
    class_name: str
    probability: float
    exit_index: int
    macs: int
    local_us: float
    payload_bytes: int
    acquired: float
    known: bool = True
    audit: bool = False
    flags: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """``(boot, sequence)``."""
        return self.boot, self.sequence


class Dropped(NamedTuple):
    """A request that was given up, why, and whether its own answer is final on disk."""

    request: PendingRequest
    reason: str
    final: Final
    recorded: bool = True


class Load(NamedTuple):
    """What waits: requests and audit samples, and bytes of each."""

    requests: int
    request_bytes: int
    audits: int
    audit_bytes: int


class Outbox:
    """Bounded store of pending requests, one table of the journal; forgets one only together with its final answer.

    When it is full, audit samples go first and then requests, the oldest of each: an old answer is worth less than a
    new one, and the device's own answer becomes final. Each is counted by kind and reason. How often a request was sent
    is not stored: after a restart everything is due at once, and flash memory is spared.

    Parameters
    ----------
    journal
        Holds the table.
    settings
        Bounds.
    """

    def __init__(self, journal: Journal, settings: OutboxSettings) -> None:
        self._journal = journal
        self._database = journal.database
        self._settings = settings

    def __len__(self) -> int:
        """Count the requests; audit samples do not count."""
        return self.load.requests - self._journal.late_requests

    @property
    def boot(self) -> int:
        """Number of this start."""
        return self._journal.boot

    @property
    def max_age_s(self) -> float:
        """After this many seconds a request is given up."""
        return self._settings.max_age_s

    @property
    def load(self) -> Load:
        """How much waits."""
        (_, *requests), (_, *audits) = self._database.rows("SELECT audit, n, bytes FROM load ORDER BY audit")
        return Load(*map(int, (*requests, *audits)))

    @property
    def payload_bytes(self) -> int:
        """Size of all payloads together."""
        load = self.load
        return load.request_bytes + load.audit_bytes

    def put(self, request: PendingRequest, topic: str, payload: bytes) -> list[Dropped]:
        """Store a request before it is sent; call `flush` to make it safe from a power cut too.

        Returns
        -------
        list of Dropped
            Requests that had to go, possibly the new one itself, when it alone is over the bound; their answers are
            final. Audit samples that had to go are only counted.

        Raises
        ------
        sqlite3.Error
            When it cannot be written; nothing has changed then.
        """
        audits = 0
        dropped: list[Dropped] = []
        with self._journal.writing():
            self._insert(request, topic, payload)
            while self._is_over(self.load):
                if self.load.audits:
                    self._delete_oldest_audit()
                    audits += 1
                elif (victim := self._drop_oldest_request()) is not None:
                    dropped.append(victim)
        self._count("audit", FULL, audits)
        self._count("request", FULL, len(dropped))
        return dropped

    def put_audit(self, request: PendingRequest, topic: str, payload: bytes) -> bool:
        """Store an audit sample, when there is room for it; older ones may have to go, requests never.

        Raises
        ------
        sqlite3.Error
            When it cannot be written.
        """
        settings = self._settings
        most = int(settings.audit_share * settings.max_requests), int(settings.audit_share * settings.max_bytes)
        before = self.load.audits
        with self._journal.writing():
            self._insert(request, topic, payload)
            while (load := self.load).audits and (
                load.audits > most[0] or load.audit_bytes > most[1] or self._is_over(load)
            ):
                self._delete_oldest_audit()
        self._count("audit", FULL, before + 1 - self.load.audits)
        return self._row(request.key) is not None

    def pending(self, *, audits: bool = False) -> list[PendingRequest]:
        """All requests without result, or all audit samples, oldest first."""
        rows = self._database.rows("SELECT local FROM requests WHERE audit = ? ORDER BY boot, sequence", (int(audits),))
        return [_decoded(row[0]) for row in rows]

    def message(self, key: Key) -> tuple[str, bytes] | None:
        """Topic and payload of a request or an audit sample; None when it does not wait any more."""
        row = self._row(key)
        return None if row is None else (row[1], row[2])

    def get(self, key: Key) -> PendingRequest | None:
        """Look up a request or an audit sample; None when it does not wait."""
        row = self._row(key)
        return None if row is None else _decoded(row[0])

    def forget_audit(self, key: Key, reason: str = "") -> None:
        """Forget an audit sample: its result has come, or it is given up for a reason, which is counted."""
        with self._journal.writing():
            self._database.execute("DELETE FROM requests WHERE boot = ? AND sequence = ? AND audit = 1", key)
        self._count("audit", reason, int(bool(reason)))

    def give_up(self, key: Key, reason: str) -> Dropped | None:
        """Make the device's own answer final; None when the request does not wait any more."""
        request = self.get(key)
        if request is None:
            return None
        final = self._final(request, reason)
        concluded = self._journal.conclude([final])
        if key in concluded.twice:
            return None
        self._count("request", reason.partition(":")[0], 1)
        return Dropped(request, reason, final, concluded.recorded)

    def expire(self) -> list[Dropped]:
        """Give up what is older than the bound, some at a time."""
        cutoff = self._journal.age() - self._settings.max_age_s
        rows = self._database.rows("SELECT local FROM requests WHERE age < ? LIMIT ?", (cutoff, EXPIRE_STEP))
        dropped = []
        for request in (_decoded(row[0]) for row in rows):
            if request.audit:
                with suppress(sqlite3.Error):  # it grows no younger: next time
                    self.forget_audit(request.key, EXPIRED)
            elif (victim := self.give_up(request.key, EXPIRED)) is not None:
                dropped.append(victim)
        return dropped

    def flush(self) -> None:
        """Make everything that was put safe from a power cut."""
        self._journal.flush()

    def _insert(self, request: PendingRequest, topic: str, payload: bytes) -> None:
        self._journal.ensure_spectrum(request.key)
        self._database.execute(
            "INSERT INTO requests (boot, sequence, topic, payload, local, audit, age) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*request.key, topic, payload, msgspec.msgpack.encode(request), int(request.audit), self._journal.age()),
        )

    def _is_over(self, load: Load) -> bool:
        n, size = load.requests + load.audits, load.request_bytes + load.audit_bytes
        return n > self._settings.max_requests or size > self._settings.max_bytes

    def _delete_oldest_audit(self) -> None:
        self._database.execute(
            "DELETE FROM requests WHERE rowid = "
            "(SELECT rowid FROM requests WHERE audit = 1 ORDER BY boot, sequence LIMIT 1)"
        )

    def _drop_oldest_request(self) -> Dropped | None:
        """Drop the oldest request; None when its last word was said already, and waited for space on the disk."""
        row = self._database.execute(
            "SELECT local FROM requests WHERE audit = 0 ORDER BY boot, sequence LIMIT 1"
        ).fetchone()
        request = _decoded(row[0])
        if (late := self._journal.late_final(request.key)) is not None:
            self._journal.insert([late])
            return None
        final = self._final(request, FULL)
        self._journal.insert([final])
        return Dropped(request, FULL, final)

    def _final(self, request: PendingRequest, reason: str) -> Final:
        is_own = request.boot == self._journal.boot
        return Final(
            boot=request.boot,
            sequence=request.sequence,
            outcome="dropped",
            source="device",
            label=request.label,
            class_name=request.class_name,
            probability=round(min(request.probability, 1.0), 6),
            exit_index=request.exit_index,
            known=request.known,
            flags=(*request.flags, "dropped"),
            reason=reason,
            bundle=request.bundle,
            macs=request.macs,
            payload_bytes=request.payload_bytes,
            latency_ms=round((self._journal.clock.monotonic() - request.acquired) * 1e3, 3) if is_own else None,
        )

    def _row(self, key: Key) -> tuple[bytes, str, bytes] | None:
        if self._journal.is_concluded(key):
            return None
        rows = self._database.rows("SELECT local, topic, payload FROM requests WHERE boot = ? AND sequence = ?", key)
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None

    def _count(self, kind: str, reason: str, n: int) -> None:
        if n and reason:
            self._journal.count(f"dropped_{kind}_{reason.replace(' ', '_')}", n)


def _decoded(local: bytes) -> PendingRequest:
    return msgspec.msgpack.decode(local, type=PendingRequest)
