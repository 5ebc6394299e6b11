"""The table of results, in the SQL that SQLite and PostgreSQL share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from specnet.wire.records import RecordId, ResultRecord

TABLE, SOURCES = "results", "sources"
_TYPES = {
    "time": "{time} NOT NULL",
    **dict.fromkeys(("site", "device", "bundle", "bundle_name", "class_name"), "TEXT NOT NULL"),
    **dict.fromkeys(("provisional_class_name", "gateway", "error"), "TEXT NOT NULL"),
    **dict.fromkeys(("boot", "sequence", "split", "checksum", "bundle_version", "macs"), "BIGINT NOT NULL"),
    **dict.fromkeys(("label", "exit_index", "provisional_label", "provisional_exit_index"), "BIGINT"),
    **dict.fromkeys(("probability", "provisional_probability"), "DOUBLE PRECISION"),
    **dict.fromkeys(("queue_ms", "compute_ms"), "DOUBLE PRECISION NOT NULL"),
    **dict.fromkeys(("known", "audit"), "BOOLEAN NOT NULL"),
    "spectrum": "{blob}",
    "source": "TEXT",
}
COLUMNS = ResultRecord.__struct_fields__
_KEY = ", ".join(RecordId._fields)


def definitions(*, blob: str, time: str) -> tuple[str, str]:
    """Give the statements that make both tables, with the database's own types of bytes and of moments.

    `sources` says what the spectra of `results` mean; its column `axis_values` is a list in JSON.
    """
    columns = ", ".join(f"{name} {_TYPES[name].format(blob=blob, time=time)}" for name in COLUMNS)
    return (
        f"CREATE TABLE IF NOT EXISTS {TABLE} ({columns}, PRIMARY KEY ({_KEY}))",
        f"CREATE TABLE IF NOT EXISTS {SOURCES} (id TEXT PRIMARY KEY, quantity TEXT NOT NULL, unit TEXT NOT NULL, "
        "intensity_unit TEXT NOT NULL, axis_values TEXT NOT NULL)",
    )


def insertions(mark: str) -> tuple[str, str]:
    """Give the statements that add a record and a source once; `mark` stands for a value.

    A record that is there already stays as it is, unless it is an error and the new one an answer: what failed may
    have succeeded when the device asked again.
    """
    names, marks = ", ".join(COLUMNS), ", ".join([mark] * len(COLUMNS))
    changes = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in RecordId._fields)
    return (
        f"INSERT INTO {TABLE} ({names}) VALUES ({marks}) ON CONFLICT ({_KEY}) DO UPDATE SET {changes} "  # noqa: S608
        f"WHERE {TABLE}.error <> '' AND excluded.error = ''",
        f"INSERT INTO {SOURCES} (id, quantity, unit, intensity_unit, axis_values) "  # noqa: S608
        f"VALUES ({', '.join([mark] * 5)}) ON CONFLICT (id) DO NOTHING",
    )


def record_rows(records: Sequence[ResultRecord]) -> list[tuple[Any, ...]]:
    """Values of records in the order of `COLUMNS`, always in the same order of records.

    Two gateways that write the same records at the same time would otherwise lock each other out.
    """
    return [_row(record) for record in sorted(records, key=lambda record: record.id)]


def source_rows(records: Sequence[ResultRecord]) -> list[tuple[str, str, str, str, str]]:
    """Values of the sources of records."""
    sources = {record.source.id: record.source for record in records if record.source is not None}
    return [
        (name, one.quantity, one.unit, one.intensity_unit, msgspec.json.encode(one.values).decode())
        for name, one in sorted(sources.items())
    ]


def _row(record: ResultRecord) -> tuple[Any, ...]:
    plain = msgspec.structs.asdict(record)
    plain["source"] = None if record.source is None else record.source.id
    plain["spectrum"] = record.spectrum or None
    return tuple(plain.values())
