"""``specnet-device dark``."""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np

from device.commands.options import add_configuration_options, configuration_from
from device.spectrometers.axis import resolve_axis
from device.spectrometers.instrument import create_instrument
from device.spectrometers.settings import MAX_SCANS
from specnet.bundle import read_bundle
from specnet.errors import ConfigurationError
from specnet.status_line import StatusLine

HELP = "take dark spectra, with the light off, and keep them for subtraction"
EXAMPLE = "specnet-device dark --config node.toml --exposures 0.01,0.05,0.2"
MAX_EXPOSURES = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_configuration_options(parser)
    parser.add_argument("--scans", type=int, default=32, metavar="N", help="scans that are averaged (default: 32)")
    parser.add_argument(
        "--exposures",
        metavar="SECONDS",
        default="",
        help="several, separated by commas: from two on any exposure up to twice the longest can be calculated "
        "(default: that of the configuration)",
    )


def run(args: argparse.Namespace) -> int:
    """Take the dark spectra and say what they look like."""
    if not 1 <= args.scans <= MAX_SCANS:
        raise ConfigurationError(f"--scans is from 1 to {MAX_SCANS}, got {args.scans}")
    exposures = _exposures(args.exposures)
    configuration = configuration_from(args)
    settings = configuration.spectrometer
    pixels = resolve_axis(settings, read_bundle(configuration.bundle).source_axis)
    instrument = create_instrument(settings, pixels.n_points, configuration.state_dir)
    instrument.open()
    taken = []
    try:
        with StatusLine() as status:
            for index, micros in enumerate(exposures):
                status.show(f"dark spectrum {index + 1} of {len(exposures)}, {args.scans} scans")
                frame = instrument.take_dark(args.scans, micros)
                taken.append(
                    {
                        "integration_us": frame.integration_us,
                        "scans": frame.scans,
                        "temperature_c": frame.temperature_c,
                        "mean": round(float(np.mean(frame.counts)), 3),
                        "highest": round(float(np.max(frame.counts)), 3),
                    }
                )
    finally:
        instrument.close()
    if args.json:
        document = {"spectrometer": instrument.serial_number, "taken": taken, "bad_pixels": list(instrument.bad_pixels)}
        sys.stdout.write(json.dumps(document) + "\n")
        return 0
    for row in taken:
        seconds = row["integration_us"] / 1e6  # type: ignore[operator]
        sys.stdout.write(f"{seconds:g} s: mean {row['mean']} counts, highest {row['highest']}\n")
    bad = ", ".join(map(str, instrument.bad_pixels)) or "none"
    sys.stdout.write(f"dead or hot pixels: {bad}\n")
    return 0


def _exposures(text: str) -> list[int | None]:
    """Exposures in microseconds; None stands for that of the configuration."""
    if not text:
        return [None]
    try:
        seconds = [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigurationError(f"--exposures are seconds separated by commas, got {text[:80]!r}") from None
    if not all(1e-6 <= value <= 600 for value in seconds) or len(seconds) > MAX_EXPOSURES:
        raise ConfigurationError(f"--exposures are up to {MAX_EXPOSURES} from 1e-6 to 600 seconds, got {text[:80]!r}")
    return [round(value * 1e6) for value in seconds]
