"""What a command shows: text on stdout unless --json was asked for, notes and progress on stderr."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

WIDTH = 160
_quiet_stdout = False
_silent = False


def use_json(enabled: bool) -> None:
    """Keep stdout free for one JSON document: `say` and `table` then write to stderr."""
    global _quiet_stdout
    _quiet_stdout = enabled


def leave_reporting_to_another() -> None:
    """Write nothing from here on but errors: one of several processes reports for all."""
    global _silent
    _silent = True
    sys.stdout = io.StringIO()


def _out() -> Console:
    file = sys.stderr if _quiet_stdout else sys.stdout
    # a file or a pipe has no width: tables keep theirs
    return Console(file=file, highlight=False, soft_wrap=True, width=None if file.isatty() else WIDTH)


def say(text: str = "") -> None:
    """Write a line of the command's result."""
    _out().print(text, markup=False)


def note(text: str) -> None:
    """Write a remark to stderr."""
    if _silent:
        return
    Console(file=sys.stderr, highlight=False, soft_wrap=True).print(text, markup=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table of the command's result; the first column is text, the others are right-aligned."""
    view = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        view.add_column(column, justify="left" if index == 0 else "right", no_wrap=index > 0)
    for row in rows:
        view.add_row(*(str(cell) for cell in row))
    _out().print(view)


class Advance(Protocol):
    """Reports work done since the last call, with an optional remark shown beside the bar."""

    def __call__(self, steps: float = 1, remark: str | None = None) -> None:
        """Advance the bar."""


@contextmanager
def progress(description: str, total: float | None) -> Iterator[Advance]:
    """Progress bar on stderr, silent when stderr is no terminal."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
        console=Console(file=sys.stderr),
        transient=True,
        disable=_silent or not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(description, total=total, remark="")

        def advance(steps: float = 1, remark: str | None = None) -> None:
            bar.update(task, advance=steps)
            if remark is not None:
                bar.update(task, remark=remark)

        yield advance
