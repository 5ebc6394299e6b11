"""Spectra that belong into day files, kept safely until the files are written."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from specnet.databases import transaction
from specnet.wire.records import RecordId, ResultRecord, SpectrumSource, without_source

FILE_NAME = ".unpublished.sqlite"
LOCK_NAME = ".lock"
IDS_KEPT_DAYS = 30
POINT_BYTES = 4
_KEY = ", ".join(RecordId._fields)
_SCHEMA = f"""
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS parts (
    number INTEGER PRIMARY KEY, day TEXT NOT NULL, source TEXT NOT NULL, file TEXT NOT NULL UNIQUE,
    bytes INTEGER NOT NULL, changed INTEGER NOT NULL, finished TEXT
);
CREATE TABLE IF NOT EXISTS spectra ({_KEY}, part INTEGER NOT NULL, body BLOB, PRIMARY KEY ({_KEY}));
CREATE INDEX IF NOT EXISTS spectra_of_parts ON spectra (part);
CREATE TABLE IF NOT EXISTS sources (id TEXT PRIMARY KEY, body BLOB NOT NULL);
COMMIT;
"""

_encoder = msgspec.msgpack.Encoder()
_record_decoder = msgspec.msgpack.Decoder(ResultRecord)
_source_decoder = msgspec.msgpack.Decoder(SpectrumSource)


class Part(NamedTuple):
    """One day file: its number, day, name, and bytes of its intensities."""

    number: int
    day: str
    file: str
    bytes: int


class Staging:
    """What is in the day files that may still grow, and the ids of what is in finished ones.

    Parameters
    ----------
    folder
        Of the day files; made when missing.
    max_bytes
        Of one file's intensities.

    Raises
    ------
    OSError
        When the folder cannot be used, or another process writes there.
    sqlite3.Error
        When the database cannot be used.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._connection = sqlite3.connect(folder / FILE_NAME, isolation_level=None, check_same_thread=False)
            self._connection.executescript(_SCHEMA)
            # a record leaves the spool when it is here, so it must survive a power cut from now on
            self._connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            os.close(self._lock)
            raise

    def add(self, records: Sequence[ResultRecord]) -> None:
        """Commit records with spectra, each once."""
        with transaction(self._connection):
            for record in records:
                assert record.source is not None
                self._connection.execute(
                    "INSERT OR IGNORE INTO sources VALUES (?, ?)", (record.source.id, _encoder.encode(record.source))
                )
                size = POINT_BYTES * len(record.source.values)
                part = self._open_part(record.time[:10], record.source.id, size)
                row = (*record.id, part, _encoder.encode(without_source(record)))
                added = self._connection.execute(
                    f"INSERT OR IGNORE INTO spectra VALUES ({', '.join('?' * len(row))})",  # noqa: S608
                    row,
                ).rowcount
                self._connection.execute(
                    "UPDATE parts SET bytes = bytes + ?, changed = max(changed, ?) WHERE number = ?",
                    (added * size, added, part),
                )

    def changed(self) -> list[Part]:
        """Parts whose files lack something."""
        rows = self._connection.execute(
            "SELECT number, day, file, bytes FROM parts WHERE changed = 1 ORDER BY number"
        ).fetchall()
        return [Part(*row) for row in rows]

    def records(self, part: Part) -> list[ResultRecord]:
        """All records of a part, in the order in which they came."""
        [source] = self._connection.execute(
            "SELECT body FROM sources WHERE id = (SELECT source FROM parts WHERE number = ?)", (part.number,)
        ).fetchone()
        shared = _source_decoder.decode(source)
        rows = self._connection.execute("SELECT body FROM spectra WHERE part = ? ORDER BY rowid", (part.number,))
        return [msgspec.structs.replace(_record_decoder.decode(body), source=shared) for (body,) in rows]

    def published(self, part: Part) -> None:
        """Note that the file of a part holds everything that `records` gave."""
        self._connection.execute("UPDATE parts SET changed = 0 WHERE number = ?", (part.number,))

    def settle(self, today: str) -> None:
        """Finish the files of past days: only ids stay, so that nothing is written twice, and those for a month."""
        oldest = (date.fromisoformat(today) - timedelta(days=IDS_KEPT_DAYS)).isoformat()
        done = "finished IS NULL AND changed = 0 AND day < ?"
        if self._connection.execute(f"SELECT 1 FROM parts WHERE {done}", (today,)).fetchone() is None:  # noqa: S608
            return
        old = "part IN (SELECT number FROM parts WHERE finished < ?)"
        with transaction(self._connection):
            self._connection.execute(
                f"UPDATE spectra SET body = NULL WHERE part IN (SELECT number FROM parts WHERE {done})",  # noqa: S608
                (today,),
            )
            self._connection.execute(f"UPDATE parts SET finished = ? WHERE {done}", (today, today))  # noqa: S608
            self._connection.execute(f"DELETE FROM spectra WHERE {old}", (oldest,))  # noqa: S608
            self._connection.execute("DELETE FROM parts WHERE finished < ?", (oldest,))

    def close(self) -> None:
        """Close; harmless when done twice."""
        if self._lock >= 0:
            self._connection.close()
            os.close(self._lock)
            self._lock = -1

    def _open_part(self, day: str, source: str, size: int) -> int:
        """Find the part that a spectrum goes into; a new one when there is none, or no room."""
        row = self._connection.execute(
            "SELECT number FROM parts WHERE day = ? AND source = ? AND finished IS NULL AND bytes + ? <= ?",
            (day, source, size, self._max_bytes),
        ).fetchone()
        if row is not None:
            return int(row[0])
        cursor = self._connection.execute(
            "INSERT INTO parts (day, source, file, bytes, changed) VALUES (?, ?, ?, 0, 0)",
            (day, source, self._free_name(day, source)),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _free_name(self, day: str, source: str) -> str:
        """Name of a file that is neither there nor announced: what is there is never overwritten by less."""
        number = 1
        while True:
            name = f"{day}-{source}.h5" if number == 1 else f"{day}-{source}-{number}.h5"
            taken = self._connection.execute("SELECT 1 FROM parts WHERE file = ?", (name,)).fetchone()
            if taken is None and not (self._folder / name).exists():
                return name
            number += 1
