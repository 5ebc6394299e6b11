"""Tables of the journal, format 2, and how they are made out of format 1."""

from __future__ import annotations

import sqlite3

FORMAT = 2
INCREMENTAL = 2
_TABLES = (
    "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS boots (
        boot INTEGER PRIMARY KEY, machine TEXT NOT NULL, wall REAL NOT NULL, age REAL NOT NULL,
        unflushed INTEGER NOT NULL, ended INTEGER NOT NULL DEFAULT 0, settled INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE IF NOT EXISTS spectra (
        boot INTEGER NOT NULL, sequence INTEGER NOT NULL, acquired REAL, monotonic REAL, flags TEXT NOT NULL,
        PRIMARY KEY (boot, sequence)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS answers (
        boot INTEGER NOT NULL, sequence INTEGER NOT NULL, number INTEGER NOT NULL, age REAL NOT NULL,
        outcome TEXT NOT NULL, source TEXT NOT NULL, label INTEGER, class TEXT NOT NULL, probability REAL,
        exit INTEGER, known INTEGER NOT NULL, flags TEXT NOT NULL, reason TEXT NOT NULL, bundle TEXT NOT NULL,
        macs INTEGER NOT NULL, gateway_macs INTEGER NOT NULL, bytes INTEGER NOT NULL, latency_ms REAL,
        PRIMARY KEY (boot, sequence)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS requests (
        boot INTEGER NOT NULL, sequence INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
        local BLOB NOT NULL, audit INTEGER NOT NULL DEFAULT 0, age REAL NOT NULL DEFAULT 0,
        PRIMARY KEY (boot, sequence))""",
)
# how much waits is asked at every request; kept by the database, it is right after every rollback
_LOAD = (
    "CREATE INDEX IF NOT EXISTS audits ON requests (boot, sequence) WHERE audit = 1",
    """CREATE TABLE IF NOT EXISTS load (
        audit INTEGER PRIMARY KEY, n INTEGER NOT NULL, bytes INTEGER NOT NULL)""",
    """INSERT OR REPLACE INTO load SELECT kind.column1, COUNT(r.boot), COALESCE(SUM(LENGTH(r.payload)), 0)
        FROM (VALUES (0), (1)) kind LEFT JOIN requests r ON r.audit = kind.column1 GROUP BY kind.column1""",
    """CREATE TRIGGER IF NOT EXISTS put AFTER INSERT ON requests BEGIN
        UPDATE load SET n = n + 1, bytes = bytes + LENGTH(new.payload) WHERE audit = new.audit; END""",
    """CREATE TRIGGER IF NOT EXISTS finished AFTER DELETE ON requests BEGIN
        UPDATE load SET n = n - 1, bytes = bytes - LENGTH(old.payload) WHERE audit = old.audit; END""",
)
_FROM_FORMAT_1 = (
    "ALTER TABLE requests ADD COLUMN audit INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE requests ADD COLUMN age REAL NOT NULL DEFAULT 0",
    # format 1 kept no spectra; those that still wait are counted from now on
    "INSERT INTO spectra SELECT boot, sequence, NULL, NULL, '' FROM requests",
    "INSERT INTO boots SELECT DISTINCT boot, '', 0, 0, 0, 1, 1 FROM requests",
)


def bring_up_to_date(connection: sqlite3.Connection, found: int) -> None:
    """Make the tables, or those of an earlier format into today's, in one transaction.

    Parameters
    ----------
    connection
        In autocommit mode.
    found
        Format of the file: 0 for a new one.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _TABLES:
            connection.execute(statement)
        if found == 1:
            for statement in _FROM_FORMAT_1:
                connection.execute(statement)
        for statement in _LOAD:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={FORMAT}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    if connection.execute("PRAGMA auto_vacuum").fetchone()[0] != INCREMENTAL:
        # in a file that has tables already it takes effect only so
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("VACUUM")
