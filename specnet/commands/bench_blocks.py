"""``specnet bench blocks``: what residual units cost on this machine, and which is the cheapest where."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.console import note, progress, say, table

if TYPE_CHECKING:
    from specnet.evaluation.block_latency import BlockLatency

HELP = "measure every residual unit at the stages of presets, dense and with halted positions"
EXAMPLE = "specnet bench blocks --active 1 0.5 0.25 0.1 --out blocks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--points", type=int, default=1000, metavar="N", help="points of a spectrum (default: 1000)")
    parser.add_argument(
        "--active",
        type=float,
        nargs="+",
        default=[1.0, 0.5, 0.25, 0.1],
        metavar="SHARE",
        help="shares of active positions (default: 1 0.5 0.25 0.1)",
    )
    parser.add_argument(
        "--presets", nargs="+", default=["tiny", "small"], metavar="NAME", help="whose stages (default: tiny small)"
    )
    parser.add_argument("--repeats", type=int, default=200, metavar="N", help="calls of each segment (default: 200)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write blocks.json, blocks.csv and blocks.png here")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure, show, and write what was asked for.

    Raises
    ------
    ConfigurationError, ModelError
        When a number or a preset makes no sense.
    """
    from specnet.evaluation.block_latency import UNITS, measure_blocks

    with progress("measuring", args.repeats) as advance:
        latencies = measure_blocks(
            args.points, args.active, presets=args.presets, repeats=args.repeats, advance=lambda: advance(1)
        )
    _show(latencies)
    say(f"{platform.processor() or platform.machine()}, ONNX Runtime, batch 1, one thread, {args.repeats} calls each")
    document = {
        "bench": "blocks",
        "points": args.points,
        "repeats": args.repeats,
        "units": UNITS,
        "machine": platform.machine(),
        "fastest": _fastest(latencies),
        "blocks": [asdict(latency) for latency in latencies],
    }
    if args.out is not None:
        _write(args.out, document, latencies)
    return document


def _show(latencies: Sequence[BlockLatency]) -> None:
    """Show one line a stage and block: dense, then rows at each active share; microseconds and thousands of MACs."""
    from specnet.evaluation.block_latency import DENSE, by_stage

    lines, header = [], []
    for stage in by_stage(latencies):
        for block in dict.fromkeys(latency.block for latency in stage):
            own = [latency for latency in stage if latency.block == block]
            header = [DENSE if latency.form == DENSE else f"{latency.share:.0%}" for latency in own]
            cells = [f"{latency.us:.1f} | {latency.macs / 1e3:,.0f}k" for latency in own]
            first = own[0]
            lines.append([f"{first.preset} {first.stage}", f"{first.channels} x {first.positions}", block, *cells])
    table("microseconds | MACs of one unit", ("stage", "C x P", "block", *header), lines)
    for winner in _fastest(latencies):
        forms = ", ".join(f"{share}: {name}" for share, name in winner["at"].items())
        say(f"fastest in {winner['preset']} {winner['stage']}: {forms}")


def _fastest(latencies: Sequence[BlockLatency]) -> list[dict[str, Any]]:
    """Find the quickest block of each stage, dense and at each active share, where dense ones compete too."""
    from specnet.evaluation.block_latency import DENSE, by_stage

    winners = []
    for stage in by_stage(latencies):
        dense = [latency for latency in stage if latency.form == DENSE]
        at = {DENSE: min(dense, key=lambda latency: latency.us).block}
        for share in sorted({latency.share for latency in stage if latency.form != DENSE}, reverse=True):
            rows = [latency for latency in stage if latency.form != DENSE and latency.share == share]
            best = min([*rows, *dense], key=lambda latency: latency.us)
            at[f"{share:.0%}"] = f"{best.block} {best.form}"
        winners.append({"preset": stage[0].preset, "stage": stage[0].stage, "at": at})
    return winners


def _write(out: Path, document: dict[str, Any], latencies: Sequence[BlockLatency]) -> None:
    from specnet.evaluation.block_latency import write_csv
    from specnet.evaluation.plots.block_latency import plot_block_latency
    from specnet.files import write_json

    write_json(out / "blocks.json", document)
    write_csv(out / "blocks.csv", latencies)
    plot_block_latency(latencies, out / "blocks.png")
    note(f"wrote {out / 'blocks.json'}, blocks.csv and blocks.png")
