"""``specnet-device ping``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from device.commands.options import add_configuration_options, configuration_from
from device.commands.profile_output import give_out
from device.profiling.link import measure_link
from specnet.errors import ConfigurationError
from specnet.status_line import StatusLine

HELP = "measure round trip, rates and losses of the link to the broker"
EXAMPLE = "specnet-device ping --config node.toml --out link.json --count 100"

MOST = 1_000_000
MAX_SIZES = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_configuration_options(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the profile here, such as link.json")
    parser.add_argument("--count", type=int, default=50, metavar="N", help="round trips for each size (default: 50)")
    parser.add_argument(
        "--bytes",
        default="32,1024,16384",
        metavar="N,...",
        help="sizes of payloads; the largest makes the bursts that measure rates (default: 32,1024,16384)",
    )
    parser.add_argument(
        "--timeout", type=float, default=5.0, metavar="S", help="a message is lost after so many seconds (default: 5)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure and give out the profile."""
    if not 1 <= args.count <= MOST:
        raise ConfigurationError(f"--count is from 1 to {MOST}, got {args.count}")
    # written so that NaN fails too
    if not 0 < args.timeout <= 3600:
        raise ConfigurationError(f"--timeout is above 0 up to 3600 seconds, got {args.timeout}")
    sizes = _sizes(args.bytes)
    configuration = configuration_from(args)
    with StatusLine() as status:
        measured = measure_link(configuration, args.count, sizes, timeout_s=args.timeout, progress=status.show)
    give_out(measured.profile, args.out, json=args.json)
    if not args.json:
        sys.stdout.write("\n")
        for size, q in measured.round_trip_ms.items():
            sys.stdout.write(f"round trip of {size} bytes: p50 {q.p50:.2f} ms, p95 {q.p95:.2f} ms\n")
        parts = ", ".join(f"{what} {n_bytes}" for what, n_bytes in measured.overhead.items())
        sys.stdout.write(f"overhead counted: {parts} bytes\n")
    return 0


def _sizes(text: str) -> list[int]:
    words = text.split(",")
    if len(words) > MAX_SIZES or not all(word.isascii() and word.isdigit() and len(word) <= 9 for word in words):
        raise ConfigurationError(f"--bytes takes up to {MAX_SIZES} numbers such as 32,1024, got {text[:80]!r}")
    return [int(word) for word in words]
