"""``specnet tune``: split point, codec and thresholds for a device and a link."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.commands.given_profiles import given_device, given_gateway, given_link
from specnet.console import note, progress, say, table
from specnet.errors import ConfigurationError

if TYPE_CHECKING:
    from specnet.tuning.deployment import Deployment
    from specnet.tuning.points import Point

HELP = "choose split point, codec and thresholds for a device, a link and your wishes"
EXAMPLE = "specnet tune runs/minerals minerals.h5 --device local --link nb-iot --out tuned --max-p95-ms 3000"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("run", type=Path, metavar="RUN", help="training run, with bottlenecks or without")
    parser.add_argument("data", type=Path, metavar="DATA.h5", help="the spectra that it was trained on")
    parser.add_argument("--out", type=Path, required=True, metavar="DEPLOYMENT", help="folder of the results")
    where = parser.add_argument_group("what it runs on")
    where.add_argument(
        "--device",
        required=True,
        metavar="PROFILE",
        help="file that `specnet-device profile` wrote, or local to measure this machine now",
    )
    where.add_argument(
        "--link",
        required=True,
        metavar="PROFILE",
        help="file of `specnet-device ping`, or the name of a preset",
    )
    where.add_argument(
        "--gateway",
        metavar="PROFILE",
        help="file that `specnet-gateway profile` wrote, or local to measure this machine now",
    )
    where.add_argument(
        "--watts",
        type=float,
        default=0.0,
        metavar="W",
        help="power while it computes, for --device local",
    )
    where.add_argument(
        "--spectra-per-hour", type=float, default=3600.0, metavar="N", help="of one device (default: 3600)"
    )
    where.add_argument(
        "--gateway-requests", type=float, default=0.0, metavar="N", help="a second, of all devices (default: 0)"
    )
    where.add_argument(
        "--no-answers",
        action="store_true",
        help="the device publishes no answers (uplink.answers = false); over LoRa it never does",
    )
    wishes = parser.add_argument_group("wishes")
    wishes.add_argument("--min-accuracy", type=float, metavar="A", help="share of right answers, 0 to 1")
    wishes.add_argument("--max-p95-ms", type=float, metavar="MS", help="for 19 of 20 answers")
    wishes.add_argument("--max-p50-ms", type=float, metavar="MS", help="for half of the answers")
    wishes.add_argument("--max-bytes-per-hour", type=float, metavar="N", help="on the link, overhead counted")
    wishes.add_argument("--max-request-bytes", type=float, metavar="N", help="largest payload of a request")
    wishes.add_argument("--max-energy-mj", type=float, metavar="MJ", help="millijoules a spectrum, device and radio")
    wishes.add_argument(
        "--max-risk", type=float, metavar="R", help="accuracy that may be lost against the whole network, guaranteed"
    )
    wishes.add_argument("--confidence", type=float, default=0.95, metavar="C", help="of that (default: 0.95)")
    wishes.add_argument(
        "--minimise",
        default="p95_ms",
        choices=("p95_ms", "p50_ms", "mean_bytes", "energy_mj"),
        help="what is made small under these wishes (default: p95_ms)",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Tune; write ``deployment.json``, ``front.csv``, ``tune.png`` and, where plotly is installed, ``report.html``.

    Raises
    ------
    ConfigurationError
        When nothing fulfils the wishes, or profiles do not fit the run.
    SpecnetError
        When run, file or profile cannot be read.
    """
    from specnet.calibration import read_calibration
    from specnet.datasets import Holdout
    from specnet.training import load_run
    from specnet.tuning.choice import Wishes
    from specnet.tuning.latency import Conditions, usual_answer_bytes
    from specnet.tuning.options import list_options
    from specnet.tuning.report import MISSING, write_report
    from specnet.tuning.tune import tune

    names = ("min_accuracy", "max_p95_ms", "max_p50_ms", "max_bytes_per_hour", "max_request_bytes", "max_energy_mj")
    wishes = Wishes(**{name: getattr(args, name) for name in names})
    link = given_link(args.link)
    trained = load_run(args.run)
    policy = read_calibration(trained.calibration_path).policy
    device = given_device(args.device, trained, args.data, args.watts)
    gateway = given_gateway(args.gateway, trained, args.data)
    conditions = Conditions(
        device,
        link,
        gateway,
        args.spectra_per_hour,
        args.gateway_requests,
        answer_bytes=0 if args.no_answers else usual_answer_bytes(trained.classes),
    )
    answers = conditions.answer_link_bytes * conditions.spectra_per_hour
    if wishes.max_bytes_per_hour is not None and answers > wishes.max_bytes_per_hour:
        raise ConfigurationError(
            f"--max-bytes-per-hour is {wishes.max_bytes_per_hour:g}, the answers that the device publishes take "
            f"{answers:,.0f} alone; --no-answers leaves them out"
        )
    began = time.perf_counter()
    with progress("judging options", None) as advance:
        held = trained.cache(args.data, Holdout.CALIBRATION)
        options = list_options(trained, args.data, policy, held, advance=lambda name: advance(1, name))
    cached = time.perf_counter()
    with progress("tuning", None) as advance:
        deployment = tune(
            trained,
            args.data,
            options,
            conditions,
            wishes,
            objective=args.minimise,
            max_risk=args.max_risk,
            confidence=args.confidence,
            advance=lambda name: advance(1, name),
        )
    took = {"options_s": cached - began, "tuning_s": time.perf_counter() - cached}
    path = deployment.write(args.out / "deployment.json")
    written = write_report(deployment, args.out)
    _show(deployment)
    say(f"options and logits took {took['options_s']:.1f} s, tuning from these {took['tuning_s']:.1f} s")
    if "html" in written:
        say(f"report: {written['html']}")
    else:
        note(MISSING)
    say(f"written to {path}; `specnet export {args.run} --deployment {path} --out BUNDLE` makes the bundle")
    return {
        "deployment": str(path),
        **{kind: str(written[kind]) if kind in written else None for kind in ("html", "png", "csv")},
        "took": {name: round(seconds, 3) for name, seconds in took.items()},
        "device": device.name,
        "link": link.name,
        "chosen": deployment.chosen.to_dict(),
        "slower": None if deployment.slower is None else deployment.slower.to_dict(),
        "operating_points": {name: point.to_dict() for name, point in deployment.operating_points.items()},
        "front": [point.to_dict() for point in deployment.front],
    }


def _show(deployment: Deployment) -> None:
    table(
        f"{deployment.run} on {deployment.device.name} over {deployment.link.name}",
        ("", "split", "codec", "accuracy %", "sent %", "p50 ms", "p95 ms", "bytes a request", "bytes an hour", "mJ"),
        [
            *(_row(name, point) for name, point in deployment.operating_points.items()),
            *(_row(f"best of {name}", point) for name, point in deployment.best_of_options.items()),
        ],
    )
    chosen, slower = deployment.chosen, deployment.slower
    where = "everything on the device" if not chosen.codec else f"split {chosen.split}, {chosen.codec}"
    say(f"chosen: {where}; estimated accuracy {100 * chosen.estimate:.2f} %, {100 * chosen.offload_share:.1f} % sent")
    if slower is None:
        note("with a link ten times slower nothing would fulfil these wishes")
    else:
        say(
            f"with a link ten times slower: split {slower.split}, {slower.codec or 'everything on the device'}, "
            f"p95 {slower.p95_ms:,.1f} ms"
        )


def _row(name: str, point: Point) -> tuple[Any, ...]:
    return (
        name,
        point.split,
        point.codec or "-",
        f"{100 * point.estimate:.2f}",
        f"{100 * point.offload_share:.1f}",
        f"{point.p50_ms:,.2f}",
        f"{point.p95_ms:,.2f}",
        f"{point.bytes_per_spectrum:,.0f}",
        f"{point.bytes_per_hour:,.0f}",
        f"{point.energy_mj:.3g}",
    )
