"""``specnet demo``: the whole path on one machine, from simulated spectra to answers of the gateway."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.console import note, say, table

if TYPE_CHECKING:
    from specnet.demo.model import DemoModel

HELP = "simulate, train, export, then run broker, gateway and device on one machine"
EXAMPLE = "specnet demo --out demo-out"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--out", type=Path, default=Path("demo-out"), metavar="DIR", help="folder (default: demo-out)")
    parser.add_argument(
        "--spectra", type=int, metavar="N", help="held-out spectra to replay (default: the whole test part)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random (default: 0)")
    parser.add_argument("--fresh", action="store_true", help="train again although an earlier demonstration did")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run the demonstration; ``lost`` must be 0.

    Raises
    ------
    SpecnetError
        When one of the parts fails.
    KeyboardInterrupt
        At Ctrl-C and at SIGTERM, after processes were stopped and temporary files removed.
    """
    from specnet.demo.interruption import interruptible

    with interruptible() as check:
        return _run(args, check)


def _run(args: argparse.Namespace, check: Callable[[], None]) -> dict[str, Any]:
    from specnet.demo.field import replay
    from specnet.demo.model import prepare

    def stage(text: str) -> None:
        check()
        note(text)

    begin = time.monotonic()
    folder = args.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    model = prepare(folder, n=args.spectra, seed=args.seed, fresh=args.fresh, stage=stage)
    tally = replay(model, folder, stage)
    stage("evaluating on the whole test part and drawing")
    document = {
        **tally.summary(),
        **_static(model),
        "raw_bytes": int(model.held_out.intensity[0].nbytes),
        "plots": _plots(model),
    }
    document["seconds"] = round(time.monotonic() - begin, 1)
    document["exit_code"] = 1 if document["lost"] or document["duplicates"] else 0
    _show(document)
    return document


def _static(model: DemoModel) -> dict[str, Any]:
    """Ask what the full network at its last exit says of the same spectra."""
    import numpy as np
    import torch

    from specnet.nn import HARD

    held_out = model.held_out
    spectra = model.run.pipeline.bind(held_out.axis)(held_out.intensity)
    with torch.no_grad():
        logits = model.run.network(torch.from_numpy(spectra)[:, None], HARD).logits[-1].numpy()
    return {
        "static_accuracy": float(np.mean(logits.argmax(axis=1) == held_out.labels)),
        "static_macs": model.run.network.static_macs(),
    }


def _plots(model: DemoModel) -> list[str]:
    from specnet.commands import evaluate

    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    report = evaluate.run(parser.parse_args([str(model.run.path), str(model.data)]))
    return list(report["plots"])


def _show(document: dict[str, Any]) -> None:
    share = document["mean_macs"] / document["static_macs"]
    rows = [
        ("spectra replayed", f"{document['n']}"),
        ("lost / answered twice", f"{document['lost']} / {document['duplicates']}"),
        ("answered on the device", f"{document['local_share']:.1%}"),
        ("accuracy", f"{document['accuracy']:.2%}"),
        ("  of the device alone", f"{document['device_only_accuracy']:.2%}"),
        ("  of the full network", f"{document['static_accuracy']:.2%}"),
        (
            "  of the uncertain ones, gateway (device)",
            _pair(document, "offloaded_accuracy", "offloaded_device_accuracy"),
        ),
        ("executed MACs, mean", f"{document['mean_macs']:,.0f} = {share:.0%} of the full network"),
        (
            "bytes sent for an uncertain spectrum",
            f"{document['bytes_per_offload'] or 0:.0f} (raw {document['raw_bytes']})",
        ),
        ("latency of local answers, p50 / p95", _latency(document, "local")),
        ("latency of offloaded answers, p50 / p95", _latency(document, "offload")),
        ("whole demonstration", f"{document['seconds']:.0f} s"),
    ]
    table("", ("", ""), rows)
    say("figures:")
    for plot in document["plots"]:
        say(f"  {plot}")


def _pair(document: dict[str, Any], first: str, second: str) -> str:
    if document[first] is None:
        return "none were uncertain"
    return f"{document[first]:.1%} ({document[second]:.1%})"


def _latency(document: dict[str, Any], kind: str) -> str:
    if document[f"p50_{kind}_ms"] is None:
        return "none"
    return f"{document[f'p50_{kind}_ms']:.1f} / {document[f'p95_{kind}_ms']:.1f} ms"
