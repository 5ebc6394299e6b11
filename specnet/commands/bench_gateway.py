"""``specnet bench gateway``: what a gateway carries, beside its engine alone and beside general model servers."""

from __future__ import annotations

import argparse
import itertools
import platform
import tempfile
from pathlib import Path
from typing import Any

from specnet.commands.numbers import distinct_numbers
from specnet.console import note, progress, say, table
from specnet.errors import ConfigurationError
from specnet.ranges import check_range

HELP = "measure a gateway under many devices: answers a second, latency, beside the bare engine and other servers"
EXAMPLE = "specnet bench gateway minerals.specnet --devices 200 --seconds 10"
HALF = 0.5
WORKERS = "1,2"
MOST_WORKERS = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="file that `specnet export` wrote")
    parser.add_argument(
        "--devices",
        type=int,
        default=200,
        metavar="N",
        help="devices with a connection each (default: 200)",
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, metavar="S", help="how long each run is measured (default: 10)"
    )
    parser.add_argument(
        "--warm-up", type=float, default=3.0, metavar="S", help="how long before answers are counted (default: 3)"
    )
    parser.add_argument(
        "--workers",
        default=WORKERS,
        metavar="N,...",
        help=f"processes that compute, for every server: replicas of the gateway, workers of others "
        f"(default: {WORKERS})",
    )
    parser.add_argument(
        "--peers",
        metavar="NAME,...",
        help="litserve, ray: other servers with the same segments (default: those that are installed; empty for none)",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure the engine alone, the gateway at full and at half speed, the peers, and the gateway at their rates.

    Raises
    ------
    ConfigurationError
        When an option is out of range, or a peer is unknown or not installed.
    BundleError
        When the bundle is damaged or has no self-test spectra.
    SpecnetError
        When a process fails.
    """
    from specnet.demo.serving.bare import measure_bare
    from specnet.demo.serving.comparison import answers_agree, available_peers, load_gateway, load_peer

    check_range("--devices", args.devices, 1, 1000)
    check_range("--seconds", args.seconds, 0.1, 3600)
    check_range("--warm-up", args.warm_up, 0, 600)
    workers = distinct_numbers("workers", args.workers)
    for n in workers:
        check_range("--workers", n, 1, MOST_WORKERS)
    peers = available_peers() if args.peers is None else [name for name in args.peers.split(",") if name]
    if missing := [name for name in peers if name not in available_peers()]:
        raise ConfigurationError(
            f"--peers names {', '.join(missing)}, installed are {', '.join(available_peers()) or 'none'} "
            "(pip install 'specnet-edge[peers]')"
        )
    with progress("the engine alone", None):
        bare = measure_bare(args.bundle, args.seconds / 3)
    runs: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="specnet-gateway-") as name:
        folder, times = Path(name), (args.devices, args.warm_up, args.seconds)
        for n in workers:
            own = _own_name(n)
            with progress(f"{own}, under {args.devices} devices", None):
                runs[own] = load_gateway(args.bundle, folder / f"full-{n}", *times, workers=n)
            with progress(f"{own}, at half of that", None):
                rate = HALF * runs[own]["answers_s"]
                runs[f"{own}, half load"] = load_gateway(
                    args.bundle, folder / f"half-{n}", *times, workers=n, rate=rate
                )
        for peer, n in itertools.product(peers, workers):
            with progress(f"{peer}, {n} at work", None):
                runs[f"{peer}, {n} at work"] = load_peer(peer, args.bundle, folder / f"{peer}-{n}", *times, workers=n)
        n = max(workers)
        for peer in peers:
            # latencies at full load are those of two different loads; here is the gateway's at what the peer can carry
            rate = max(found["answers_s"] for found in runs.values() if found["server"] == peer)
            own = f"{_own_name(n)}, at the rate of {peer}"
            with progress(own, None):
                runs[own] = load_gateway(args.bundle, folder / f"like-{peer}", *times, workers=n, rate=rate)
    agree = answers_agree(runs)
    fastest = max(found["answers_s"] for found in runs.values() if found["server"] == "gateway")
    _show(args, bare, runs)
    if not agree:
        note("the servers do not agree on every label")
    if not peers:
        note("no other server was measured: pip install 'specnet-edge[peers]'")
    return {
        "bench": "gateway",
        "devices": args.devices,
        "seconds": args.seconds,
        "threads": 1,
        "machine": platform.processor() or platform.machine(),
        "bare": bare,
        "share_of_bare": {str(entry["batch"]): round(fastest / entry["spectra_s"], 3) for entry in bare},
        "labels_agree": agree,
        "runs": {name: {key: value for key, value in found.items() if key != "labels"} for name, found in runs.items()},
    }


def _own_name(processes: int) -> str:
    return f"gateway, {processes} process{'es' if processes > 1 else ''}"


def _show(args: argparse.Namespace, bare: list[dict[str, Any]], runs: dict[str, dict[str, Any]]) -> None:
    table(
        f"{args.bundle.name}: the engine alone, one thread",
        ("batch", "spectra/s"),
        [(str(entry["batch"]), f"{entry['spectra_s']:,.0f}") for entry in bare],
    )
    table(
        f"{args.devices} devices, all on this machine; milliseconds at the device, and in the server without computing",
        ("server", "answers/s", "p50", "p95", "p99", "waited p50", "waited p99", "failed"),
        [
            (
                name,
                f"{found['answers_s']:,.0f}",
                *(_cell(found["latency_ms"], key) for key in ("p50", "p95", "p99")),
                *(_cell(found["waited_ms"], key) for key in ("p50", "p99")),
                str(found["failed"]),
            )
            for name, found in runs.items()
        ],
    )
    say("over HTTP what was waited is all but the computing: the way there and back is in it")


def _cell(quantiles: dict[str, float] | None, key: str) -> str:
    return "-" if quantiles is None else f"{quantiles[key]:.1f}"
