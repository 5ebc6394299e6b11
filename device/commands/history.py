"""``specnet-device history``."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import msgspec

from device.commands.options import add_configuration_options, configuration_from
from device.journal.history import FIELDS, History
from specnet.errors import ConfigurationError

HELP = "show the last final answers out of the journal, and where all recorded spectra are"
EXAMPLE = "specnet-device history --config node.toml --last 20 --csv > answers.csv"
MAX_LAST = 10_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_configuration_options(parser)
    parser.add_argument("--last", type=int, default=20, metavar="N", help="how many (default: 20)")
    parser.add_argument("--csv", action="store_true", help="a table for other programs, without the accounts")


def run(args: argparse.Namespace) -> int:
    """Print the answers, oldest first; a device that is running is not disturbed."""
    if not 1 <= args.last <= MAX_LAST:
        raise ConfigurationError(f"--last is 1 to {MAX_LAST}, got {args.last}")
    if args.csv and args.json:
        raise ConfigurationError("--csv and --json are both given, expected one of them")
    with closing(History(configuration_from(args).journal_path)) as history:
        answers = history.last(args.last)
        if args.csv:
            sys.stdout.write(_table(answers))
        elif args.json:
            document = {"accounts": history.accounts(), "answers": answers}
            sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
        else:
            sys.stdout.write(_text(answers, history.accounts()))
    return 0


def _table(answers: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
    writer.writeheader()
    for answer in answers:
        writer.writerow({**answer, "known": int(answer["known"]), "flags": " ".join(answer["flags"])})
    return stream.getvalue()


def _text(answers: list[dict[str, Any]], accounts: dict[str, int]) -> str:
    lines = [_line(answer) for answer in answers] or ["no answers yet"]
    return "\n".join([*lines, "", ", ".join(f"{name} {n}" for name, n in accounts.items()), ""])


def _line(answer: dict[str, Any]) -> str:
    probability = "" if answer["probability"] is None else f"{answer['probability']:.3f}"
    what = answer["class"] or answer["reason"]
    remarks = " ".join(
        [answer["outcome"], answer["source"], *answer["flags"], *([] if answer["known"] else ["unknown"])]
    )
    identity = f"{_moment(answer['acquired'])}  {answer['boot']}-{answer['sequence']:<8}"
    return f"{identity}  {what:<24} {probability:>6}  {remarks}"


def _moment(acquired: float | None) -> str:
    """Write a wall clock that may show anything."""
    try:
        return "-" if acquired is None else datetime.fromtimestamp(acquired, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "-"
