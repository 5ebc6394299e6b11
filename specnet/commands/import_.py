"""``specnet import``: turn other files into an HDF5 file of spectra."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from specnet import console
from specnet.datasets import SpectraTable, import_answers, import_csv, import_npz, write_spectra
from specnet.datasets.importing import ImportOptions
from specnet.datasets.importing.answers import SUFFIXES as ANSWER_SUFFIXES
from specnet.errors import DatasetError
from specnet.spectra import UNITS, Quantity

HELP = "Import spectra from a numpy archive, a text table, or what gateways have kept."
EXAMPLE = "specnet import minerals-raman.npz minerals.h5 --crop 190 1230 --drop-nan --where processed=1 --min-groups 5"

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument(
        "source",
        type=Path,
        help=f".npz with X, y, axis ..., a table {', '.join(TEXT_SUFFIXES)}, "
        f"or results of a gateway {', '.join(ANSWER_SUFFIXES)} (.dsn: a file that says where PostgreSQL is)",
    )
    parser.add_argument("out", type=Path, help="HDF5 file to write")
    units = sorted({unit for known in UNITS.values() for unit in known})
    parser.add_argument("--quantity", choices=[str(quantity) for quantity in Quantity], help="what the axis measures")
    parser.add_argument("--unit", choices=units, default="", help="unit of the axis (default: the usual one)")
    parser.add_argument("--intensity-unit", default="", help="unit of the intensities (default: counts or a.u.)")
    parser.add_argument("--laser", type=float, metavar="NM", help="excitation line in nm")
    parser.add_argument("--title", default="", help="title of the data (default: the file's name)")
    parser.add_argument("--crop", type=float, nargs=2, metavar=("LOW", "HIGH"), help="keep this part of the axis")
    parser.add_argument("--drop-nan", action="store_true", help="drop spectra with NaN instead of refusing the file")
    parser.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="keep these spectra only; repeatable"
    )
    parser.add_argument(
        "--min-groups", type=int, default=0, metavar="N", help="keep classes with at least N distinct groups"
    )
    parser.add_argument(
        "--labels",
        choices=["none", "predicted"],
        default="none",
        help="results of a gateway: take its answers as labels, or no labels (default: none)",
    )
    parser.add_argument(
        "--layout", choices=["auto", "rows", "columns"], default="auto", help="text tables: one spectrum in each ..."
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Import, write, and tell what was assumed or lost."""
    options = ImportOptions(
        quantity=None if args.quantity is None else Quantity(args.quantity),
        unit=args.unit,
        intensity_unit=args.intensity_unit,
        laser_nm=args.laser,
        title=args.title,
        crop=None if args.crop is None else (args.crop[0], args.crop[1]),
        drop_nan=args.drop_nan,
        where=tuple(args.where),
        min_groups=args.min_groups,
    )
    table, notes = _import(args, options)
    table = replace(table, provenance={**table.provenance, "command": _command(args)})
    with console.progress("writing spectra", table.n_spectra) as advance:
        write_spectra(args.out, table, progress=advance)
    for sentence in notes:
        console.note(f"note: {sentence}")
    console.say(
        f"{args.out}: {table.n_spectra} spectra x {table.n_points} points, {len(table.class_names)} classes, "
        f"{table.axis.label} {table.axis.values[0]:g} - {table.axis.values[-1]:g}"
    )
    return {
        "path": str(args.out),
        "n_spectra": table.n_spectra,
        "n_points": table.n_points,
        "classes": list(table.class_names),
        "axis": {"quantity": str(table.axis.quantity), "unit": table.axis.unit},
        "columns": list(table.columns),
        "notes": notes,
    }


def _import(args: argparse.Namespace, options: ImportOptions) -> tuple[SpectraTable, list[str]]:
    suffix = args.source.suffix.lower()
    if args.labels != "none" and suffix not in ANSWER_SUFFIXES:
        raise DatasetError(f"--labels {args.labels} is for results of a gateway ({', '.join(ANSWER_SUFFIXES)})")
    if suffix == ".npz":
        return import_npz(args.source, options)
    if suffix in TEXT_SUFFIXES:
        return import_csv(args.source, options, layout=args.layout)
    if suffix in ANSWER_SUFFIXES:
        return import_answers(args.source, options, labels=args.labels)
    known = ", ".join((".npz", *TEXT_SUFFIXES, *ANSWER_SUFFIXES))
    raise DatasetError(f"{args.source}: cannot import {suffix or 'a file without suffix'}, expected {known}")


def _command(args: argparse.Namespace) -> str:
    """Write the command without folders, which say nothing about the data."""
    words = ["specnet", "import", args.source.name, args.out.name]
    for name in ("quantity", "unit", "intensity_unit", "laser", "title", "crop", "min_groups"):
        value = getattr(args, name)
        if value:
            words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    words += ["--drop-nan"] if args.drop_nan else []
    words += [word for condition in args.where for word in ("--where", condition)]
    words += ["--labels", args.labels] if args.labels != "none" else []
    words += ["--layout", args.layout] if args.layout != "auto" else []
    return shlex.join(words)
