"""Starts of the device: their numbers, how the one before ended, and what it left without an answer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from device.journal.ageing import AgeClock, Clock
from device.journal.database import Database
from device.journal.finals import Final
from device.journal.rows import ANSWER_COLUMNS, final_of_row

logger = logging.getLogger(__name__)

MAX_BOOTS = 1000
MAX_REPEATED = 1000
LOST = "the device ended before this spectrum was answered"
_MACHINE = Path("/proc/sys/kernel/random/boot_id")
_COUNTERS = "SELECT name, value FROM counters WHERE name IN ('boot', 'said', 'may_be_missing')"
_SETTLE = """
INSERT INTO answers (boot, sequence, number, age, outcome, source, class, known, flags, reason, bundle, macs,
                     gateway_macs, bytes)
SELECT s.boot, s.sequence, ? + ROW_NUMBER() OVER (ORDER BY s.boot, s.sequence), ?, 'lost', '', '', 1, '', ?, '', 0, 0, 0
FROM spectra s JOIN boots b ON b.boot = s.boot AND b.settled = 0
WHERE NOT EXISTS (SELECT 1 FROM answers a WHERE a.boot = s.boot AND a.sequence = s.sequence)
  AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.boot = s.boot AND r.sequence = s.sequence AND r.audit = 0)"""


@dataclass(frozen=True)
class Start:
    """What a start found.

    Parameters
    ----------
    boot
        Number of this start; never used before, not even by a journal that had to be set aside.
    after
        How the boot before ended: ``first`` (there was none), ``stopped``, ``killed``, or ``power`` (the machine itself
        was started again in between).
    lost
        Recorded spectra of earlier boots that got no answer; they are final now.
    may_be_missing
        Most spectra that a power cut can have taken before they were on disk; 0 unless `after` is ``power``.
    number, said
        Running numbers of the last final answer, and of the last one that was certainly said.
    """

    boot: int
    after: Literal["first", "stopped", "killed", "power"]
    lost: int
    may_be_missing: int
    number: int
    said: int


def begin_boot(database: Database, clock: Clock, unflushed: int) -> tuple[Start, AgeClock]:
    """Count a start and settle what the earlier ones left, in one durable transaction.

    Parameters
    ----------
    database
        Just opened.
    clock
        Where time comes from.
    unflushed
        Most spectra that will be accepted between two flushes to disk.
    """
    machine = _machine()
    with database.transaction(durable=True):
        counters = {str(name): int(value) for name, value in database.rows(_COUNTERS)}
        last = database.rows("SELECT boot, machine, wall, age, unflushed, ended FROM boots ORDER BY boot DESC LIMIT 1")
        after: Literal["first", "stopped", "killed", "power"] = "first"
        age, wall, missing = 0.0, None, 0
        if last:
            _, its_machine, wall, age, its_unflushed, ended = last[0]
            after = "stopped" if ended else "killed" if its_machine == machine else "power"
            missing = int(its_unflushed) if after == "power" else 0
        ages = AgeClock(age, wall or None, clock)
        boot = 1 + max(counters.get("boot", 0), database.remembered_boot)
        if database.is_new_after_damage and boot == 1:
            # the earlier numbers are lost; the clock, unless it is wrong too, gives one that was certainly not used
            boot = max(1, int(clock.wall()))
        number = max(int(database.rows("SELECT COALESCE(MAX(number), 0) FROM answers")[0][0]), counters.get("said", 0))
        lost = database.execute(_SETTLE, (number, ages.now(), LOST)).rowcount
        database.execute("UPDATE boots SET settled = 1 WHERE settled = 0")
        database.execute("DELETE FROM boots WHERE boot < ?", (boot - MAX_BOOTS,))
        database.execute(
            "INSERT INTO boots (boot, machine, wall, age, unflushed) VALUES (?, ?, ?, ?, ?)",
            (boot, machine, clock.wall(), ages.now(), unflushed),
        )
        for name, value in (("boot", boot), ("may_be_missing", counters.get("may_be_missing", 0) + missing)):
            database.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (name, value))
    database.remember_boot(boot)
    if lost or missing:
        logger.warning(
            "the boot before this one was ended (%s): %d spectra are lost, up to %d more may be missing",
            after,
            lost,
            missing,
        )
    return Start(boot, after, lost, missing, number + lost, counters.get("said", 0)), ages


def unsaid_finals(database: Database, start: Start) -> list[Final]:
    """Read finals of earlier boots that were perhaps never said, oldest first; the latest of very many."""
    statement = f"SELECT {ANSWER_COLUMNS} FROM answers WHERE number > ? AND boot < ? ORDER BY number DESC LIMIT ?"  # noqa: S608  (constants only)
    rows = database.rows(statement, (start.said, start.boot, MAX_REPEATED))
    return [final_of_row(row) for row in reversed(rows)]


def _machine() -> str:
    """Identity of the machine's own start: another one means that memory was lost in between."""
    try:
        return _MACHINE.read_text().strip()[:64]
    except OSError:
        return ""
