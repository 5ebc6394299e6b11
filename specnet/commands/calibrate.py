"""``specnet calibrate``: temperatures, combiner and the operating point of a run, from its calibration split."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.console import note, progress, say, table
from specnet.exits import COMBINERS, SCORES

if TYPE_CHECKING:
    from specnet.calibration import CachedLogits, Calibration

HELP = "choose when spectra leave: temperatures, combiner and thresholds from the calibration split"
CLASS_BIAS = {"auto": None, "yes": True, "no": False}
EXAMPLE = "specnet calibrate runs/minerals minerals.h5 --budget 0.3"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that `specnet train` wrote")
    parser.add_argument("data", type=Path, metavar="DATA.h5", help="the spectra it was trained on")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--budget",
        type=float,
        metavar="MACS|SHARE",
        help="best accuracy within a mean cost: MACs, or up to 1 a share of the full network",
    )
    which.add_argument(
        "--min-accuracy",
        type=float,
        metavar="A",
        help="least mean cost that reaches this accuracy (0 to 1) on the calibration split",
    )
    which.add_argument(
        "--max-risk",
        type=float,
        metavar="R",
        help="lose at most this much accuracy (0 to 1) against the last exit, with a guarantee; half of the "
        "calibration split is held back for it",
    )
    parser.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        metavar="C",
        help="probability of keeping --max-risk with the method ucb (default: 0.95)",
    )
    parser.add_argument(
        "--risk-method",
        choices=("ucb", "crc"),
        default="ucb",
        help="ucb keeps the risk with --confidence, crc keeps it on average (default: ucb)",
    )
    parser.add_argument(
        "--false-alarm",
        type=float,
        metavar="A",
        help="call spectra unknown that look like no class, at most this share (0 to 1) of the known ones; a part of "
        "the calibration split is held back for it",
    )
    parser.add_argument(
        "--reject-score",
        choices=("improbability", "energy"),
        default="improbability",
        help="what --false-alarm looks at (default: %(default)s)",
    )
    parser.add_argument(
        "--score",
        choices=(*SCORES, "auto"),
        default="max_probability",
        help="how sure an exit is; auto takes what makes the default operating point cheapest (default: %(default)s)",
    )
    parser.add_argument(
        "--combiner",
        choices=(*COMBINERS, "auto"),
        default="auto",
        help="what exits answer together; auto takes the likeliest (default: %(default)s)",
    )
    parser.add_argument(
        "--class-bias",
        choices=tuple(CLASS_BIAS),
        default="auto",
        help="correct how exits misjudge each class; auto does where calibration spectra are surely likelier with it, "
        "as those of another season or instrument than the training spectra are (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Calibrate and write ``RUN/calibration.json``.

    Raises
    ------
    ConfigurationError
        When the budget or the accuracy cannot be had, or options contradict each other.
    DatasetError, ModelError
        When run and data cannot be used.
    """
    from specnet.calibration import calibrate
    from specnet.datasets import Holdout
    from specnet.training import load_run

    trained = load_run(args.run)
    with progress("calibration split", None) as advance:
        cached = trained.cache(args.data, Holdout.CALIBRATION, advance).logits
    calibration = calibrate(
        cached,
        budget=args.budget,
        min_accuracy=args.min_accuracy,
        max_risk=args.max_risk,
        confidence=args.confidence,
        risk_method=args.risk_method,
        false_alarm=args.false_alarm,
        reject_score=args.reject_score,
        score=args.score,
        combiner=args.combiner,
        class_bias=CLASS_BIAS[args.class_bias],
        additive=getattr(trained.network.config, "additive", False),
    )
    path = calibration.write(trained.calibration_path)
    document = describe(calibration, cached)
    _show(document)
    for text in calibration.notes:
        note(text)
    say(f"written to {path}")
    return {"calibration": str(path), **document}


def describe(calibration: Calibration, cached: CachedLogits) -> dict[str, Any]:
    """Plain summary of a calibration: what each operating point does on the calibration split."""
    import msgspec

    from specnet.calibration.exit_table import ExitTable

    points = {}
    for name, policy in calibration.operating_points.items():
        outcome = ExitTable.of(cached, policy).outcome(policy.thresholds)
        points[name] = {
            "mean_macs": outcome.mean_macs,
            "mac_share": outcome.mean_macs / cached.static_macs,
            "accuracy": outcome.accuracy,
            "exit_shares": list(outcome.exit_shares),
            "thresholds": list(policy.thresholds),
        }
    return {
        "chosen": calibration.chosen,
        "n_calibration": cached.n_spectra,
        "static_macs": cached.static_macs,
        "combiner": calibration.policy.combiner,
        "combiner_parameters": msgspec.to_builtins(calibration.policy.combiner_parameters),
        "combiner_nll": calibration.combiner_nll,
        "score": calibration.policy.score,
        "additive": calibration.policy.additive,
        "temperatures": list(calibration.policy.temperatures),
        "class_bias": bool(calibration.policy.biases),
        "bias_gain": calibration.bias_gain,
        "biases": msgspec.to_builtins(calibration.policy.biases),
        "operating_points": points,
        "risk": None if calibration.risk is None else msgspec.to_builtins(calibration.risk),
        "reject": None
        if calibration.reject is None
        else {**msgspec.to_builtins(calibration.reject), "threshold": calibration.policy.reject_threshold},
        "notes": calibration.notes,
    }


def _show(document: dict[str, Any]) -> None:
    say(
        f"{document['n_calibration']} calibration spectra; combiner {document['combiner']}; temperatures "
        + " ".join(f"{temperature:.2f}" for temperature in document["temperatures"])
    )
    rows = [
        (
            f"{name} *" if name == document["chosen"] else name,
            f"{point['accuracy']:.2%}",
            f"{point['mean_macs']:,.0f}",
            f"{point['mac_share']:.1%}",
            " ".join(f"{share:.0%}" for share in point["exit_shares"]),
        )
        for name, point in document["operating_points"].items()
    ]
    table(
        "on the calibration split (* in force)",
        ("operating point", "accuracy", "mean MACs", "of full", "exits 0.."),
        rows,
    )
    if (risk := document["risk"]) is not None:
        promise = f"with {risk['confidence']:.0%} confidence" if risk["method"] == "ucb" else "on average"
        say(
            f"risk: at most {risk['risk_bound']:.2%} of accuracy is lost against the last exit {promise} "
            f"(asked for {risk['max_risk']:.2%}; {risk['n_risk']} spectra held back)"
        )
    if (reject := document["reject"]) is not None:
        say(
            f"unknown: {reject['score']} above {reject['threshold']:.4g}, at most {reject['false_alarm']:.2%} of known "
            f"spectra ({reject['n_reject']} held back)"
        )
