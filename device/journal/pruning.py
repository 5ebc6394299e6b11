"""History within its bounds: the oldest final answers are counted and forgotten, a few at a time."""

from __future__ import annotations

import sqlite3
from collections import Counter

from device.journal.accounts import PRUNED
from device.journal.journal import Journal

STEP = 500
MAX_STEPS = 20
AGE_CHECK_S = 60.0
FREE_PAGES = 256
_OLDEST = "SELECT boot, sequence, outcome, age FROM answers WHERE number <= ? ORDER BY boot, sequence LIMIT ?"


class Pruner:
    """Keeps `answers`, and the spectra that they belong to, within ``[history]``.

    What is forgotten stays in the accounts. Only what was certainly said may go.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._database = journal.database
        self._history = journal.history
        self._rows = int(self._database.rows("SELECT COUNT(*) FROM answers")[0][0])
        self._number = journal.number
        self._next_check = journal.age()

    def work(self) -> int:
        """Forget what is over the bounds, in at most `MAX_STEPS` short transactions; returns how many answers."""
        forgotten = 0
        for _ in range(MAX_STEPS):
            n = self._step()
            forgotten += n
            if n < STEP:
                break
        if forgotten:
            self._journal.count("pruned", forgotten)
        self._shrink()
        return forgotten

    def _step(self) -> int:
        journal, history = self._journal, self._history
        rows = self._rows + journal.number - self._number
        age = journal.age()
        bound = history.max_rows if history.enabled else 0
        excess = rows - bound
        if journal.failing and self._database.is_at_its_bound:
            excess = max(excess, STEP)
        if excess <= 0 and age < self._next_check:
            return 0
        oldest = self._database.rows(_OLDEST, (journal.said_until, STEP))
        cutoff = age - history.max_age_s
        victims = [row for i, row in enumerate(oldest) if i < excess or row[3] < cutoff]
        if len(victims) < STEP:
            self._next_check = age + AGE_CHECK_S
        return self._forget(victims)

    def _forget(self, victims: list[tuple[int, int, str, float]]) -> int:
        if not victims:
            return 0
        keys = [(boot, sequence) for boot, sequence, *_ in victims]
        try:
            with self._journal.writing():
                for table in ("answers", "spectra"):
                    for key in keys:
                        self._database.execute(f"DELETE FROM {table} WHERE boot = ? AND sequence = ?", key)  # noqa: S608  (constants only)
                for outcome, n in Counter(row[2] for row in victims).items():
                    self._database.execute(
                        "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE "
                        "SET value = value + excluded.value",
                        (PRUNED + outcome, n),
                    )
        except sqlite3.Error:
            return 0
        self._rows -= len(keys)
        return len(keys)

    def _shrink(self) -> None:
        """Return pages that pruning has left free, beyond a few that the next answers will fill."""
        try:
            [[free]] = self._database.rows("PRAGMA freelist_count")
            if free > FREE_PAGES:
                self._database.shrink(min(FREE_PAGES, free - FREE_PAGES))
        except sqlite3.Error as error:
            self._journal.note_failure(error)
