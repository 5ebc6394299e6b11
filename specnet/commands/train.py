"""``specnet train``: a network with its exits from a file of spectra, calibrated and ready to be evaluated."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from specnet.console import leave_reporting_to_another, note, progress, say

HELP = "train a network with early exits, and calibrate it"
EXAMPLE = "specnet train minerals.h5 --out runs/minerals --preset small"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command; what is not given is taken from the default recipe."""
    parser.add_argument("data", type=Path, metavar="DATA.h5", help="labelled spectra")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--preset", metavar="NAME", help="nano, tiny, small or base (default: small)")
    parser.add_argument(
        "--preprocessing", metavar="NAME", help="auto, none, snv, raman or derivative (default: auto, by the quantity)"
    )
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="passes over the training spectra (default: 1500 steps)"
    )
    parser.add_argument("--batch-size", type=int, metavar="N", help="spectra a step (default: 64)")
    parser.add_argument("--learning-rate", type=float, metavar="R", help="highest learning rate (default: 0.003)")
    parser.add_argument("--augmentation", metavar="NAME", help="none, light or strong (default: light)")
    parser.add_argument(
        "--active-target",
        type=float,
        metavar="S",
        help="share of the residual units' computation that may run on average (default: 0.35)",
    )
    parser.add_argument("--static", action="store_true", help="every position at full depth")
    parser.add_argument("--seed", type=int, metavar="N", help="of everything random (default: 0)")
    parser.add_argument("--fold", type=int, metavar="K", help="test on fold K (0 to 4) of a five-fold split")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="processor threads (default: 1 for nano and tiny, else all cores)"
    )
    parser.add_argument("--device", default="auto", metavar="NAME", help="cpu, cuda or auto (default: auto)")
    parser.add_argument(
        "--amp", default="auto", metavar="WORD", help="mixed precision: on, off or auto (default: auto, on with CUDA)"
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted training in RUN")


OPTIONS = (
    "preset",
    "preprocessing",
    "epochs",
    "batch_size",
    "learning_rate",
    "augmentation",
    "active_target",
    "seed",
    "fold",
)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train, then calibrate with the defaults; as one of several processes under ``torchrun``.

    Raises
    ------
    SpecnetError
        When data, options or an existing run do not fit.
    """
    from specnet.training.distributed import process_group

    with process_group(args.device, args.amp) as processes:
        if not processes.is_main:
            leave_reporting_to_another()
        return _train(args, calibrates=processes.is_main)


def _train(args: argparse.Namespace, *, calibrates: bool) -> dict[str, Any]:
    from specnet.calibration import calibrate
    from specnet.datasets import Holdout
    from specnet.training import TrainConfig, train, use_threads
    from specnet.training.data import split_file

    given = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    if args.static:
        given["adaptivity"] = "none"
    config = TrainConfig(**given)
    config = config.for_spectra(len(split_file(args.data, config.seed, config.fold).rows(Holdout.TRAIN)))
    use_threads(config.preset, args.threads)
    begin = time.monotonic()
    with progress(f"training {config.preset}", config.epochs) as advance:
        done = 0

        def report(epoch: int, values: dict[str, float]) -> None:
            nonlocal done
            remark = f"loss {values['cross_entropy']:.3f}, units active {values['active_share']:.0%}"
            advance(epoch - done, remark)
            done = epoch

        trained = train(args.data, args.out, config, resume=args.resume, report=report, stage=note)
    if not calibrates:
        return {}
    cached = trained.cache(args.data, Holdout.CALIBRATION).logits
    calibration = calibrate(cached, additive=trained.additive)
    calibration.write(trained.calibration_path)
    own = (cached.logits.argmax(axis=2) == cached.labels).mean(axis=1)
    best = int(own.argmax())
    exit0 = trained.network.exit0
    parameters = sum(tensor.numel() for tensor in trained.network.parameters())
    parameters += 0 if exit0 is None else exit0.weight.numel()
    seconds = round(time.monotonic() - begin, 1)
    say(f"{args.out}: {parameters:,} parameters, {seconds:.0f} s; split by {trained.split_by}")
    say(
        f"calibration accuracy {calibration.accuracy:.2%} at "
        f"{calibration.mean_macs / calibration.static_macs:.0%} of the full network's MACs"
    )
    say(f"best single exit: {best} with {own[best]:.2%}")
    return {
        "run": str(args.out),
        "seed": config.seed,
        "epochs": config.epochs,
        "seconds": seconds,
        "parameters": parameters,
        "best": {"exit": best, "accuracy": float(own[best]), "split": "calibration"},
        "operating_point": {"accuracy": calibration.accuracy, "mean_macs": calibration.mean_macs},
        "split_by": trained.split_by,
        "split": trained.split_origin,
    }
