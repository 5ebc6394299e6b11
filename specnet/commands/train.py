"""``specnet train``: a network with its exits from a file of spectra, calibrated and ready to be evaluated."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.commands.numbers import numbers
from specnet.console import leave_reporting_to_another, note, progress, say

if TYPE_CHECKING:
    from specnet.calibration import CachedLogits, Calibration
    from specnet.training import Run, TrainConfig

HELP = "train a network with early exits, and calibrate it"
EXAMPLE = "specnet train minerals.h5 --out runs/minerals --preset small"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command; what is not given is taken from the recipe, by default the default one."""
    parser.add_argument("data", type=Path, metavar="DATA.h5", help="labelled spectra")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted training in RUN")
    parser.add_argument("--seed", type=int, metavar="N", help="of everything random (default: 0)")
    parser.add_argument("--fold", type=int, metavar="K", help="test on fold K (0 to 4) of a five-fold split")
    _add_network(parser.add_argument_group("network"))
    _add_training(parser.add_argument_group("training"))
    _add_machine(parser.add_argument_group("machine"))


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--preset", metavar="NAME", help="nano, tiny, peaks, small, base, resnet1d or msdnet1d (default: tiny)"
    )
    group.add_argument("--block", metavar="NAME", help="residual unit: plain, depthwise or ghost (default: depthwise)")
    group.add_argument("--stage", metavar="NAME", help="stage: residual or g_ghost (default: residual)")
    group.add_argument(
        "--relay",
        metavar="NAME",
        help="what exits take over from those before besides features: none, cascade or attention (default: none)",
    )
    group.add_argument("--head", metavar="NAME", help="exit head: binned, full or pooled (default: binned)")
    group.add_argument("--architecture", type=Path, metavar="FILE", help="shape that `specnet tune architecture` found")
    for name, what in (("widths", "channels of each stage"), ("units", "residual units of each stage")):
        group.add_argument(f"--{name}", metavar="N,...", help=f"{what}, instead of the preset's")
    group.add_argument("--stem-channels", type=int, metavar="N", help="of the first convolution, likewise")
    group.add_argument("--head-bins", type=int, metavar="N", help="that exit heads keep along the axis, likewise")
    group.add_argument("--head-channels", type=int, metavar="N", help="of exit heads in each bin, likewise")
    group.add_argument(
        "--tap",
        metavar="NAME",
        help="how heads' gradients reach the stages: identity, channel_split or gradient_rescale (default: identity)",
    )
    depth = group.add_mutually_exclusive_group()
    depth.add_argument(
        "--adaptivity", metavar="NAME", help="what halts: none, sample, gate or ponder (default: gate, each position)"
    )
    depth.add_argument("--static", action="store_true", help="every position at full depth: --adaptivity none")
    behind = group.add_mutually_exclusive_group()
    behind.add_argument(
        "--additive", action="store_const", const=True, help="exits learn what exit 0 leaves over, and are added to it"
    )
    behind.add_argument(
        "--no-additive",
        dest="additive",
        action="store_const",
        const=False,
        help="exits stand on their own (default: --augmentation auto decides that too, otherwise on their own)",
    )
    group.add_argument(
        "--bottleneck",
        type=int,
        metavar="S",
        help="train a bottleneck for split point S together with the network (later: `specnet train bottleneck`)",
    )
    group.add_argument(
        "--bottleneck-price", type=float, metavar="P", help="nats of loss that a bit of it costs (default: 0.001)"
    )
    group.add_argument(
        "--backbone",
        metavar="FILE",
        help="weights to start from, as `specnet pretrain` writes them; shipped for those that come with the software, "
        "or none (default: --augmentation auto decides between these two, otherwise none)",
    )


def _add_training(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--method",
        metavar="NAME",
        default="specnet",
        help="a method of the field, as `specnet.list_methods()` has them; other options go on top (default: specnet)",
    )
    group.add_argument(
        "--preprocessing",
        metavar="NAME",
        help="a preset, such as snv, raman, derivative, compressed or absorbance (default: auto, judged by exit 0)",
    )
    group.add_argument(
        "--augmentation", metavar="NAME", help="auto, none, light, measured, strong or full (default: auto, by pilots)"
    )
    group.add_argument(
        "--epochs", type=int, metavar="N", help="passes over the training spectra (default: 1500 steps, at least 10)"
    )
    group.add_argument("--batch-size", type=int, metavar="N", help="spectra a step (default: 64)")
    group.add_argument("--learning-rate", type=float, metavar="R", help="highest learning rate (default: 0.003)")
    group.add_argument(
        "--backbone-rate", type=float, metavar="R", help="learning rate of the backbone over the heads' (default: 0.3)"
    )
    group.add_argument("--phases", metavar="NAME", help="joint, mixed, heads, stagewise or last_exit (default: joint)")
    group.add_argument(
        "--label-smoothing", type=float, metavar="S", help="probability spread over all classes (default: 0)"
    )
    group.add_argument(
        "--active-target",
        type=float,
        metavar="S",
        help="share of the residual units' computation that may run on average (default: 0.5)",
    )


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--threads", type=int, metavar="N", help="processor threads (default: 1 for nano and tiny, else all cores)"
    )
    group.add_argument("--device", default="auto", metavar="NAME", help="cpu, cuda or auto (default: auto)")
    group.add_argument(
        "--amp", default="auto", metavar="WORD", help="mixed precision: on, off or auto (default: auto, on with CUDA)"
    )


OPTIONS = (
    "preset",
    "preprocessing",
    "adaptivity",
    "block",
    "head",
    "stage",
    "relay",
    "tap",
    "additive",
    "widths",
    "units",
    "stem_channels",
    "head_bins",
    "head_channels",
    "phases",
    "epochs",
    "batch_size",
    "learning_rate",
    "label_smoothing",
    "active_target",
    "augmentation",
    "backbone",
    "backbone_rate",
    "bottleneck",
    "bottleneck_price",
    "seed",
    "fold",
)
"""Options that are fields of `TrainConfig`."""


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
    from specnet.training import find_recipe, train, use_threads
    from specnet.training.bottleneck_files import read_bottlenecks
    from specnet.training.bottleneck_once import judge_and_write

    config = _configuration(args)
    use_threads(config.preset, args.threads)
    begin = time.monotonic()
    with progress(f"training {config.preset}", config.epochs) as advance:
        done = 0

        def report(epoch: int, values: dict[str, float]) -> None:
            nonlocal done
            loss = sum(values[name] for name in config.all_losses)
            remark = f"loss {loss:.3f}, units active {values['active_share']:.0%}"
            advance(epoch - done, remark)
            done = epoch

        trained = train(args.data, args.out, config, resume=args.resume, report=report, stage=note)
    if not calibrates:
        return {}
    held = trained.cache(args.data, Holdout.CALIBRATION)
    cached = held.logits
    method = find_recipe(args.method)
    calibration = calibrate(cached, additive=trained.additive, score=method.score, combiner=method.combiner)
    calibration.write(trained.calibration_path)
    for stored in read_bottlenecks(trained):
        judged = judge_and_write(trained, stored, held, calibration.policy).codec.info
        say(
            f"bottleneck {stored.name}: {judged.mean_bytes:.0f} bytes, last exit {judged.accuracy:.2%} right "
            f"(without {judged.whole_accuracy:.2%})"
        )
    return _summary(trained, cached, calibration, round(time.monotonic() - begin, 1))


def _configuration(args: argparse.Namespace) -> TrainConfig:
    """Recipe of the options, all of whose parts exist."""
    from specnet.datasets import Holdout, SpectraFile
    from specnet.training import TrainConfig, find_recipe
    from specnet.training.checking import check_recipe
    from specnet.training.data import split_file
    from specnet.tuning.architecture.space import read_architecture

    given = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    for name in ("widths", "units"):
        if name in given:
            given[name] = numbers(name, given[name])
    if args.architecture is not None:
        given = {**read_architecture(args.architecture).training_options, **given}
    if args.static:
        given["adaptivity"] = "none"
    config = replace(find_recipe(args.method).config(TrainConfig()), **given)
    with SpectraFile(args.data) as file:
        n_points, n_classes = file.n_points, len(file.class_names)
    config = config.for_spectra(len(split_file(args.data, config.seed, config.fold).rows(Holdout.TRAIN)))
    check_recipe(config, n_points=n_points, n_classes=n_classes)
    return config


def _summary(trained: Run, cached: CachedLogits, calibration: Calibration, seconds: float) -> dict[str, Any]:
    from specnet.evaluation import worth_of_run
    from specnet.exits import route

    routing = route(calibration.policy, cached.logits)
    # what an exit answers alone: added to exit 0 and corrected where that is how it is used
    own = (routing.own_probabilities.argmax(axis=2) == cached.labels).mean(axis=1)
    best = int(own.argmax())
    exit0 = trained.network.exit0
    parameters = sum(tensor.numel() for tensor in trained.network.parameters())
    parameters += 0 if exit0 is None else exit0.weight.numel()
    say(f"{trained.path}: {parameters:,} parameters, {seconds:.0f} s; split by {trained.split_by}")
    say(
        f"calibration accuracy {calibration.accuracy:.2%} at "
        f"{calibration.mean_macs / calibration.static_macs:.0%} of the full network's MACs"
    )
    say(f"best single exit: {best} with {own[best]:.2%}")
    for text in calibration.notes:
        note(text)
    worth = None if exit0 is None else worth_of_run(cached, routing)
    if worth is not None:
        say(worth.sentence("calibration spectra (by which the network was tuned)"))
    return {
        "run": str(trained.path),
        "seed": trained.config.seed,
        "epochs": trained.config.epochs,
        "seconds": seconds,
        "parameters": parameters,
        "best": {"exit": best, "accuracy": float(own[best]), "split": "calibration"},
        "operating_point": {"accuracy": calibration.accuracy, "mean_macs": calibration.mean_macs},
        "worth": None if worth is None else {**asdict(worth), "split": "calibration"},
        "split_by": trained.split_by,
        "split": trained.split_origin,
    }
