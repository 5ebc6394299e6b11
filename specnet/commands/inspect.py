"""``specnet inspect``: show what a file of spectra, a bundle or a profile holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from specnet import console
from specnet.commands.bundle_view import show_bundle
from specnet.datasets import SpectraFile
from specnet.datasets.plots import plot_classes
from specnet.datasets.report import SpectraReport, report_spectra
from specnet.datasets.table import Holdout

HELP = "Show what a file of spectra, a bundle or a profile holds, and what is suspicious about it."
EXAMPLE = "specnet inspect minerals.h5 --plot minerals.png"

MAX_ROWS = 40
BUNDLE_SUFFIX = ".specnet"
PROFILE_SUFFIX = ".json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare arguments."""
    parser.add_argument("path", type=Path, help="HDF5 file of spectra, a *.specnet bundle, or a *.json profile")
    parser.add_argument(
        "--plot",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="FILE.png",
        help="draw the classes; without a name into <name of the file>.png in the current folder",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Report on a file of spectra, a bundle or a profile."""
    if args.path.suffix == BUNDLE_SUFFIX:
        return _inspect_bundle(args.path)
    if args.path.suffix == PROFILE_SUFFIX:
        return _inspect_profile(args.path)
    return _inspect_spectra(args.path, args.plot)


def _inspect_spectra(path: Path, plot: Path | None) -> dict[str, Any]:
    with SpectraFile(path) as file, console.progress("reading spectra", file.n_spectra) as advance:
        report, statistics = report_spectra(file, progress=advance)
    _show(path, report)
    document: dict[str, Any] = {"kind": "spectra", "path": str(path), **report.to_dict()}
    if plot is not None:
        picture = Path(f"{path.stem}.png") if plot == Path() else plot
        document["plot"] = str(plot_classes(statistics, picture, title=report.title or path.stem))
        console.say(f"\nplot: {picture}")
    return document


def _show(path: Path, report: SpectraReport) -> None:
    axis, intensity = report.axis, report.intensity
    step = f"step {axis['step']:.4g}" + ("" if axis["uniform"] else " (median, not uniform)")
    console.say(f"{report.title or path.name}" + (f"  [{report.experiment_type}]" if report.experiment_type else ""))
    facts = {
        "spectra": f"{report.n_spectra} x {report.n_points} points",
        "axis": f"{axis['quantity']} {axis['first']:g} - {axis['last']:g} {axis['unit']}, {step}",
        "intensity": f"{_range(intensity)} {report.intensity_unit or '(no unit)'}, {intensity['dtype']}",
        "groups": ", ".join(f"{count} {name}" for name, count in report.groups.items()) or "none",
        "split": _split_text(report),
        "columns": ", ".join(report.columns) or "none",
        "instrument": ", ".join(f"{name} {value}" for name, value in report.instrument.items()) or "not known",
        **report.provenance,
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        console.say(f"  {name:<{width}}  {value}")
    _show_classes(report)
    if report.warnings:
        console.say()
    for warning in report.warnings:
        console.say(f"warning: {warning}")


def _show_classes(report: SpectraReport) -> None:
    if not report.classes:
        return
    parts = [part.name.lower() for part in Holdout] if report.classes[0].parts else []
    rows = [[entry.name, entry.n_spectra, *(entry.parts[part] for part in parts)] for entry in report.classes]
    console.say()
    console.table("", ["class", "spectra", *parts], rows[:MAX_ROWS])
    if len(rows) > MAX_ROWS:
        console.say(f"... and {len(rows) - MAX_ROWS} more classes")


def _range(intensity: dict[str, Any]) -> str:
    if intensity["minimum"] is None:
        return "no finite"
    return f"{intensity['minimum']:g} - {intensity['maximum']:g}"


def _split_text(report: SpectraReport) -> str:
    if not report.classes or not report.classes[0].parts:
        return "none"
    totals = {name: sum(entry.parts[name] for entry in report.classes) for name in report.classes[0].parts}
    text = ", ".join(f"{count} {name}" for name, count in totals.items())
    return text + (f", grouped by {report.split_by}" if report.split_by else ", not grouped")


def _inspect_bundle(path: Path) -> dict[str, Any]:
    import msgspec

    from specnet.bundle import read_bundle

    manifest = read_bundle(path).manifest
    show_bundle(path, manifest)
    return {"kind": "bundle", "path": str(path), "manifest": msgspec.to_builtins(manifest)}


def _inspect_profile(path: Path) -> dict[str, Any]:
    import msgspec

    from specnet.profiles import describe, read_profile

    profile = read_profile(path)
    console.say(describe(profile))
    document: dict[str, Any] = msgspec.to_builtins(profile)
    return document
