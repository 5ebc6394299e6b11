"""``specnet bench deployment``: what `specnet tune` predicted, checked with real processes over a shaped link."""

from __future__ import annotations

import argparse
import csv
import io
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.commands.given_profiles import given_device, given_gateway, given_link
from specnet.console import note, progress, say, table
from specnet.errors import ConfigurationError

if TYPE_CHECKING:
    from specnet.demo.deployed import Deployed
    from specnet.demo.deployment_check import Row
    from specnet.demo.prediction import Prediction
    from specnet.tuning.latency import Conditions

HELP = "run a tuned deployment as processes over a shaped link, and compare with what tuning predicted"
EXAMPLE = "specnet bench deployment tuned/deployment.json runs/minerals minerals.h5 --out checked --spectra 200"
MOST_SPECTRA = 500
MOST_PASSES = 50
"""Times that the test part can be replayed: late messages are rare, and a p95 needs many."""
WARM_UP = 5
"""Spectra in front of those that count: the first ones pay for memory and caches."""
MOST_S = 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("deployment", type=Path, metavar="DEPLOYMENT.json", help="file that `specnet tune` wrote")
    parser.add_argument("run", type=Path, metavar="RUN", help="the run that was tuned")
    parser.add_argument("data", type=Path, metavar="DATA.h5", help="the spectra that it was trained on")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    parser.add_argument(
        "--spectra",
        type=int,
        metavar="N",
        help=f"test spectra to replay, several times where there are fewer (default: all up to {MOST_SPECTRA})",
    )
    parser.add_argument(
        "--link", metavar="PROFILE", help="another link than the deployment's: a file, or the name of a preset"
    )
    parser.add_argument(
        "--device",
        metavar="PROFILE",
        help="another device than the deployment's: a file, or local to measure this machine, on which it runs",
    )
    parser.add_argument(
        "--gateway",
        metavar="PROFILE",
        help="another gateway than the deployment's: a file, or local to measure this machine, on which it runs",
    )
    parser.add_argument(
        "--spectra-per-hour", type=float, metavar="N", help="another rate than the deployment's, also predicted anew"
    )
    parser.add_argument(
        "--predict-on",
        choices=("test", "calibration"),
        default="test",
        help="whose logits the prediction is of: the replayed spectra's, which checks the model of cost alone, or "
        "the calibration spectra's, which checks all that tuning said (default: test)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the spectra and the link (default: 0)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Predict, run, compare; write ``deployment-check.json``, ``.csv`` and ``.png``.

    Raises
    ------
    ConfigurationError
        When deployment, run and options do not fit, or the run would take too long.
    SpecnetError
        When a file cannot be read, or a process fails.
    """
    import numpy as np

    from specnet.datasets import Holdout
    from specnet.demo.deployed import as_counts, run_deployed
    from specnet.demo.deployment_check import Measured, compare
    from specnet.demo.own_path import own_path
    from specnet.demo.prediction import predict
    from specnet.packing import pack
    from specnet.training import load_run
    from specnet.tuning.deployment import read_deployment

    deployment = read_deployment(args.deployment)
    trained = load_run(args.run)
    intensity, labels, axis = trained.read_part(args.data, Holdout.TEST)
    rows = _replayed(args, len(labels))
    with tempfile.TemporaryDirectory(prefix="specnet-deployment-") as name:
        folder = Path(name)
        bundle = folder / "deployed.specnet"
        pack(trained, args.data, bundle, name="deployed", deployment=deployment)
        conditions = _conditions(args, deployment, trained)
        counts, raised = as_counts(intensity[rows])
        if raised:
            note(f"the spectra are no ADC counts: they were scaled, and {raised:.1%} of the points raised to 0")
        labels = np.asarray(labels[rows])
        point = deployment.chosen
        judged = trained.judge(counts[WARM_UP:], labels[WARM_UP:], axis)
        sequences = np.arange(WARM_UP, len(rows))

        def replayed(under: Conditions) -> Prediction:
            return predict(trained, judged, counts[WARM_UP:], point, under, sequences)

        seconds = _duration_s(len(rows), conditions, replayed(conditions).latency_ms)
        with progress("measuring the way between clients on this machine", None):
            conditions = replace(conditions, path_ms=own_path(folder / "path"))
        if args.predict_on == "test":
            predicted = replayed(conditions)
        else:
            held = trained.cache(args.data, Holdout.CALIBRATION)
            raw, _, _ = trained.read_part(args.data, Holdout.CALIBRATION)
            predicted = predict(trained, held, raw, point, conditions)
        with progress(f"replaying over {conditions.link.name}, some {seconds:.0f} s", len(rows)) as advance:
            deployed = run_deployed(
                bundle,
                counts,
                labels,
                conditions.link,
                3600 / conditions.spectra_per_hour,
                folder / "deployed",
                answers=conditions.publishes_answers,
                seed=args.seed,
                advance=advance,
            )
    measured = Measured.of(deployed, WARM_UP)
    link = deployed.link
    found = compare(point, predicted, measured, _sent_bytes(deployed, len(rows)) / (len(rows) - WARM_UP))
    counted = {
        "n": len(rows) - WARM_UP,
        "lost": deployed.tally.lost,
        "duplicates": deployed.tally.duplicates,
        "rejected": len(deployed.tally.rejected),
        "provisional": deployed.tally.provisional,
        "link_bytes": {way: dict(kinds) for way, kinds in link.bytes.items()},
        "link_messages": {way: dict(kinds) for way, kinds in link.messages.items()},
        "link_losses": link.lost,
        "spectra_per_hour": 3600 * (len(rows) - 1) / deployed.took_s if deployed.took_s else None,
        "path_ms": list(conditions.path_ms.values),
        "gateway_queue_ms": measured.queue_ms,
        "gateway_compute_ms": measured.compute_ms,
    }
    document = {
        "bench": "deployment",
        "run": args.run.name,
        "data": args.data.name,
        "split": point.split,
        "codec": point.codec,
        "device": conditions.device.name,
        "link": conditions.link.name,
        "asked_spectra_per_hour": conditions.spectra_per_hour,
        "predict_on": args.predict_on,
        **counted,
        "rows": [row.to_dict() for row in found],
    }
    return {**document, **_write(args.out, document, predicted, measured), **_show(document, found)}


def _sent_bytes(deployed: Deployed, n: int) -> float:
    """Bytes of requests and answers for `n` spectra that the link counted, less those of the warm-up."""
    link = deployed.link
    early = [int(answer["bytes"]) for number, answer in deployed.tally.answers.items() if number < WARM_UP]
    overhead = link.link.overhead_bytes
    asked = link.bytes["up"]["offload"] - sum(n + overhead * link.link.messages(n) for n in early if n)
    return asked + link.bytes["up"]["answer"] * (n - WARM_UP) / n


def _replayed(args: argparse.Namespace, n_test: int) -> Any:
    """Numbers of the test spectra in the order of their replay; those of the warm-up come twice."""
    import numpy as np

    n = min(n_test, MOST_SPECTRA) if args.spectra is None else args.spectra
    if not WARM_UP <= n <= MOST_PASSES * n_test:
        raise ConfigurationError(
            f"--spectra is {n}, expected {WARM_UP} to {MOST_PASSES * n_test}: the test part has {n_test}, which are "
            f"replayed up to {MOST_PASSES} times"
        )
    rng = np.random.default_rng(args.seed)
    chosen = np.concatenate([rng.permutation(n_test) for _ in range(-(-n // n_test))])[:n]
    return np.concatenate([chosen[:WARM_UP], chosen])


def _conditions(args: argparse.Namespace, deployment: Any, trained: Any) -> Conditions:
    from specnet.tuning.latency import Conditions

    return Conditions(
        deployment.device if args.device is None else given_device(args.device, trained, args.data),
        deployment.link if args.link is None else given_link(args.link),
        deployment.gateway if args.gateway is None else given_gateway(args.gateway, trained, args.data),
        deployment.spectra_per_hour if args.spectra_per_hour is None else args.spectra_per_hour,
        # here the gateway has no other devices
        gateway_requests_s=0.0,
        answer_bytes=deployment.answer_bytes,
    )


def _duration_s(n: int, conditions: Conditions, latency_ms: Any) -> float:
    """Seconds that a run takes; `ConfigurationError` when these are too many."""
    acquiring = 3600 * n / conditions.spectra_per_hour
    seconds: float = acquiring + float(latency_ms.max()) / 1e3
    if seconds <= MOST_S:
        return seconds
    what = "fewer --spectra or more --spectra-per-hour" if acquiring > MOST_S / 2 else "another --link"
    raise ConfigurationError(
        f"{n} spectra at {conditions.spectra_per_hour:g} an hour over {conditions.link.name} take {seconds / 60:,.0f} "
        f"minutes, at most {MOST_S / 60:.0f} are spent; ask for {what}"
    )


def _write(out: Path, document: dict[str, Any], predicted: Any, measured: Any) -> dict[str, str]:
    import numpy as np

    from specnet.evaluation.plots import plot_deployment
    from specnet.files import write_bytes, write_json

    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(document["rows"][0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(document["rows"])
    shares = np.bincount(measured.exit_index, minlength=len(predicted.exit_shares)) / len(measured.exit_index)
    return {
        "json": str(write_json(out / "deployment-check.json", document)),
        "csv": str(write_bytes(out / "deployment-check.csv", text.getvalue().encode())),
        "png": str(
            plot_deployment(
                predicted.latency_ms,
                measured.latency_ms,
                predicted.exit_shares,
                shares,
                out / "deployment-check.png",
                title=f"{document['run']} over {document['link']}",
            )
        ),
    }


def _show(document: dict[str, Any], rows: list[Row]) -> dict[str, Any]:
    table(
        f"{document['run']}, split {document['split']}, {document['codec'] or 'nothing sent'}, "
        f"over {document['link']}, {document['n']} test spectra, {document['asked_spectra_per_hour']:,.0f} an hour",
        ("", "predicted", "measured", "19 of 20 within", "difference", "target"),
        [_line(row) for row in rows],
    )
    whose = {
        "test": "exits and bytes predicted from the replayed spectra's own logits: this checks the model of cost",
        "calibration": "exits and bytes predicted on calibration spectra: their difference to the test is in it",
    }
    say(whose[document["predict_on"]])
    say(
        f"lost {document['lost']}, answered twice {document['duplicates']}, rejected {document['rejected']}, "
        f"provisional {document['provisional']}; the link lost {document['link_losses']} messages"
    )
    up, messages = document["link_bytes"]["up"], document["link_messages"]["up"]
    parts = ", ".join(f"{name} {size:,} in {messages[name]}" for name, size in sorted(up.items()))
    path = document["path_ms"]
    say(f"in the prediction: brokers, clients and proxy on this machine, p50 {path[4]:.2f} ms, p95 {path[7]:.2f} ms")
    say(f"bytes up, overhead counted: {parts}")
    missed = [row.measure for row in rows if row.holds is False]
    say("all targets hold" if not missed else f"missed: {', '.join(missed)}")
    return {"missed": missed}


def _verdict(row: Row) -> str:
    if row.holds:
        return "holds"
    return "missed, which may be luck" if row.may_be_luck else "missed"


def _line(row: Row) -> tuple[str, ...]:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:,.2f}"

    unit = "points" if row.unit == "%" else "%"
    return (
        f"{row.measure}, {row.unit}",
        shown(row.predicted),
        shown(row.measured),
        "-" if row.low is None else f"{shown(row.low)} to {shown(row.high)}",
        "-" if row.difference is None else f"{row.difference:+.2f} {unit}",
        "-" if row.target is None or row.holds is None else f"{row.target:g} {unit}, {_verdict(row)}",
    )
