"""``specnet simulate``: write a file of simulated Raman spectra."""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

from specnet.console import progress, say, table
from specnet.datasets import Holdout, SpectraTable, write_spectra
from specnet.datasets.simulation import PRESETS, SimulationConfig, load_minerals, simulate
from specnet.errors import ConfigurationError

HELP = "write simulated Raman spectra of minerals, with labels, samples, instruments and a split"
EXAMPLE = "specnet simulate minerals.h5 --preset demo --seed 0"

_OPTIONS = {
    "spectra_per_class": "spectra of each mineral",
    "spectra_per_sample": "spots on one physical sample; they stay together in the split",
    "n_classes": "number of minerals, taken evenly from the table (default: all of them)",
    "n_points": "points of the axis",
    "n_instruments": "number of spectrometers",
    "seed": "everything is drawn from it",
}
_FLAGS = {"n_classes": "--classes", "n_points": "--points", "n_instruments": "--instruments"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("out", type=Path, metavar="OUT.h5", help="the file to write")
    parser.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        default="demo",
        help="easy: clean single minerals; demo: mostly easy with a share of mixtures, weak and displaced spectra; "
        "hard: the same minerals, most spectra mixed, noisy and displaced (default: %(default)s)",
    )
    for name, text in _OPTIONS.items():
        flag = _FLAGS.get(name, "--" + name.replace("_", "-"))
        parser.add_argument(flag, dest=name, type=int, metavar="N", help=text)
    parser.add_argument(
        "--mixtures", dest="mixture_share", type=float, metavar="SHARE", help="share of spectra that are mixtures"
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
    with progress("simulating", config.spectra_per_class * (config.n_classes or len(load_minerals()))) as advance:
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
        f"of {len(spectra.class_names)} minerals"
    )
    table("", ["", "spectra"], [(part, count) for part, count in document["holdout"].items()])
    say(
        f"{document['samples']} samples, {document['mixtures']} spectra are mixtures, "
        f"{config.n_instruments} instruments, seed {config.seed}"
    )
    return document


def _configuration(args: argparse.Namespace) -> SimulationConfig:
    chosen = {name: getattr(args, name) for name in (*_OPTIONS, "mixture_share")}
    return dataclasses.replace(
        PRESETS[args.preset], **{name: value for name, value in chosen.items() if value is not None}
    )


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
        "instruments": config.n_instruments,
        "mixtures": int(spectra.columns["is_mixture"].sum()),
        "holdout": {part.name.lower(): int(spectra.rows(part).size) for part in Holdout},
        "bytes": args.out.stat().st_size,
        "seconds": round(seconds, 3),
    }
