"""Whatever happens in whatever order, each recorded spectrum is in exactly one place of the books."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from pathlib import Path

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support_device import pending_request
from support_journal import DAY_S, FakeTime, final, is_balanced, journal_at, spectrum

from device.journal import OutboxSettings
from device.journal.keeper import Keeper
from device.outbox import Outbox

BOUNDS = OutboxSettings(max_requests=6, max_bytes=20_000, max_age_s=2 * DAY_S, audit_share=0.5)


class Device(RuleBasedStateMachine):
    """Spectra, requests, results, audit samples, time, full disks, clean and unclean ends."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._time = FakeTime()
        self._finals: Counter[tuple[int, int]] = Counter()

    @initialize()
    def begin(self) -> None:
        bounds = {f"outbox_{name}": getattr(BOUNDS, name) for name in BOUNDS.__struct_fields__}
        self._journal = journal_at(
            Path(self._folder.name) / "j.sqlite",
            self._time,
            max_rows=10,
            max_age_s=5 * DAY_S,
            flush_spectra=4,
            **bounds,
        )
        self._outbox, self._keeper = Outbox(self._journal, BOUNDS), Keeper(self._journal)
        self._journal.said(self._journal.to_repeat)
        self._sequence = 0
        self._judged: set[int] = set()

    @rule()
    def accept(self) -> None:
        self._journal.record(spectrum(self._journal, self._sequence))
        self._sequence += 1

    def _next(self) -> int | None:
        waiting = [n for n in range(self._sequence) if n not in self._judged]
        if not waiting:
            return None
        self._judged.add(waiting[0])
        return waiting[0]

    @rule(audit=st.booleans())
    def answer(self, audit: bool) -> None:
        sequence = self._next()
        if sequence is None:
            return
        own = final(self._journal.boot, sequence)
        self._journal.conclude([own], asked=False)
        self._journal.said([own])
        self._finals[own.key] += 1
        if audit:
            request = msgspec.structs.replace(pending_request(sequence, self._journal.boot), audit=True)
            try:
                self._outbox.put_audit(request, "topic", bytes(1000))
            except sqlite3.Error:
                assert self._journal.failing

    @rule(size=st.sampled_from([100, 5000, 30_000]))
    def ask(self, size: int) -> None:
        sequence = self._next()
        if sequence is None:
            return
        try:
            dropped = self._outbox.put(pending_request(sequence, self._journal.boot), "topic", bytes(size))
        except sqlite3.Error:
            own = final(self._journal.boot, sequence, flags=("not_offloaded",))
            self._journal.conclude([own], asked=False)
            self._journal.said([own])
            self._finals[own.key] += 1
            return
        for victim in dropped:
            self._journal.said([victim.final])
            self._finals[victim.request.key] += 1

    @rule(n=st.integers(1, 4))
    def hear(self, n: int) -> None:
        waiting = [request for request in self._outbox.pending() if self._outbox.get(request.key) is not None][:n]
        if waiting:
            finals = [final(*request.key, source="gateway", payload_bytes=1) for request in waiting]
            self._journal.conclude(finals)
            self._journal.said(finals)
            self._finals.update(answer.key for answer in finals)

    @rule(hours=st.integers(0, 30), jump=st.sampled_from([0.0, -3e9, 3e9]))
    def wait(self, hours: int, jump: float) -> None:
        self._time.wall += jump
        self._time.pass_by(hours * 3600.0)
        for dropped in self._outbox.expire():
            self._journal.said([dropped.final])
            self._finals[dropped.request.key] += 1

    @rule(pages=st.integers(0, 2))
    def fill_the_disk(self, pages: int) -> None:
        [[used]] = self._journal.database.rows("PRAGMA page_count")
        self._journal.database.rows(f"PRAGMA max_page_count={used + pages}")

    @rule()
    def refuse_writing(self) -> None:
        """SQLite refuses every write: a disk that is full to the last byte, or mounted read-only."""
        self._journal.database.rows("PRAGMA query_only=1")

    @rule()
    def make_room(self) -> None:
        self._journal.database.rows("PRAGMA query_only=0")
        self._journal.database.rows("PRAGMA max_page_count=100000")
        self._keeper.tend()
        assert not self._journal.failing

    @rule()
    def tend(self) -> None:
        self._keeper.tend()

    @rule(clean=st.booleans(), wall=st.sampled_from([50.0, 1.8e9, 4e9]))
    def restart(self, clean: bool, wall: float) -> None:
        if clean:
            self._journal.close()
        else:
            self._journal.database.close()
        self._time.reboot(wall)
        self.begin()
        assert self._journal.accounts().open == 0
        # what an unclean end took from memory is lost in the books, or asked and answered once more
        self._finals.clear()

    @invariant()
    def the_books_agree(self) -> None:
        if hasattr(self, "_journal"):
            assert is_balanced(self._journal)
            assert self._outbox.load.requests + self._outbox.load.audits <= BOUNDS.max_requests
            assert self._outbox.payload_bytes <= BOUNDS.max_bytes
            assert all(n == 1 for n in self._finals.values()), "each spectrum has one final answer"

    def teardown(self) -> None:
        if hasattr(self, "_journal"):
            self._journal.close()
        self._folder.cleanup()


Device.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestDevice = Device.TestCase
