"""``specnet pretrain``: a backbone from a corpus of many substances, for ``specnet train --backbone``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from specnet.console import leave_reporting_to_another, note, progress, say

HELP = "train a backbone on a corpus such as simulated random substances, to start other trainings from"
EXAMPLE = "specnet pretrain corpus.h5 --out backbone.safetensors --preset tiny"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument(
        "corpus",
        type=Path,
        metavar="CORPUS.h5",
        help="labelled spectra of many substances, such as `specnet simulate CORPUS.h5 --preset random` writes",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="safetensors file of the backbone")
    parser.add_argument("--preset", metavar="NAME", help="nano, tiny, peaks, small or base (default: tiny)")
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="passes over the corpus (default: 1500 steps, at least 20)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of everything random (default: 0)")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="processor threads (default: 1 for nano and tiny, else all cores)"
    )
    parser.add_argument("--device", default="auto", metavar="NAME", help="cpu, cuda or auto (default: auto)")
    parser.add_argument(
        "--amp", default="auto", metavar="WORD", help="mixed precision: on, off or auto (default: auto, on with CUDA)"
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted pretraining of FILE")


OPTIONS = ("preset", "epochs", "seed")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Pretrain and write the backbone; as one of several processes under ``torchrun``.

    Raises
    ------
    SpecnetError
        When corpus, options or an existing file do not fit.
    """
    from specnet.training.distributed import process_group

    with process_group(args.device, args.amp) as processes:
        if not processes.is_main:
            leave_reporting_to_another()
        return _pretrain(args, reports=processes.is_main)


def _pretrain(args: argparse.Namespace, *, reports: bool) -> dict[str, Any]:
    from specnet.training import TrainConfig, use_threads
    from specnet.training.pretrain import PRETRAINING, pretrain

    given = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    config = TrainConfig(**{**PRETRAINING, **given})
    use_threads(config.preset, args.threads)
    begin = time.monotonic()
    with progress(f"pretraining {config.preset}", config.epochs or None) as advance:
        done = 0

        def report(epoch: int, values: dict[str, float]) -> None:
            nonlocal done
            advance(epoch - done, f"loss {values['cross_entropy']:.3f}")
            done = epoch

        backbone = pretrain(args.corpus, args.out, config, resume=args.resume, report=report, stage=note)
    if not reports:
        return {}
    seconds = round(time.monotonic() - begin, 1)
    exits = " ".join(f"{share:.1%}" for share in backbone.accuracy)
    say(f"{backbone.path}: {backbone.parameters:,} numbers, {seconds:.0f} s; {backbone.n_train:,} spectra")
    say(f"{backbone.n_held_out:,} held-out spectra of {backbone.n_classes:,} substances, right at exits 1..: {exits}")
    return {
        "backbone": str(backbone.path),
        "preset": config.preset,
        "seed": config.seed,
        "epochs": backbone.epochs,
        "seconds": seconds,
        "parameters": backbone.parameters,
        "n_train": backbone.n_train,
        "n_held_out": backbone.n_held_out,
        "n_classes": backbone.n_classes,
        "n_points": backbone.n_points,
        "accuracy": backbone.accuracy,
        "bytes": backbone.path.stat().st_size,
    }
