"""``specnet explain``: which points of the spectrum a run's answers rest on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.console import progress, say, table
from specnet.errors import ConfigurationError
from specnet.files import write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HELP = "show which points of the spectrum answers rest on"
EXAMPLE = "specnet explain runs/minerals minerals.h5 --out explained"
STRONGEST = 3
"""Places on the axis that are named for each class."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that `specnet train` wrote")
    parser.add_argument("data", type=Path, metavar="DATA.h5", help="the spectra it was trained on")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for saliency.json and .png")
    parser.add_argument("--exit", type=int, default=-1, metavar="K", help="exit to explain (default: the last)")
    parser.add_argument(
        "--spectra-per-class", type=int, default=20, metavar="N", help="test spectra of each class (default: 20)"
    )
    parser.add_argument(
        "--window", type=float, default=0.04, metavar="S", help="occluded share of the axis (default: 0.04)"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Explain; write ``saliency.json`` and ``saliency.png``.

    Raises
    ------
    DatasetError, ModelError
        When run and data do not belong together, or the run has no such exit.
    ConfigurationError
        When an option is out of range.
    """
    import numpy as np

    from specnet.datasets import Holdout
    from specnet.evaluation import plots
    from specnet.evaluation.saliency import exit_score, gradient_times_input, integrated_gradients, occlusion
    from specnet.training import load_run

    if args.spectra_per_class < 1 or not 0 < args.window <= 1:
        raise ConfigurationError(
            "--spectra-per-class is at least 1 and --window above 0, at most 1; "
            f"got {args.spectra_per_class} and {args.window}"
        )
    trained = load_run(args.run)
    intensity, labels, axis = trained.read_part(args.data, Holdout.TEST)
    rows = np.concatenate([np.flatnonzero(labels == label)[: args.spectra_per_class] for label in np.unique(labels)])
    spectra = trained.pipeline.bind(axis)(intensity[rows])
    network = trained.network
    score = exit_score(network, args.exit)
    log_p = score(spectra)
    answers = log_p.argmax(axis=1)
    window = max(2, round(args.window * trained.axis.n_points))
    with progress(f"saliency of {len(rows)} spectra", 3) as advance:
        maps = {"integrated gradients": integrated_gradients(network, spectra, exit_index=args.exit, targets=answers)}
        advance()
        maps["gradient x input"] = gradient_times_input(network, spectra, exit_index=args.exit, targets=answers)
        advance()
        maps["occlusion"] = occlusion(score, spectra, window=window, targets=answers)
        advance()
    found = np.unique(answers)
    names = [trained.classes[index] for index in found]
    mean = _by_class(spectra, answers)
    strength = {method: _by_class(np.abs(values), answers) for method, values in maps.items()}
    agreement = _agreement(_smooth(strength["integrated gradients"], window), strength["occlusion"])
    classes = [
        {
            "name": name,
            "n_answers": int((answers == index).sum()),
            "strongest": _strongest(strength["integrated gradients"][k], trained.axis.values, window),
            "agreement": agreement[k],
        }
        for k, (name, index) in enumerate(zip(names, found, strict=True))
    ]
    summary = {
        "run": str(args.run),
        "exit": args.exit % network.n_exits,
        "n_spectra": len(rows),
        "accuracy": float((answers == labels[rows]).mean()),
        "window_points": window,
        "classes": classes,
    }
    document = write_json(
        args.out / "saliency.json",
        {
            **summary,
            "axis": trained.axis.to_dict(),
            "mean_spectrum": mean.tolist(),
            "mean_absolute_saliency": {method: values.tolist() for method, values in strength.items()},
        },
    )
    shown = {method: strength[method] for method in ("integrated gradients", "occlusion")}
    plot = plots.plot_saliency(mean, shown, names, trained.axis, args.out / "saliency.png")
    _show(classes, summary)
    say(f"written to {document} and {plot}")
    return {**summary, "saliency": str(document), "plot": str(plot)}


def _by_class(values: NDArray[np.float32], answers: NDArray[np.int64]) -> NDArray[np.float32]:
    """Means ``(C, L)`` over the spectra with the same answer."""
    import numpy as np

    return np.stack([values[answers == index].mean(axis=0) for index in np.unique(answers)])


def _smooth(values: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    """Average neighbours along the axis: gradients are as fine as points, occlusion no finer than its window."""
    import numpy as np

    kernel = np.ones(window) / window
    return np.stack([np.convolve(row, kernel, mode="same") for row in values])


def _agreement(first: NDArray[np.float32], second: NDArray[np.float32]) -> list[float]:
    """Rank correlation (Spearman) along the axis for each class; 0 where one of both is constant."""
    import numpy as np
    from scipy.stats import spearmanr

    return [
        float(spearmanr(a, b).statistic) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0
        for a, b in zip(first, second, strict=True)
    ]


def _strongest(saliency: NDArray[np.float32], values: NDArray[np.float64], window: int) -> list[float]:
    """Axis values of the strongest points, at least a window apart."""
    import numpy as np

    left = np.array(saliency)
    places = []
    for _ in range(STRONGEST):
        at = int(left.argmax())
        if left[at] <= 0:
            break
        places.append(float(values[at]))
        left[max(0, at - window) : at + window + 1] = 0
    return places


def _show(classes: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    rows = [
        (
            entry["name"],
            entry["n_answers"],
            ", ".join(f"{place:.0f}" for place in entry["strongest"]),
            f"{entry['agreement']:.2f}",
        )
        for entry in classes
    ]
    title = f"exit {summary['exit']}: what answers rest on"
    table(title, ("answer", "spectra", "strongest at", "agrees with occlusion"), rows)
