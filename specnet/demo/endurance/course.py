"""The course of a field test: spectra come as fast as the device takes them, and things break at random moments."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from specnet.demo.children import ChildError
from specnet.demo.endurance.books import Books, Findings
from specnet.demo.endurance.faults import FAULTS, Fault
from specnet.demo.endurance.plant import Plant, Size

TURN_S = 0.05
SAMPLE_S = 0.5
SILENCE_S = 120.0
DRAIN_S = 180.0
END_S = 90.0
ALL = 10_000_000


@dataclass(frozen=True)
class Course:
    """How long, how often and how badly.

    Parameters
    ----------
    n
        Spectra that have to get a last word before everything is put right and the outbox drained.
    seed
        Of the faults.
    gap_s
        Mean time between the end of a fault and the next one, of the link and of the processes each.
    hold_s
        Longest time that a fault lasts.
    interval_s
        From one spectrum to the next.
    history_rows
        Final answers that the device keeps.
    """

    n: int
    seed: int = 0
    gap_s: float = 4.0
    hold_s: float = 5.0
    interval_s: float = 0.0
    history_rows: int = 20_000


@dataclass(frozen=True)
class Endurance:
    """What came of it.

    Parameters
    ----------
    books
        What was said.
    accounts
        The journal's own, at the end.
    findings
        Comparison of both.
    faults
        How often each happened.
    left_out
        Faults that could not be tried here.
    sizes
        Memory and disk of the device over time.
    took_s
        Until the end of draining.
    exit_code
        Of the device, when it was asked to end.
    """

    books: Books
    accounts: dict[str, int]
    findings: Findings
    faults: Counter[str]
    left_out: tuple[str, ...]
    sizes: tuple[Size, ...]
    took_s: float
    exit_code: int

    @property
    def passed(self) -> bool:
        """Whether each recorded spectrum has exactly one last word, which was said, and nothing waits."""
        whole = sum(self.accounts[name] for name in ("answered", "rejected", "dropped", "lost"))
        waits = self.accounts["pending"] + self.accounts["open"]
        return self.findings.kept and whole == self.accounts["recorded"] and not waits and self.exit_code == 0


def run_course(
    bundle: Path,
    counts: NDArray[np.uint32],
    folder: Path,
    course: Course,
    *,
    advance: Callable[[float], None] = lambda steps: None,
    told: Callable[[str], None] = lambda what: None,
) -> Endurance:
    """Run a field test with spectra ``(n, n_points)``.

    `advance` is called with the number of new last words, `told` with each fault as it begins.

    Raises
    ------
    ChildError
        When a process fails that was not to, the device falls silent, or what waits does not get less.
    BrokerError
        When mosquitto is not installed.
    """
    began = time.monotonic()
    plant = Plant(bundle, counts, folder, interval_s=course.interval_s, history_rows=course.history_rows)
    with plant:
        faults = [fault for fault in FAULTS if plant.disk.is_mounted or not fault.needs_small_disk]
        run = _Run(plant, course, faults, advance, told)
        run.until_enough()
        run.put_right()
        plant.stop_spectra()
        run.drain()
        code = run.end_device()
        journal = plant.accounts(ALL)
    findings = run.books.compare(journal["accounts"], journal["answers"])
    return Endurance(
        books=run.books,
        accounts=journal["accounts"],
        findings=findings,
        faults=run.happened,
        left_out=tuple(fault.name for fault in FAULTS if fault not in faults),
        sizes=tuple(run.sizes),
        took_s=time.monotonic() - began,
        exit_code=code,
    )


@dataclass
class _Lane:
    """Faults of one sort come one after the other, in the order of a shuffled deck, so that all kinds come."""

    faults: Sequence[Fault]
    generator: np.random.Generator
    course: Course
    next_s: float = 0.0
    current: Fault | None = None
    deck: list[Fault] = field(default_factory=list)

    def turn(self, now: float) -> tuple[Fault | None, Fault | None]:
        """Give the fault that ends now, and the one that begins now."""
        if not self.next_s:
            self.next_s = now + self.generator.exponential(self.course.gap_s)
        if now < self.next_s:
            return None, None
        if self.current is not None:
            ended, self.current = self.current, None
            self.next_s = now + self.generator.exponential(self.course.gap_s)
            return ended, None
        if not self.deck:
            self.deck = [self.faults[i] for i in self.generator.permutation(len(self.faults))]
        self.current = self.deck.pop()
        self.next_s = now + self.generator.uniform(0.1, 1.0) * self.course.hold_s
        return None, self.current


class _Run:
    """One run of a course."""

    def __init__(
        self,
        plant: Plant,
        course: Course,
        faults: Sequence[Fault],
        advance: Callable[[float], None],
        told: Callable[[str], None],
    ) -> None:
        self._plant, self._course, self._advance, self._told = plant, course, advance, told
        generator = np.random.default_rng(course.seed)
        lanes = [fault for fault in faults if fault.on_link], [fault for fault in faults if not fault.on_link]
        self._lanes = [_Lane(lane, generator.spawn(1)[0], course) for lane in lanes]
        self.books = Books()
        self.happened: Counter[str] = Counter()
        self.sizes: list[Size] = []
        self._sampled = self._heard = time.monotonic()

    def until_enough(self) -> None:
        """Let things break until there are as many last words as wanted, and every fault has happened."""
        kinds = sum(len(lane.faults) for lane in self._lanes)
        while len(self.books) < self._course.n or len(self.happened) < kinds:
            self._listen()
            for lane in self._lanes:
                ended, begun = lane.turn(time.monotonic())
                if ended is not None:
                    self._end(ended)
                if begun is not None:
                    self.happened[begun.name] += 1
                    self._told(begun.name)
                    begun.begin(self._plant)

    def put_right(self) -> None:
        """End all faults."""
        for lane in self._lanes:
            if lane.current is not None:
                self._end(lane.current)
                lane.current = None

    def drain(self) -> None:
        """Wait until nothing waits any more."""
        deadline = time.monotonic() + DRAIN_S
        while True:
            self._listen()
            accounts = self._plant.accounts()["accounts"]
            if not accounts["pending"] + accounts["open"]:
                return
            if time.monotonic() > deadline:
                raise ChildError(f"after {DRAIN_S:g} s without faults there still wait: {accounts}")

    def end_device(self) -> int:
        """Ask the device to end and read what it still says."""
        device = self._plant.device
        device.terminate()
        code = device.wait(END_S)
        device.stop()
        self._take(device.records(0.0))
        return code

    def _end(self, fault: Fault) -> None:
        if fault.kills_device:
            # what it had said is in the pipe
            device = self._plant.device
            device.stop()
            self._take(device.records(0.0))
            self._heard = time.monotonic()
        fault.end(self._plant)

    def _listen(self) -> None:
        now = time.monotonic()
        killed = any(lane.current is not None and lane.current.kills_device for lane in self._lanes)
        records = self._plant.device.records(TURN_S)
        self._take(records)
        if records or killed:
            self._heard = now
        elif not self._plant.device.alive:
            raise ChildError(f"the device ended by itself; see {self._plant.device.log_path}")
        elif now - self._heard > SILENCE_S:
            raise ChildError(f"the device has not said anything for {SILENCE_S:g} s; see {self._plant.device.log_path}")
        if killed and not records:
            time.sleep(TURN_S)
        if now - self._sampled > SAMPLE_S and not killed:
            self._sampled = now
            self.sizes.append(self._plant.size())

    def _take(self, records: Sequence[dict[str, object]]) -> None:
        before = len(self.books)
        for record in records:
            self.books.add(record)
        self._advance(len(self.books) - before)
