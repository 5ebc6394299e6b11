"""Records of finished requests, and what sinks made of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry

from specnet.codec import pack_spectrum
from specnet.spectra import Quantity, SpectralAxis
from specnet.wire.records import RecordId, ResultRecord, SpectrumSource

AXIS = SpectralAxis(np.linspace(200.0, 1500.0, 40), Quantity.RAMAN_SHIFT)
OTHER_AXIS = SpectralAxis(np.linspace(340.0, 850.0, 25), Quantity.WAVELENGTH, "nm")
SOURCE = SpectrumSource.of(AXIS, "counts")
OTHER_SOURCE = SpectrumSource.of(OTHER_AXIS, "counts")
CLASSES = ("quartz", "calcite", "gypsum")


def counts(sequence: int, n_points: int = AXIS.n_points) -> np.ndarray:
    """Detector counts ``(n_points,)`` of a spectrum."""
    return np.random.default_rng(sequence).integers(0, 60_000, n_points)


def record(sequence: int, *, source: SpectrumSource | None = SOURCE, **changes: object) -> ResultRecord:
    """A record with a raw spectrum, or without one when `source` is None."""
    label = sequence % 3
    plain = ResultRecord(
        time="2026-03-05T10:20:30.400+00:00",
        site="lab",
        device="probe-1",
        boot=7,
        sequence=sequence,
        bundle="0123456789abcdef",
        split=0 if source else 1,
        checksum=1000 + sequence,
        bundle_name="minerals",
        bundle_version=3,
        label=label,
        class_name=CLASSES[label],
        probability=0.75,
        exit_index=2,
        macs=1234,
        queue_ms=0.5,
        compute_ms=1.25,
        gateway="gateway-1",
        provisional_label=0,
        provisional_class_name=CLASSES[0],
        provisional_probability=0.5,
        provisional_exit_index=0,
        spectrum=b"" if source is None else pack_spectrum(counts(sequence, len(source.values))),
        source=source,
    )
    return msgspec.structs.replace(plain, **changes)


def records(n: int, first: int = 0, **changes: object) -> list[ResultRecord]:
    """Records of successive spectra."""
    return [record(sequence, **changes) for sequence in range(first, first + n)]


def failed(one: ResultRecord) -> ResultRecord:
    """The same request, with an error in place of the answer."""
    nothing = {"label": None, "class_name": "", "probability": None, "exit_index": None}
    return msgspec.structs.replace(one, error="the gateway could not compute it: no memory", **nothing)


def sequences(found: Iterable[ResultRecord]) -> list[int]:
    """Numbers of the spectra of records."""
    return [one.sequence for one in found]


def rows(path: Path) -> list[sqlite3.Row]:
    """All rows of an SQLite sink, by sequence; none when there is no file or table yet."""
    if not path.is_file():
        return []
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        if not _has_table(connection, "results"):
            return []
        return connection.execute("SELECT * FROM results ORDER BY sequence").fetchall()


def spooled(folder: Path) -> list[ResultRecord]:
    """What waits in the spools of a folder; their processes are dead."""
    found = []
    for path in sorted(folder.glob("spool-*.sqlite")):
        with closing(sqlite3.connect(path)) as connection:
            if _has_table(connection, "records"):
                bodies = connection.execute("SELECT body FROM records ORDER BY number")
                found += [msgspec.msgpack.decode(body, type=ResultRecord) for (body,) in bodies]
    return found


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None


def ids(found: Sequence[sqlite3.Row]) -> list[RecordId]:
    """Identities of rows."""
    return [RecordId(*(row[name] for name in RecordId._fields)) for row in found]


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float:
    """Value of a metric; 0 when it was never counted."""
    return registry.get_sample_value(f"specnet_gateway_{name}", labels) or 0.0
