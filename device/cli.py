"""``specnet-device``: the command line of the sensor board."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from device.commands import axis, dark, history, init, model, ping, profile, run, selftest, simulate
from specnet.errors import SpecnetError

COMMANDS = {
    "init": init,
    "run": run,
    "history": history,
    "selftest": selftest,
    "dark": dark,
    "axis": axis,
    "profile": profile,
    "ping": ping,
    "model": model,
    "simulate": simulate,
}
USER_ERROR = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        0 on success, 1 when a check failed, 2 for a mistake of the user, with one line on stderr, 130 when interrupted.
    """
    args = build_parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=args.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        return int(COMMANDS[args.command].run(args))
    except SpecnetError as error:
        sys.stderr.write(f"specnet-device: {error}\n")
        return USER_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("specnet-device: interrupted\n")
        return INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands."""
    parser = argparse.ArgumentParser(prog="specnet-device", description="The sensor board's part of specnet.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=command.HELP,
            description=command.HELP[0].upper() + command.HELP[1:] + ".",
            epilog=f"Example:\n  {command.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(sub)
        sub.add_argument("--json", action="store_true", help="machine-readable output on stdout")
        sub.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="warning")
    return parser


if __name__ == "__main__":
    sys.exit(main())
