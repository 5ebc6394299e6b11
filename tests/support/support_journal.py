"""Journals of tests, with clocks that can be set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.journal import Clock, Final, HistorySettings, Journal, OutboxSettings, Spectrum

DAY_S = 86_400.0


@dataclass
class FakeTime:
    """A wall clock that jumps, and a monotonic one that does not."""

    wall: float = 1.8e9
    monotonic: float = 1000.0

    @property
    def clock(self) -> Clock:
        """What a journal takes."""
        return Clock(wall=lambda: self.wall, monotonic=lambda: self.monotonic)

    def pass_by(self, seconds: float) -> None:
        """Let both clocks go on."""
        self.wall += seconds
        self.monotonic += seconds

    def reboot(self, wall: float) -> None:
        """Start the machine again: the monotonic clock begins anew, the wall clock shows what it likes."""
        self.wall, self.monotonic = wall, 5.0


def journal_at(path: Path, time: FakeTime | None = None, **settings: Any) -> Journal:
    """A journal; settings of the outbox begin with ``outbox_``."""
    outbox = {name.removeprefix("outbox_"): value for name, value in settings.items() if name.startswith("outbox_")}
    history = {name: value for name, value in settings.items() if not name.startswith("outbox_")}
    clock = None if time is None else time.clock
    return Journal(path, OutboxSettings(**outbox), HistorySettings(**history), clock)


def spectrum(journal: Journal, sequence: int, *flags: str) -> Spectrum:
    """A spectrum of this boot."""
    return Spectrum(
        boot=journal.boot,
        sequence=sequence,
        acquired=journal.clock.wall(),
        monotonic=journal.clock.monotonic(),
        flags=flags,
    )


def final(boot: int, sequence: int, **changes: Any) -> Final:
    """A final answer of the device alone."""
    fields = {
        "boot": boot,
        "sequence": sequence,
        "outcome": "answered",
        "source": "device",
        "label": 1,
        "class_name": "quartz",
        "probability": 0.5,
        "exit_index": 0,
        "bundle": "b",
        "macs": 10,
        "latency_ms": 0.5,
    }
    return Final(**{**fields, **changes})


def record_and_answer(journal: Journal, *sequences: int) -> None:
    """Spectra with their answers, as the service writes them."""
    for sequence in sequences:
        assert journal.record(spectrum(journal, sequence))
        answer = final(journal.boot, sequence)
        assert journal.conclude([answer], asked=False).recorded
        journal.said([answer])


def is_balanced(journal: Journal) -> bool:
    """Whether the books agree: each recorded spectrum is in exactly one place."""
    found = journal.accounts()
    parts = found.answered + found.rejected + found.dropped + found.lost + found.pending + found.open
    return found.recorded == parts
