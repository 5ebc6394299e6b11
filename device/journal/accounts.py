"""The account of all recorded spectra, added up from the tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from device.journal.finals import OUTCOMES, Accounts

PRUNED = "pruned_"
"""Beginning of the names of counters that stand for answers which are not kept any more."""

_ANSWERS = "SELECT outcome, COUNT(*) FROM answers GROUP BY outcome"
_PRUNED = "SELECT name, value FROM counters WHERE name LIKE 'pruned!_%' ESCAPE '!'"
_PENDING = "SELECT COUNT(*) FROM requests WHERE audit = 0"
_OPEN = """SELECT COUNT(*) FROM spectra s WHERE
    NOT EXISTS (SELECT 1 FROM answers a WHERE a.boot = s.boot AND a.sequence = s.sequence)
    AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.boot = s.boot AND r.sequence = s.sequence AND r.audit = 0)"""
_SPECTRA = "SELECT COUNT(*) FROM spectra"

Rows = Callable[[str], list[tuple[Any, ...]]]


def add_up(rows: Rows) -> Accounts:
    """Count every table; each figure is counted for itself, so that a mistake in the books shows."""
    pruned = {str(name).removeprefix(PRUNED): int(value) for name, value in rows(_PRUNED)}
    kept = {str(outcome): int(n) for outcome, n in rows(_ANSWERS)}
    finals = {outcome: pruned.get(outcome, 0) + kept.get(outcome, 0) for outcome in OUTCOMES}
    [(spectra,)], [(pending,)], [(still_open,)] = rows(_SPECTRA), rows(_PENDING), rows(_OPEN)
    return Accounts(recorded=int(spectra) + sum(pruned.values()), pending=int(pending), open=int(still_open), **finals)


def account_of(connection: sqlite3.Connection) -> Accounts:
    """Add up a journal that was opened to read, as it was at one moment."""
    connection.execute("BEGIN")
    try:
        return add_up(lambda statement: connection.execute(statement).fetchall())
    finally:
        connection.execute("ROLLBACK")
