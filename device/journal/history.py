"""Final answers read back, while the device is running or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from device.journal.accounts import account_of
from device.journal.database import read_only
from device.journal.finals import Final
from device.journal.rows import ANSWER_COLUMNS, final_of_row
from specnet.errors import ConfigurationError

FIELDS = (
    "boot", "sequence", "acquired", "outcome", "source", "label", "class", "probability", "exit", "known", "flags",
    "reason", "bundle", "macs", "gateway_macs", "bytes", "latency_ms",
)  # fmt: skip
"""Names of the columns, in the order of the table."""

_LAST = (
    f"SELECT {', '.join(f'a.{name.strip()}' for name in ANSWER_COLUMNS.split(','))}, s.acquired "  # noqa: S608  (constants only)
    "FROM answers a LEFT JOIN spectra s ON s.boot = a.boot AND s.sequence = a.sequence "
    "ORDER BY a.boot DESC, a.sequence DESC LIMIT ?"
)
_COUNTERS = (
    "SELECT name, value FROM counters WHERE name NOT IN ('boot', 'said') "
    "AND name NOT LIKE 'pruned!_%' ESCAPE '!' AND name NOT LIKE 'kept!_%' ESCAPE '!'"
)


class History:
    """A journal opened to read.

    Parameters
    ----------
    path
        The database.

    Raises
    ------
    ConfigurationError
        When there is none, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = read_only(path)

    def last(self, n: int) -> list[dict[str, Any]]:
        """Read the last n finals, oldest first, as dictionaries of `FIELDS`."""
        rows = list(self._read(_LAST, n))
        return [_entry(final_of_row(row[:-1]), row[-1]) for row in reversed(rows)]

    def accounts(self) -> dict[str, int]:
        """Where all recorded spectra are, and what the journal has counted besides."""
        try:
            counted = {str(name): int(value) for name, value in self._read(_COUNTERS)}
            return {**asdict(account_of(self._connection)), **counted}
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def close(self) -> None:
        """Close."""
        self._connection.close()

    def _read(self, statement: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: sqlite3.Error) -> ConfigurationError:
        return ConfigurationError(f"journal {self._path} cannot be read: {error}")


def _entry(final: Final, acquired: float | None) -> dict[str, Any]:
    return {
        "boot": final.boot,
        "sequence": final.sequence,
        "acquired": acquired,
        "outcome": final.outcome,
        "source": final.source,
        "label": final.label,
        "class": final.class_name,
        "probability": final.probability,
        "exit": final.exit_index,
        "known": final.known,
        "flags": list(final.flags),
        "reason": final.reason,
        "bundle": final.bundle,
        "macs": final.macs,
        "gateway_macs": final.gateway_macs,
        "bytes": final.payload_bytes,
        "latency_ms": final.latency_ms,
    }
