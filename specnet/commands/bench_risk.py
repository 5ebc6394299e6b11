"""``specnet bench risk``: whether what ``specnet calibrate --max-risk`` promises is kept on a run's own spectra."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from specnet.console import progress, say, table

HELP = "draw calibration splits again and again and count broken promises of risk"
EXAMPLE = "specnet bench risk runs/minerals minerals.h5 --max-risk 0.01 --confidence 0.95 --out risk.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("run", type=Path, metavar="RUN", help="training run")
    parser.add_argument("data", type=Path, metavar="DATA.h5", help="the spectra that it was trained on")
    parser.add_argument(
        "--max-risk", type=float, default=0.01, metavar="R", help="accuracy that may be lost (default: 0.01)"
    )
    parser.add_argument("--confidence", type=float, default=0.95, metavar="C", help="of the promise (default: 0.95)")
    parser.add_argument("--resamples", type=int, default=1000, metavar="N", help="calibration splits (default: 1000)")
    parser.add_argument(
        "--spectra", type=int, metavar="N", help="of each calibration split (default: half of the calibration part)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: 0)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the result here too")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Resample and count.

    Raises
    ------
    ConfigurationError
        When a number is out of range.
    DatasetError, ModelError
        When the file does not fit the run.
    """
    from specnet.datasets import Holdout
    from specnet.evaluation.risk_resampling import Population, halves, resample_risk
    from specnet.files import write_json
    from specnet.training import load_run

    trained = load_run(args.run)
    with progress("judging the calibration part", None) as advance:
        cached = trained.cache(args.data, Holdout.CALIBRATION, progress=advance).logits
    fitting, rest = halves(cached, args.seed)
    population = Population.of(fitting, rest, additive=trained.additive)
    n = args.spectra if args.spectra is not None else rest.n_spectra
    with progress("resampling", args.resamples) as advance:
        results = resample_risk(
            population,
            n=n,
            max_risk=args.max_risk,
            confidence=args.confidence,
            resamples=args.resamples,
            seed=args.seed,
            advance=advance,
        )
    table(
        f"risk of at most {args.max_risk:.2%} with confidence {args.confidence:.0%}: {args.resamples} splits of {n} "
        f"out of {rest.n_spectra} spectra",
        ["method", "promise broken %", "mean true risk %", "mean MACs", "of the last exit %"],
        [
            (
                found.method,
                f"{100 * found.violations:.1f}",
                f"{100 * found.mean_risk:.3f}",
                f"{found.mean_macs:,.0f}",
                f"{100 * found.mac_share:.1f}",
            )
            for found in results
        ],
    )
    say(f"allowed for ucb: {100 * (1 - args.confidence):.1f} % broken; for crc: a mean risk of {100 * args.max_risk} %")
    document = {
        "bench": "risk",
        "run": args.run.name,
        "data": args.data.name,
        "max_risk": args.max_risk,
        "confidence": args.confidence,
        "resamples": args.resamples,
        "n_split": n,
        "n_population": rest.n_spectra,
        "seed": args.seed,
        "methods": [
            {
                "method": found.method,
                "violations": found.violations,
                "mean_risk": found.mean_risk,
                "mean_macs": found.mean_macs,
                "mac_share": found.mac_share,
            }
            for found in results
        ],
    }
    if args.out is not None:
        write_json(args.out, document)
    return document
