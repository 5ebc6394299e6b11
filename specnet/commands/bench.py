"""``specnet bench``: measurements by name, each in a module of its own."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

HELP = "measure: parts of a bundle, or accuracy against cost of many methods"
EXAMPLE = "specnet bench segments minerals.specnet"
BENCHES = (
    "segments",
    "blocks",
    "accuracy",
    "methods",
    "rejection",
    "risk",
    "codec",
    "deployment",
    "architecture",
    "device",
    "field",
    "gateway",
    "soak",
)
"""Names; ``bench NAME`` is the module ``specnet.commands.bench_NAME``."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the measurements as commands of this command."""
    benches = parser.add_subparsers(metavar="NAME", required=True)
    for name in BENCHES:
        module = import_module(f"specnet.commands.bench_{name}")
        bench = benches.add_parser(
            name,
            help=module.HELP,
            description=module.HELP[0].upper() + module.HELP[1:] + ".",
            epilog=f"example: {module.EXAMPLE}",
        )
        # also accepted before the name, which a default here would undo
        bench.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON document instead of text"
        )
        module.add_arguments(bench)
        bench.set_defaults(measure=module.run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run the measurement that was named."""
    document: dict[str, Any] = args.measure(args)
    return document
