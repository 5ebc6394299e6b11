"""``specnet bench segments``: how long the parts of a bundle take on this machine."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.console import progress, say, table
from specnet.errors import ConfigurationError

if TYPE_CHECKING:
    from specnet.runtime import Predictor

HELP = "measure preprocessing and segments of a bundle: medians of single calls"
EXAMPLE = "specnet bench segments minerals.specnet --threads 1"
WARM_UP = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="file that `specnet export` wrote")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of ONNX Runtime (default: 1)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="spectra a call (default: 1)")
    parser.add_argument("--repeats", type=int, default=300, metavar="N", help="calls of each part (default: 300)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure on the bundle's own self-test spectra.

    Raises
    ------
    BundleError
        When the bundle is damaged.
    ConfigurationError
        When an option is less than one.
    """
    from specnet.runtime import load_bundle

    for name in ("batch", "repeats"):
        if getattr(args, name) < 1:
            raise ConfigurationError(f"{name} is {getattr(args, name)}, expected at least 1")
    predictor = load_bundle(args.bundle, threads=args.threads)
    with progress("measuring", None):
        rows = _measure(predictor, args.batch, args.repeats)
    table(
        f"{args.bundle.name}: microseconds a call, batch {args.batch}, {args.threads} thread(s)",
        ("part", "median", "p95", "MACs executed a spectrum"),
        [(r["part"], f"{r['median_us']:.1f}", f"{r['p95_us']:.1f}", f"{r['mean_macs']:,.0f}") for r in rows],
    )
    say(f"on {platform.processor() or platform.machine()}, {args.repeats} calls each")
    return {
        "bench": "segments",
        "bundle_id": predictor.bundle.bundle_id,
        "threads": args.threads,
        "batch": args.batch,
        "repeats": args.repeats,
        "machine": platform.machine(),
        "parts": rows,
    }


def _measure(predictor: Predictor, batch: int, repeats: int) -> list[dict[str, Any]]:
    import numpy as np

    bundle = predictor.bundle
    intensity = bundle.selftest()["intensity"]
    chosen = [np.arange(i, i + batch) % len(intensity) for i in range(len(intensity))]
    bound = bundle.pipeline.bind(bundle.source_axis)
    raw = [intensity[rows] for rows in chosen]
    rows = [{"part": "preprocessing", "mean_macs": 0.0, **_time(bound, raw, repeats)}]
    features = [bound(block)[..., np.newaxis] for block in raw]
    for index, segment in enumerate(bundle.manifest.segments):

        def call(block: Any, index: int = index) -> Any:
            return predictor.segments.run(index, block)

        outputs = [call(block) for block in features]
        macs = np.mean([segment.executed_macs(output.depth, batch).mean() for output in outputs])
        rows.append({"part": segment.file, "mean_macs": float(macs), **_time(call, features, repeats)})
        features = [block if o.features is None else o.features for block, o in zip(features, outputs, strict=True)]
    return rows


def _time(call: Callable[[Any], Any], inputs: list[Any], repeats: int) -> dict[str, float]:
    """Median and 95th percentile in microseconds over calls that cycle through the inputs."""
    import numpy as np

    times = np.empty(WARM_UP + repeats)
    for i in range(len(times)):
        block = inputs[i % len(inputs)]
        begin = time.perf_counter()
        call(block)
        times[i] = time.perf_counter() - begin
    median, p95 = np.percentile(times[WARM_UP:] * 1e6, [50, 95])
    return {"median_us": float(median), "p95_us": float(p95)}
