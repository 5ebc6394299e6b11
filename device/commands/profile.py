"""``specnet-device profile``."""

from __future__ import annotations

import argparse
from pathlib import Path

from device.commands.options import add_configuration_options, configuration_from
from device.commands.profile_output import give_out
from device.profiling.measure import measure_device
from device.profiling.power import Power
from device.profiling.steps import REST_S
from specnet.errors import ConfigurationError
from specnet.status_line import StatusLine

HELP = "measure what preprocessing, segments, exits and codecs take on this device"
EXAMPLE = "specnet-device profile --config node.toml --out device.json --watts 3.1 --idle-watts 2.2"

FEWEST = 200
MOST = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_configuration_options(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the profile here, such as device.json")
    parser.add_argument(
        "--spectra", type=int, default=500, metavar="N", help=f"spectra to run, at least {FEWEST} (default: 500)"
    )
    parser.add_argument(
        "--rest-ms",
        type=float,
        default=1e3 * REST_S,
        metavar="MS",
        help=f"pause before each spectrum, as an instrument makes it (default: {1e3 * REST_S:g}; 0 measures a loop)",
    )
    parser.add_argument("--watts", type=float, metavar="W", help="power of the device while it computes")
    parser.add_argument("--idle-watts", type=float, metavar="W", help="power of the device while it waits")


def run(args: argparse.Namespace) -> int:
    """Measure and give out the profile."""
    if not FEWEST <= args.spectra <= MOST:
        raise ConfigurationError(f"--spectra is from {FEWEST} to {MOST}, got {args.spectra}")
    if not 0 <= args.rest_ms <= 10_000:
        raise ConfigurationError(f"--rest-ms is from 0 to 10000, got {args.rest_ms}")
    stated = _stated(args.watts, args.idle_watts)
    configuration = configuration_from(args)
    with StatusLine() as status:

        def show(done: int) -> None:
            if done % 50 == 0 or done == args.spectra:
                status.show(f"{done} of {args.spectra} spectra")

        profile = measure_device(configuration, args.spectra, stated=stated, rest_s=args.rest_ms / 1e3, progress=show)
    give_out(profile, args.out, json=args.json)
    return 0


def _stated(watts: float | None, idle_watts: float | None) -> Power | None:
    if watts is None and idle_watts is None:
        return None
    if watts is None or idle_watts is None:
        raise ConfigurationError(f"--watts and --idle-watts belong together, got {watts} and {idle_watts}")
    # written so that NaN fails too
    if not 0 < watts <= 1e5 or not 0 <= idle_watts <= watts:
        raise ConfigurationError(f"--watts is above 0 and --idle-watts from 0 to --watts, got {watts} and {idle_watts}")
    return Power(watts, idle_watts, "stated")
