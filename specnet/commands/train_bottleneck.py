"""``specnet train bottleneck``: learned codecs for the split points of a finished run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.commands.numbers import distinct_numbers
from specnet.console import note, progress, say, table

if TYPE_CHECKING:
    from specnet.exits import ExitPolicy
    from specnet.training import CachedRun, Run
    from specnet.training.bottleneck_files import StoredBottleneck
    from specnet.training.bottleneck_recipe import BottleneckRecipe

HELP = "train bottlenecks for the split points of a run: what a device sends becomes a few dozen bytes"
EXAMPLE = "specnet train bottleneck runs/minerals minerals.h5 --split 1,2 --price 0.001"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that `specnet train` wrote; it stays as it is")
    parser.add_argument(
        "data", type=Path, nargs="?", metavar="DATA.h5", help="the spectra it was trained on (default: where they were)"
    )
    parser.add_argument("--split", default="1", metavar="S,...", help="split points (default: 1)")
    parser.add_argument(
        "--price",
        default="0.0003,0.001,0.003",
        metavar="P,...",
        help="nats of loss a bit costs; one bottleneck each (default: 0.0003,0.001,0.003)",
    )
    parser.add_argument("--patch", type=int, metavar="N", help="positions encoded together (default: a twentieth)")
    parser.add_argument("--latent", type=int, metavar="N", help="numbers that a patch becomes (default: 8)")
    parser.add_argument("--bits", type=int, metavar="N", help="bits of such a number, 2 to 8 (default: 5)")
    parser.add_argument("--hidden", type=int, metavar="N", help="width of the gateway's decoder (default: 96)")
    parser.add_argument(
        "--skip-halted",
        dest="skips_halted",
        action="store_const",
        const=True,
        help="do not send patches in which every position has halted",
    )
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="passes over the spectra (default: 400 steps, at least 8)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of everything random (default: 0)")


OPTIONS = ("patch", "latent", "bits", "hidden", "skips_halted", "epochs", "seed")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train what is missing; what is there by the same recipe is kept.

    Raises
    ------
    SpecnetError
        When run, data and options do not fit.
    """
    from specnet.calibration import read_calibration
    from specnet.datasets import Holdout
    from specnet.training import load_run, use_threads
    from specnet.training.bottleneck_recipe import BottleneckRecipe

    given = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    recipes = [
        BottleneckRecipe(split=split, price=price, **given)
        for split in distinct_numbers("split points", args.split)
        for price in distinct_numbers("prices", args.price, float)
    ]
    trained = load_run(args.run)
    data = args.data or Path(trained.provenance["data_path"])
    use_threads(trained.config.preset, None)
    policy = read_calibration(trained.calibration_path).policy
    held = trained.cache(data, Holdout.CALIBRATION)
    done = [_trained(trained, data, recipe, held, policy) for recipe in recipes]
    return _shown(trained, done)


def _trained(
    trained: Run, data: Path, recipe: BottleneckRecipe, held: CachedRun, policy: ExitPolicy
) -> StoredBottleneck:
    from specnet.training.bottleneck_once import bottleneck_name, bottleneck_once

    name = bottleneck_name(recipe)
    with progress(f"bottleneck {name}", None) as advance:

        def report(epoch: int, values: dict[str, float]) -> None:
            advance(1, f"epoch {epoch} of {values['epochs']:.0f}, {values['bytes']:.0f} bytes")

        return bottleneck_once(
            trained, data, recipe, held, policy, report=report, there=lambda: note(f"{name} is there")
        )


def _shown(trained: Run, done: list[StoredBottleneck]) -> dict[str, Any]:
    infos = [(stored.name, stored.codec.info) for stored in done]
    table(
        f"{trained.path}: bottlenecks, on calibration spectra",
        ("name", "split", "bytes, mean", "largest", "last exit %", "without %", "device MACs"),
        [
            (
                name,
                info.split,
                f"{info.mean_bytes:.1f}",
                info.largest_bytes,
                f"{100 * info.accuracy:.2f}",
                f"{100 * info.whole_accuracy:.2f}",
                f"{info.encoder_macs:,}",
            )
            for name, info in infos
        ],
    )
    say(f"written to {trained.path / 'bottlenecks'}; `specnet export` puts them into the bundle")
    return {
        "run": str(trained.path),
        "bottlenecks": [
            {
                "name": name,
                "split": info.split,
                "mean_bytes": info.mean_bytes,
                "largest_bytes": info.largest_bytes,
                "accuracy": info.accuracy,
                "whole_accuracy": info.whole_accuracy,
                "encoder_macs": info.encoder_macs,
            }
            for name, info in infos
        ],
    }
