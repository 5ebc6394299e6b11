"""``specnet-device selftest``."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from device.commands.options import add_configuration_options, configuration_from
from device.selftest import run_checks

HELP = "check bundle, spectrometer, broker, disk, clock and trust in updates"
EXAMPLE = "specnet-device selftest --config node.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_configuration_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run all checks; 1 when one has failed."""
    checks = run_checks(configuration_from(args))
    passed = all(check.passed for check in checks)
    if args.json:
        document = {"passed": passed, "checks": [asdict(check) for check in checks]}
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            sys.stdout.write(f"{'ok    ' if check.passed else 'FAILED'}  {check.name:<{width}}  {check.detail}\n")
    return 0 if passed else 1
