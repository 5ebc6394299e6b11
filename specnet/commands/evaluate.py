"""``specnet evaluate``: what a run achieves on its test split, at every exit, budget and at its operating point."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.console import note, progress, say, table
from specnet.errors import ModelError
from specnet.files import write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from specnet.calibration import CachedLogits, Calibration
    from specnet.evaluation import DepthMaps
    from specnet.training import CachedRun, Run

HELP = "measure a calibrated run on its test split, with tables and figures"
EXAMPLE = "specnet evaluate runs/minerals minerals.h5"
_TIMED_SPECTRA = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that `specnet train` wrote")
    parser.add_argument("data", type=Path, metavar="DATA.h5", help="the spectra it was trained on")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="folder for figures (default: RUN/plots)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate; write ``RUN/evaluation.json`` and figures. A run without calibration is calibrated first.

    Raises
    ------
    DatasetError, ModelError
        When run, calibration and data do not belong together.
    """
    from specnet.datasets import Holdout
    from specnet.evaluation import DepthMaps, evaluate
    from specnet.training import load_run

    trained = load_run(args.run)
    with progress("calibration and test split", None) as advance:
        held = trained.cache(args.data, Holdout.CALIBRATION, advance).logits
        test = trained.cache(args.data, Holdout.TEST, advance)
    calibration = _calibration(trained, held)
    depth = DepthMaps(test.depths, test.units) if test.units else None
    regions = _regions(trained, args.data)
    report = evaluate(
        test.logits,
        calibration,
        held,
        classes=trained.classes,
        split_by=trained.split_by,
        depth=depth,
        cumulative_us=_times(trained, test),
        peaks=None if regions is None else (regions, trained.network.unit_macs()),
        linear_exit=trained.network.exit0 is not None,
    )
    if not report["calibration_current"]:
        note("the calibration was made with other data or another training: `specnet calibrate` makes a new one")
    path = write_json(trained.path / "evaluation.json", report)
    folder = args.plots or trained.path / "plots"
    plots = [str(plot) for plot in _draw(folder, trained, test, depth, regions, calibration, report)]
    _show(report)
    say(f"written to {path}; figures in {folder}")
    return {**report, "evaluation": str(path), "plots": plots}


def _calibration(trained: Run, held: CachedLogits) -> Calibration:
    from specnet.calibration import calibrate, read_calibration

    if trained.calibration_path.exists():
        return read_calibration(trained.calibration_path)
    calibration = calibrate(held, additive=getattr(trained.network.config, "additive", False))
    calibration.write(trained.calibration_path)
    note(f"this run had no calibration; the default operating point was written to {trained.calibration_path}")
    return calibration


def _regions(trained: Run, data: Path) -> NDArray[np.bool_] | None:
    """Points ``(C, L)`` of the model's axis on true bands of each class; None where the file does not know them."""
    from specnet.datasets import SpectraFile

    with SpectraFile(data) as file:
        if file.bands is None:
            return None
        return file.bands.regions(trained.axis, len(trained.classes))


def _times(trained: Run, test: CachedRun) -> list[float] | None:
    with progress("timing exits", None):
        try:
            return trained.measure_us(spectra=test.spectra[:_TIMED_SPECTRA])
        except ModelError as error:
            note(f"no times were measured: {error}")
            return None


def _draw(
    folder: Path,
    trained: Run,
    test: CachedRun,
    depth: DepthMaps | None,
    regions: NDArray[np.bool_] | None,
    calibration: Calibration,
    report: dict[str, Any],
) -> list[Path]:
    from specnet.evaluation import confusion_matrix, plots, reliability
    from specnet.exits import route

    routing, labels = route(calibration.policy, test.logits.logits), test.logits.labels
    matrix = confusion_matrix(labels, routing.probabilities.argmax(axis=1), len(trained.classes))
    diagrams = {"operating point": reliability(routing.probabilities, labels)}
    for k, probabilities in enumerate(routing.all_probabilities):
        diagrams[f"exit {k}, combined"] = reliability(probabilities, labels)
    drawn = [
        plots.plot_accuracy_against_macs(report, folder / "accuracy_against_macs.png"),
        plots.plot_exit_shares(report, folder / "exit_shares.png"),
        plots.plot_confusion(matrix, trained.classes, folder / "confusion.png"),
        plots.plot_reliability(diagrams, folder / "reliability.png"),
    ]
    if depth is not None:
        peaks = None if regions is None else regions[labels]
        drawn.append(plots.plot_depth_maps(depth, test.spectra, trained.axis, folder / "depth_maps.png", peaks=peaks))
    return drawn


def _show(report: dict[str, Any]) -> None:
    from specnet.evaluation import Worth

    static, point = report["static_macs"], report["operating_point"]
    say(f"{report['n_test']} test spectra, {len(report['classes'])} classes, split by {report['split_by']}")
    rows: list[tuple[str, ...]] = [
        (
            f"exit {entry['exit']}",
            f"{entry['accuracy']:.2%}",
            f"{entry['combined_accuracy']:.2%}",
            f"{entry['combined_ece']:.2%}",
            f"{entry['macs']:,.0f}",
            f"{entry['macs'] / static:.1%}",
        )
        for entry in report["exits"]
    ]
    table("all spectra leave at one exit", ("", "own accuracy", "combined", "ECE", "MACs", "of full"), rows)
    rows = [
        (
            f"{entry['budget'] / static:.1%} of full",
            f"{entry['accuracy']:.2%}",
            f"{entry['mean_macs']:,.0f}",
            f"{entry['mean_macs'] / static:.1%}",
            " ".join(f"{share:.0%}" for share in entry["exit_shares"]),
        )
        for entry in report["budgeted"]
    ]
    table("budgets", ("budget", "accuracy", "mean MACs", "of full", "exits 0.."), rows)
    time = "" if point["mean_us"] is None else f", {point['mean_us']:.0f} us"
    active = (
        "" if point["active_share"] is None else f", {point['active_share']:.0%} of the units active where stages ran"
    )
    say(
        f"operating point {point['name']}: accuracy {point['accuracy']:.2%} "
        f"(balanced {point['balanced_accuracy']:.2%}) at {point['mean_macs']:,.0f} MACs = {point['mac_share']:.1%} "
        f"of the full network{time}{active}"
    )
    if (rejection := report["rejection"]) is not None:
        say(f"called unknown although known: {rejection['false_alarm']:.2%} (by {rejection['score']})")
    say(f"last exit alone: {report['static']['accuracy']:.2%}")
    for name, when in (("", ""), ("_at_last_exit", "were all spectra to go to the last exit, ")):
        if (on_peaks := report[f"compute_on_peaks{name}"]) is not None:
            say(
                f"{when}{on_peaks['share_of_unit_macs_on_peaks']:.0%} of the residual units' MACs are on true bands, "
                f"which are {on_peaks['peak_share_of_positions']:.0%} of the positions: "
                f"{on_peaks['enrichment']:.2f} times as much"
            )
            break
    if (worth := report["worth"]) is not None:
        say(Worth(**worth).sentence("test spectra"))
