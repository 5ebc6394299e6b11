"""Final answers as rows of the table `answers`."""

from __future__ import annotations

from typing import Any

from device.journal.finals import Final

ANSWER_COLUMNS = (
    "boot, sequence, outcome, source, label, class, probability, exit, known, flags, reason, bundle, macs, "
    "gateway_macs, bytes, latency_ms"
)
INSERT_ANSWER = (
    f"INSERT OR IGNORE INTO answers ({ANSWER_COLUMNS}, number, age) "  # noqa: S608  (constants only)
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def answer_row(final: Final, number: int, age: float) -> tuple[Any, ...]:
    """Values for `INSERT_ANSWER`; `number` counts finals, `age` is the device's in seconds."""
    return (
        final.boot,
        final.sequence,
        final.outcome,
        final.source,
        final.label,
        final.class_name,
        final.probability,
        final.exit_index,
        int(final.known),
        ",".join(final.flags),
        final.reason,
        final.bundle,
        final.macs,
        final.gateway_macs,
        final.payload_bytes,
        final.latency_ms,
        number,
        age,
    )


def final_of_row(row: tuple[Any, ...]) -> Final:
    """Make the final answer of a row of `ANSWER_COLUMNS`."""
    return Final(
        boot=row[0],
        sequence=row[1],
        outcome=row[2],
        source=row[3],
        label=row[4],
        class_name=row[5],
        probability=row[6],
        exit_index=row[7],
        known=bool(row[8]),
        flags=tuple(row[9].split(",")) if row[9] else (),
        reason=row[10],
        bundle=row[11],
        macs=row[12],
        gateway_macs=row[13],
        payload_bytes=row[14],
        latency_ms=row[15],
    )
