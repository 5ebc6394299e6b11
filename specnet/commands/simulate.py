"""``specnet simulate``: write a file of simulated spectra."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from specnet.console import progress, say, table
from specnet.datasets import Holdout, SpectraTable, write_spectra
from specnet.datasets.simulation import PRESETS, SimulationConfig, load_minerals, simulate
from specnet.errors import ConfigurationError

HELP = "write simulated spectra of minerals or random substances, with labels, samples, instruments and a split"
EXAMPLE = "specnet simulate minerals.h5 --preset demo --seed 0"

_PRESET_HELP = (
    "easy: clean single minerals; demo: mostly easy with a share of mixtures, weak and displaced spectra; "
    "hard: random substances with near-identical siblings, mixed and weak, tested on instruments that took no "
    "training spectrum; random: many random substances, each spectrum with its own instrument, to pretrain on "
    "(default: %(default)s)"
)
_OPTIONS = {
    "spectra_per_class": ("--spectra-per-class", int, "spectra of each substance"),
    "spectra_per_sample": ("--spectra-per-sample", int, "spots on one physical sample; they stay together"),
    "n_classes": ("--classes", int, "number of substances; minerals are taken evenly from the table (default: all)"),
    "n_points": ("--points", int, "points of the axis"),
    "n_instruments": ("--instruments", int, "number of spectrometers"),
    "test_instruments": ("--test-instruments", int, "how many of them take the test part and nothing else"),
    "mixture_share": ("--mixtures", float, "share of spectra that are mixtures"),
    "seed": ("--seed", int, "everything is drawn from it"),
}
_SUBSTANCE_OPTIONS = {
    "siblings": ("--siblings", int, "near-identical substances in a family (hard, random)"),
    "broad_share": ("--broad", float, "share of families with bands as broad as in infrared spectra (hard, random)"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("out", type=Path, metavar="OUT.h5", help="the file to write")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="demo", help=_PRESET_HELP)
    for name, (flag, kind, text) in (_OPTIONS | _SUBSTANCE_OPTIONS).items():
        parser.add_argument(flag, dest=name, type=kind, metavar="N" if kind is int else "SHARE", help=text)
    parser.add_argument(
        "--axis", dest="axis_range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="ends of the axis in 1/cm"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Simulate and write the file.

    Raises
    ------
    ConfigurationError, DatasetError
        When the options do not make a data set.
    """
    config = _configuration(args)
    started = time.perf_counter()
    total = config.spectra_per_class * (config.n_classes or len(load_minerals()))
    with progress("simulating", total) as advance:
        done = 0

        def report(now: int, _total: int) -> None:
            nonlocal done
            advance(now - done)
            done = now

        spectra = simulate(config, progress=report)
    _write(args.out, spectra)
    document = _document(args, config, spectra, time.perf_counter() - started)
    say(
        f"{document['path']}: {spectra.n_spectra} spectra x {spectra.n_points} points "
        f"of {len(spectra.class_names)} {'random substances' if config.substances else 'minerals'}"
    )
    table("", ["", "spectra"], [(part, count) for part, count in document["holdout"].items()])
    say(
        f"{document['samples']} samples, {document['mixtures']} spectra are mixtures, "
        f"{document['instruments']} instruments ({document['test_instruments']} for the test part only), "
        f"seed {config.seed}"
    )
    return document


def _configuration(args: argparse.Namespace) -> SimulationConfig:
    config = PRESETS[args.preset]
    chosen = _given(args, (*_OPTIONS, "axis_range"))
    if "axis_range" in chosen:
        chosen["axis_range"] = (chosen["axis_range"][0], chosen["axis_range"][1])
    of_substances = _given(args, _SUBSTANCE_OPTIONS)
    if of_substances:
        if config.substances is None:
            flags = ", ".join(_SUBSTANCE_OPTIONS[name][0] for name in of_substances)
            raise ConfigurationError(f"{flags}: minerals are as published; expected with --preset hard or random")
        chosen["substances"] = dataclasses.replace(config.substances, **of_substances)
    return dataclasses.replace(config, **chosen)


def _given(args: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def _write(path: Path, spectra: SpectraTable) -> None:
    try:
        write_spectra(path, spectra)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror or error}") from error


def _document(
    args: argparse.Namespace, config: SimulationConfig, spectra: SpectraTable, seconds: float
) -> dict[str, Any]:
    return {
        "path": str(args.out),
        "preset": args.preset,
        "seed": config.seed,
        "n_spectra": spectra.n_spectra,
        "n_points": spectra.n_points,
        "classes": list(spectra.class_names),
        "samples": config.samples_per_class * len(spectra.class_names),
        "instruments": spectra.n_spectra if config.n_instruments is None else config.n_instruments,
        "test_instruments": config.test_instruments,
        "mixtures": int(spectra.columns["is_mixture"].sum()),
        "holdout": {part.name.lower(): int(spectra.rows(part).size) for part in Holdout},
        "bytes": args.out.stat().st_size,
        "seconds": round(seconds, 3),
    }
