"""``specnet-device axis``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from device.commands.options import add_configuration_options, configuration_from
from device.spectrometers import create_spectrometer
from specnet.errors import ConfigurationError
from specnet.files import write_json
from specnet.spectra import Quantity, SpectralAxis

HELP = "read the wavelength calibration from the spectrometer's memory and keep it as an axis file"
EXAMPLE = "specnet-device axis --config node.toml --set spectrometer.n_points=2048 --out axis.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_configuration_options(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="for spectrometer.axis_file")


def run(args: argparse.Namespace) -> int:
    """Ask the instrument and write the file."""
    settings = configuration_from(args).spectrometer
    if settings.n_points < 2:
        raise ConfigurationError(f"spectrometer.n_points must say how many pixels there are, got {settings.n_points}")
    spectrometer = create_spectrometer(settings, settings.n_points)
    spectrometer.open()
    try:
        wavelengths = spectrometer.wavelengths()
        name = f"{spectrometer.model} {spectrometer.serial_number}"
    finally:
        spectrometer.close()
    if wavelengths is None:
        raise ConfigurationError(f"{name} tells no wavelengths; set spectrometer.coefficients or axis_file")
    axis = SpectralAxis(wavelengths, Quantity.WAVELENGTH)
    write_json(args.out, axis.to_dict())
    first, last = float(wavelengths[0]), float(wavelengths[-1])
    if args.json:
        document = {"spectrometer": name, "n_points": axis.n_points, "first_nm": first, "last_nm": last}
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        sys.stdout.write(f"{name}: {axis.n_points} points, {first:g} to {last:g} nm, written to {args.out}\n")
    return 0
