"""The day of an energy budget, which the journal keeps from one start to the next."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass

from device.journal import Journal

logger = logging.getLogger(__name__)

BEGAN, SPENT = "energy_day_began_ms", "energy_day_spent_uj"
MOST_UJ = 1 << 62
"""More than any budget, and what a column holds."""
UNREADABLE = "energy_record_unreadable"
"""Counter of the journal."""


@dataclass(frozen=True)
class EnergyDay:
    """A day and what was spent in it.

    Without a record every start would have a whole budget, and a node that a watchdog or a loose contact starts anew
    each hour would spend 24 of them.

    A day is told in the *age* of the device (`device.journal.ageing`), because its wall clock may be wrong and its
    monotonic clock begins anew with the machine. While the process runs, the age follows the monotonic clock, whatever
    happens to the wall clock. What lies between two starts is as long as the wall clock says when it shows a later time
    than the journal has noted. When it shows an earlier one, it is not believed and nothing has passed: the node goes
    on with the seconds that the day of the record had left. A clock that has jumped ahead ends the day early, for one
    new budget and no more, because a pause counts as a day at most. Whether a time service holds the clock
    (`device.wall_clock`) is not asked: soon after a start none does yet, also where the clock is right.

    The figures stand among the counters of the journal; where that is damaged and set aside, a new day begins.

    Parameters
    ----------
    began
        Age of the device, in seconds.
    spent_mj
        Millijoules.
    """

    began: float
    spent_mj: float


def keep_day(journal: Journal, day: EnergyDay) -> None:
    """Let the journal keep the day: on disk with its next flush, which comes for the spectra anyway, and on stop.

    A process that is killed loses what it has spent since the flush before, some two seconds' worth.
    """
    spent_uj = round(min(1e3 * day.spent_mj, MOST_UJ))
    # downwards: a day never begins later than now
    journal.keep({BEGAN: int(1e3 * day.began), SPENT: spent_uj})


def recall_day(journal: Journal) -> EnergyDay:
    """Return the day that was kept last, which may be over; one that begins now where there is none.

    A record that cannot be read, or cannot be true, is logged, counted and ignored.
    """
    now = journal.age()
    new = EnergyDay(now, 0.0)
    try:
        kept = journal.kept(BEGAN, SPENT)
    except sqlite3.Error as error:
        return _ignored(journal, new, str(error))
    if not kept:
        return new
    began_ms, spent_uj = kept.get(BEGAN), kept.get(SPENT)
    if not isinstance(began_ms, int) or not isinstance(spent_uj, int) or spent_uj < 0:
        return _ignored(journal, new, f"it began at {began_ms!r:.40} ms with {spent_uj!r:.40} uJ spent")
    if not 0 <= began_ms <= 1e3 * now:
        return _ignored(journal, new, f"it began at an age of {began_ms} ms, which is {1e3 * now:.0f} ms now")
    return EnergyDay(began_ms / 1e3, spent_uj / 1e3)


def _ignored(journal: Journal, new: EnergyDay, why: str) -> EnergyDay:
    logger.error("the day of the energy budget cannot be read (%s): a new one begins", why)
    journal.count(UNREADABLE)
    return new
