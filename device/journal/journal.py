"""Spectra and their final answers on disk, each exactly once; a disk that is full does not stop the device."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from device.journal.accounts import add_up
from device.journal.ageing import Clock
from device.journal.boots import begin_boot, unsaid_finals
from device.journal.database import Database
from device.journal.finals import Accounts, Concluded, Final, Key, Spectrum
from device.journal.rows import INSERT_ANSWER, answer_row
from device.journal.settings import HistorySettings, OutboxSettings
from specnet.errors import ConfigurationError

logger = logging.getLogger(__name__)

MAX_BACKLOG = 10_000
INSERT_SPECTRUM = "INSERT INTO spectra VALUES (?, ?, ?, ?, ?)"
KEPT = "kept_"
"""Beginning of the names of counters that are figures of others."""
ANSWER_BYTES, REQUEST_BYTES, SPARE_BYTES = 512, 1024, 4 << 20


class Journal:
    """The device's memory.

    `record` writes an accepted spectrum, `conclude` its final answer together with the removal of its request. Both
    survive the death of the process at once, and a power cut after ``history.flush_s`` seconds or ``flush_spectra``
    spectra, when `flush` forces them to disk: one flush for many local answers.

    When nothing can be written (the disk is full, or the file has reached its bound) both say so and return; the
    answer is given out all the same. Finals of recorded spectra are kept in memory and written when there is space
    again; spectra that were never written are counted as ``not_recorded``.

    Parameters
    ----------
    path
        The database; made when missing. A damaged one is set aside under another name.
    outbox, history
        Bounds. The file has at most twice ``outbox.max_bytes``, 1 KiB a request, 512 bytes a row of history, and 4 MiB;
        its log 8 MiB.
    clock
        Where time comes from.

    Raises
    ------
    ConfigurationError
        When the database cannot be made, or another process uses it.
    """

    def __init__(
        self, path: Path, outbox: OutboxSettings, history: HistorySettings, clock: Clock | None = None
    ) -> None:
        self.clock = clock or Clock()
        self.history = history
        max_bytes = 2 * outbox.max_bytes + outbox.max_requests * REQUEST_BYTES + history.max_rows * ANSWER_BYTES
        self.database = Database(path, max_bytes + SPARE_BYTES)
        try:
            self.start, self._ages = begin_boot(self.database, self.clock, history.flush_spectra)
        except sqlite3.Error as error:
            self.database.close()
            raise ConfigurationError(f"journal {path} cannot be used: {error}") from error
        except BaseException:
            self.database.close()
            raise
        self._number = self.start.number
        self.to_repeat = unsaid_finals(self.database, self.start)
        """Finals of earlier boots that may not have been said, oldest first; say them, and then call `said`."""
        self._unsaid = {final.key: self.start.said + 1 for final in self.to_repeat}
        self._unflushed = 0
        self._touched = False
        self._closed = False
        self._unrecorded: dict[Key, Spectrum] = {}
        self._ensured: list[Key] = []
        self._backlog: dict[Key, Final] = {}
        self._failing = False
        self._counters: Counter[str] = Counter()
        self._unsaved: Counter[str] = Counter()
        self._to_keep: dict[str, int] = {}

    @property
    def boot(self) -> int:
        """Number of this start."""
        return self.start.boot

    @property
    def counters(self) -> Mapping[str, int]:
        """What could not be written, and how often it was flushed."""
        with self.database.lock:
            return MappingProxyType(dict(self._counters))

    @property
    def failing(self) -> bool:
        """Whether the last attempt to write failed."""
        return self._failing

    def age(self) -> float:
        """Age of the device in seconds: the time scale of all bounds."""
        return self._ages.now()

    # ---- spectra and finals

    def record(self, spectrum: Spectrum) -> bool:
        """Write an accepted spectrum down, before anything is said of it; False when that is not possible now."""
        with self.database.lock:
            try:
                self.database.write(INSERT_SPECTRUM, _spectrum_row(spectrum))
            except sqlite3.Error as error:
                self.note_failure(error)
                self._unrecorded[spectrum.key] = spectrum
                return False
            self._written(spectra=1)
            if self._unflushed >= self.history.flush_spectra:
                self.flush()
            return True

    def conclude(self, finals: Sequence[Final], *, asked: bool = True) -> Concluded:
        """Write final answers, and remove their requests, in one transaction; then they may be said.

        The first last word about a spectrum stays: two threads may come to one at the same time, when a result arrives
        while its request is given up.

        Parameters
        ----------
        finals
            Of recorded spectra.
        asked
            False when nobody was asked, so that there is no request to remove.

        Returns
        -------
        Concluded
            Whether they are written, and which of them must not be said.
        """
        with self.database.lock:
            late = {final.key for final in finals if final.key in self._backlog}
            finals = [final for final in finals if final.key not in late]
            try:
                if asked or len(finals) != 1 or finals[0].key in self._unrecorded:
                    with self.writing():
                        twice = self.insert(finals)
                else:
                    twice = self._conclude_alone(finals[0])
            except sqlite3.Error:
                for final in finals:
                    self._keep_for_later(final)
                return Concluded(False, frozenset(late))
            return Concluded(True, frozenset(late | twice))

    def _conclude_alone(self, final: Final) -> set[Key]:
        row = answer_row(final, self._number + 1, self.age())
        try:
            new = self.database.write(INSERT_ANSWER, row)
        except sqlite3.Error as error:
            self.note_failure(error)
            raise
        self._written()
        if not new:
            self._counters["final_twice"] += 1
            return {final.key}
        self._number += 1
        self._unsaid[final.key] = self._number
        return set()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make a transaction in which `insert` and `ensure_spectrum` may be called; sqlite3.Error when it fails."""
        with self.database.lock:
            number, unsaid = self._number, dict(self._unsaid)
            self._ensured.clear()
            try:
                with self.database.transaction():
                    yield
            except sqlite3.Error as error:
                self._number, self._unsaid = number, unsaid
                self.note_failure(error)
                raise
            for key in self._ensured:
                self._unrecorded.pop(key, None)
            self._written()

    def insert(self, finals: Sequence[Final]) -> set[Key]:
        """Write finals, and remove their requests; returns those that had a final already, which stays."""
        twice: set[Key] = set()
        for final in finals:
            self.ensure_spectrum(final.key)
            if self.database.execute(INSERT_ANSWER, answer_row(final, self._number + 1, self.age())).rowcount:
                self._number += 1
                self._unsaid[final.key] = self._number
            else:
                self._counters["final_twice"] += 1
                twice.add(final.key)
            self.database.execute(
                "DELETE FROM requests WHERE boot = ? AND sequence = ? AND audit = 0", (final.boot, final.sequence)
            )
        return twice

    def ensure_spectrum(self, key: Key) -> None:
        """Write a spectrum that could not be written when it was accepted."""
        spectrum = self._unrecorded.get(key)
        if spectrum is not None:
            self.database.execute(INSERT_SPECTRUM, _spectrum_row(spectrum))
            self._ensured.append(key)

    def said(self, finals: Sequence[Final]) -> None:
        """Note that these finals are out; what is not noted when the process dies is said again."""
        with self.database.lock:
            for final in finals:
                self._unsaid.pop(final.key, None)
            self._touched = True

    @property
    def said_until(self) -> int:
        """Running number up to which all finals were said."""
        with self.database.lock:
            return min(self._unsaid.values(), default=self._number + 1) - 1

    @property
    def number(self) -> int:
        """Running number of the last final."""
        return self._number

    def is_concluded(self, key: Key) -> bool:
        """Whether a final was given out that is not yet on disk."""
        with self.database.lock:
            return key in self._backlog

    def late_final(self, key: Key) -> Final | None:
        """Look up a final that was given out and is not yet on disk."""
        with self.database.lock:
            return self._backlog.get(key)

    @property
    def late_requests(self) -> int:
        """Requests whose final was given out, and which are on disk only because nothing can be written."""
        with self.database.lock:
            return sum(final.payload_bytes > 0 for final in self._backlog.values())

    # ---- flushing and failing

    def flush(self) -> None:
        """Force everything to disk, and note how far answers were said."""
        with self.database.lock:
            try:
                with self.database.transaction(durable=True):
                    self._note()
            except sqlite3.Error as error:
                self.note_failure(error)
                return
            self._written(flushed=True)

    @property
    def wants_flush(self) -> bool:
        """Whether something was written, said or counted since the last flush."""
        return self._touched

    def catch_up(self) -> None:
        """Try to write what a full disk has refused."""
        with self.database.lock:
            late = list(self._backlog.values())
            if not late:
                return
            try:
                with self.writing():
                    self.insert(late)
            except sqlite3.Error:
                return
            self._backlog.clear()
            self.said(late)
            self._counters["recorded_late"] += len(late)

    def note_failure(self, error: sqlite3.Error) -> None:
        """Log what cannot be written, once until it is possible again."""
        with self.database.lock:
            self._counters["write_failures"] += 1
            if not self._failing:
                logger.error("the journal cannot be written (%s): answers go on, not recorded", error)
            self._failing = True
            self._touched = True

    def count(self, name: str, by: int = 1) -> None:
        """Count something that the journal remembers across boots."""
        with self.database.lock:
            self._counters[name] += by
            self._unsaved[name] += by
            self._touched = True

    def keep(self, figures: Mapping[str, int]) -> None:
        """Keep figures across boots; they wait for the next flush and cause none, to spare flash memory."""
        with self.database.lock:
            self._to_keep.update(figures)

    def kept(self, *names: str) -> dict[str, object]:
        """Read the figures that an earlier boot has kept; whoever asks judges them. sqlite3.Error when it cannot."""
        found = self.database.rows(
            f"SELECT name, value FROM counters WHERE name IN ({', '.join('?' * len(names))})",  # noqa: S608  (no text)
            [KEPT + name for name in names],
        )
        return {str(name).removeprefix(KEPT): value for name, value in found}

    def accounts(self) -> Accounts:
        """Where all recorded spectra are."""
        with self.database.lock:
            return add_up(self.database.rows)

    def close(self) -> None:
        """Flush, note that this boot ended as it should, and close."""
        with self.database.lock:
            if self._closed:
                return
            self._closed = True
            self.catch_up()
            try:
                with self.database.transaction(durable=True):
                    self._note()
                    self.database.execute("UPDATE boots SET ended = 1 WHERE boot = ?", (self.boot,))
            except sqlite3.Error as error:
                self.note_failure(error)
            self.database.close()

    def _keep_for_later(self, final: Final) -> None:
        if final.key in self._unrecorded or len(self._backlog) >= MAX_BACKLOG:
            self._unrecorded.pop(final.key, None)
            self.count("not_recorded")
        else:
            self._backlog[final.key] = final

    def _note(self) -> None:
        """Write the marks that a start needs, inside a transaction."""
        self.database.execute("INSERT OR REPLACE INTO counters VALUES ('said', ?)", (self.said_until,))
        self.database.execute(
            "UPDATE boots SET wall = ?, age = ? WHERE boot = ?", (self.clock.wall(), self.age(), self.boot)
        )
        for name, value in self._to_keep.items():
            self.database.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (KEPT + name, value))
        for name, value in self._unsaved.items():
            self.database.execute(
                "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                (name, value),
            )

    def _written(self, *, flushed: bool = False, spectra: int = 0) -> None:
        if self._failing:
            self._failing = False
            logger.warning("the journal can be written again; %d spectra are not in it", self._counters["not_recorded"])
        if flushed:
            self._unflushed = 0
            self._touched = False
            self._unsaved.clear()
            self._to_keep.clear()
            self._counters["flushes"] += 1
        else:
            self._unflushed += spectra
            self._touched = True


def _spectrum_row(spectrum: Spectrum) -> tuple[int, int, float, float, str]:
    return *spectrum.key, spectrum.acquired, spectrum.monotonic, ",".join(spectrum.flags)
