"""``specnet predict``: classify the spectra of a file with a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from specnet.console import note, say, table

if TYPE_CHECKING:
    from specnet.spectra import SpectralAxis

HELP = "classify the spectra of a file (HDF5, CSV or npz) with a bundle"
EXAMPLE = "specnet predict minerals.specnet unknown.h5"
SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="file that `specnet export` wrote")
    parser.add_argument("spectra", type=Path, metavar="SPECTRA", help="spectra: .h5, .csv or .npz")
    parser.add_argument("--part", choices=("train", "calibration", "test"), help="only this part of the file's split")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of one call (default: 1)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Classify; with labels in the file, say how many answers are right.

    Raises
    ------
    SpecnetError
        When the bundle is damaged, or the spectra do not fit it.
    """
    from specnet.datasets import Holdout
    from specnet.runtime import load_bundle

    predictor = load_bundle(args.bundle, threads=args.threads)
    spectra = _read(args.spectra, predictor.bundle.source_axis)
    if args.part:
        spectra = spectra.select(spectra.rows(Holdout[args.part.upper()]))
    prediction = predictor.predict(spectra.intensity, spectra.axis)
    best = prediction.probabilities.max(axis=1)
    answers = [
        {
            "index": index,
            "class": name,
            "probability": round(float(p), 6),
            "exit": int(k),
            "macs": int(macs),
            "known": bool(known),
        }
        for index, (name, p, k, macs, known) in enumerate(
            zip(prediction.names, best, prediction.exit_index, prediction.macs, prediction.known, strict=True)
        )
    ]
    rows = [
        (a["index"], _shown_class(a), f"{a['probability']:.3f}", a["exit"], f"{a['macs']:,}") for a in answers[:SHOWN]
    ]
    table("", ("spectrum", "class", "probability", "exit", "MACs"), rows)
    if len(answers) > SHOWN:
        say(f"... and {len(answers) - SHOWN} more (--json has all)")
    if unknown := int((~prediction.known).sum()):
        say(f"{unknown} of {len(answers)} look like no known class; what they resemble most is in brackets")
    document: dict[str, Any] = {"n": len(answers), "mean_macs": float(prediction.macs.mean()), "answers": answers}
    if spectra.labels is not None:
        truth = [spectra.class_names[label] if label >= 0 else "" for label in spectra.labels]
        known = np.array([name in predictor.bundle.manifest.classes for name in truth])
        if known.any():
            right = np.array([name == answer for name, answer in zip(truth, prediction.names, strict=True)])
            document["accuracy"] = float(right[known].mean())
            say(f"accuracy {document['accuracy']:.2%} on {int(known.sum())} spectra whose label the model knows")
    return document


def _shown_class(answer: dict[str, Any]) -> str:
    return str(answer["class"]) if answer["known"] else f"unknown ({answer['class']})"


def _read(path: Path, axis: SpectralAxis) -> Any:
    """Read a table; text and numpy files do not say what their axis measures, so it is taken as the bundle's."""
    from specnet.datasets import import_csv, import_npz, read_spectra
    from specnet.datasets.importing import ImportOptions

    if path.suffix not in (".npz", ".csv"):
        return read_spectra(path)
    note(f"the axis of {path} is taken as {axis.quantity} in {axis.unit}, as in the training spectra")
    options = ImportOptions(quantity=axis.quantity, unit=axis.unit)
    return import_npz(path, options)[0] if path.suffix == ".npz" else import_csv(path, options)[0]
