"""The live table of the demonstration, on a terminal."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

from specnet.demo.tally import Tally

ROWS = 14


class Show(Protocol):
    """Takes each record after it was counted."""

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Show it."""


@contextmanager
def live_table(tally: Tally, classes: Sequence[str]) -> Iterator[Show]:
    """Table of the latest answers on stderr; silent when that is no terminal."""
    latest: deque[Mapping[str, Any]] = deque(maxlen=ROWS)
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield lambda record: None
        return
    with Live(console=console, refresh_per_second=8, transient=True) as live:

        def show(record: Mapping[str, Any]) -> None:
            if record.get("type") == "answer":
                latest.append(record)
                live.update(_table(latest, tally, classes))

        yield show


def _table(
    latest: Sequence[Mapping[str, Any]] | deque[Mapping[str, Any]], tally: Tally, classes: Sequence[str]
) -> Table:
    done, waiting = len(tally.finals), len(tally.labels) - len(tally.finals)
    right = sum(tally.is_right(sequence) for sequence in tally.answers)
    view = Table(title=f"{done} answered, {waiting} to go, {right / max(1, len(tally.answers)):.1%} right", box=None)
    for column in ("spectrum", "answer", "truth", "p", "exit", "where", "bytes", "ms"):
        view.add_column(column, justify="left" if column in ("answer", "truth", "where") else "right", no_wrap=True)
    for record in latest:
        truth = classes[tally.labels[record["sequence"]]]
        view.add_row(
            str(record["sequence"]),
            record["class"],
            "" if record["class"] == truth else truth,
            f"{record['probability']:.2f}",
            str(record["exit"]),
            record["source"],
            str(record["bytes"] or ""),
            f"{record['latency_ms']:.1f}",
            style="" if record["class"] == truth else "red",
        )
    return view
