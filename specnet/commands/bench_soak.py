"""``specnet bench soak``: gateways that share requests, while they are killed and the broker is restarted."""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.console import progress, say, table
from specnet.errors import SpecnetError
from specnet.ranges import check_range

if TYPE_CHECKING:
    from specnet.demo.soak import Soak

HELP = (
    "let gateways share many requests while they are killed and the broker is restarted: nothing lost or contradicted"
)
EXAMPLE = "specnet bench soak minerals.specnet --requests 1000000"
MOST_REQUESTS = 100_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="file that `specnet export` wrote")
    parser.add_argument(
        "--requests", type=int, default=20_000, metavar="N", help="requests that get an answer (default: 20000)"
    )
    parser.add_argument(
        "--devices", type=int, default=200, metavar="N", help="devices with a connection each (default: 200)"
    )
    parser.add_argument(
        "--open", type=int, default=1, metavar="N", help="requests that a device has open at a time (default: 1)"
    )
    parser.add_argument(
        "--replicas",
        type=int,
        default=3,
        metavar="N",
        help="gateways, of which the first is spared so that its memory can be followed (default: 3)",
    )
    parser.add_argument(
        "--kill-every",
        type=float,
        default=10.0,
        metavar="S",
        help="mean time between two killed gateways (default: 10)",
    )
    parser.add_argument(
        "--broker-every",
        type=float,
        default=60.0,
        metavar="S",
        help="mean time between two restarts of the broker (default: 60)",
    )
    parser.add_argument(
        "--resend-s",
        type=float,
        default=3.0,
        metavar="S",
        help="a request without an answer is sent again after this (default: 3)",
    )
    parser.add_argument(
        "--twice",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="requests that are sent twice at once, most of them to two gateways (default: 0.05)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what goes wrong, and when (default: 0)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run the soak test and compare every answer with the model's own, and with what was said before.

    Raises
    ------
    ConfigurationError
        When an option is out of range.
    BundleError
        When the bundle is damaged.
    SpecnetError
        When a process fails, or a request was lost, failed, or answered wrongly or differently.
    """
    from specnet.bundle import read_bundle
    from specnet.demo.soak import SoakCourse, run_soak

    check_range("--requests", args.requests, 1, MOST_REQUESTS)
    check_range("--devices", args.devices, 1, 1000)
    check_range("--open", args.open, 1, 100)
    check_range("--replicas", args.replicas, 2, 16)
    check_range("--kill-every", args.kill_every, 0.1, 86_400)
    check_range("--broker-every", args.broker_every, 0.1, 86_400)
    check_range("--resend-s", args.resend_s, 0.1, 60)
    check_range("--twice", args.twice, 0, 1)
    read_bundle(args.bundle)
    course = SoakCourse(
        n_requests=args.requests,
        n_devices=args.devices,
        open_each=args.open,
        n_replicas=args.replicas,
        kill_every_s=args.kill_every,
        broker_every_s=args.broker_every,
        resend_s=args.resend_s,
        twice=args.twice,
        seed=args.seed,
    )
    with (
        tempfile.TemporaryDirectory(prefix="specnet-soak-") as name,
        progress("requests", args.requests) as advance,
    ):
        shown = 0

        def told(answered: int, struck: Counter[str]) -> None:
            nonlocal shown
            advance(answered - shown, ", ".join(f"{n} {what}" for what, n in sorted(struck.items())))
            shown = answered

        came = run_soak(args.bundle, Path(name) / "soak", course, told=told)
    document = _document(args, came)
    _show(came, document)
    if not came.passed:
        raise SpecnetError(f"not every request was answered, and the same each time: {'; '.join(found_texts(came))}")
    return document


def found_texts(came: Soak) -> list[str]:
    """Name what was found wrong: how many of each kind, and the first few."""
    from specnet.demo.soak.ledger import BROKEN

    counts = [f"{kind} {came.figures[kind]}" for kind in ("lost", "not_asked", *BROKEN) if came.figures[kind]]
    return [*counts, *came.figures["examples"]]


def _document(args: argparse.Namespace, came: Soak) -> dict[str, Any]:
    from specnet.demo.soak.growth import describe_growth, thinned

    figures = {key: value for key, value in came.figures.items() if key != "type"}
    return {
        "bench": "soak",
        "passed": came.passed,
        "devices": args.devices,
        "open_each": args.open,
        "replicas": args.replicas,
        "kill_every_s": args.kill_every,
        "broker_every_s": args.broker_every,
        "resend_s": args.resend_s,
        "twice": args.twice,
        "seed": args.seed,
        **figures,
        "answers_s": round(figures["answered"] / max(figures["seconds"], 1e-9), 1),
        **{what.replace(" ", "_"): came.struck[what] for what in ("kills", "drains", "broker restarts")},
        "memory": {what: describe_growth(came.samples, what) for what in ("gateway", "devices")},
        "disk": describe_growth(came.samples, "disk"),
        "sizes": thinned(came.samples),
    }


def _show(came: Soak, document: dict[str, Any]) -> None:
    table(
        f"{document['devices']} devices, {document['replicas']} gateways, {document['answers_s']:,.0f} answers/s",
        ("", "times"),
        [
            (key.replace("_", " "), f"{document[key]:,}")
            for key in (
                *("requests", "answered", "sent_twice", "repeated_requests", "repeated_answers", "broken_connections"),
                *("kills", "drains", "broker_restarts", "lost", "wrong", "different", "failed", "unasked"),
            )
        ],
    )
    table(
        "megabytes; slopes without the first fifth of the run",
        ("", "first", "last", "most", "per 100,000 requests", "per hour"),
        [
            (name, *("-" if value is None else f"{value:.2f}" for value in found.values()))
            for name, found in (
                ("memory of the gateway that was spared", document["memory"]["gateway"]),
                ("memory of the devices", document["memory"]["devices"]),
                ("files of all gateways", document["disk"]),
            )
        ],
    )
    say(
        f"{'passed' if came.passed else 'FAILED'}: {document['answered']:,} of "
        f"{document['requests'] + document['not_asked']:,} requests answered in {document['seconds']:.0f} s, "
        f"the longest wait {document['longest_wait_s']:.1f} s"
    )
