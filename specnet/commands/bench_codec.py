"""``specnet bench codec``: every way of sending what a gateway needs, in bytes and in accuracy."""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import Any

from specnet.console import progress, say, table

HELP = "compare bottlenecks with plain features, principal components and the raw spectrum: bytes against accuracy"
EXAMPLE = "specnet bench codec runs/minerals minerals.h5 --out codec"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("run", type=Path, metavar="RUN", help="training run, with bottlenecks for a full comparison")
    parser.add_argument("data", type=Path, metavar="DATA.h5", help="the spectra that it was trained on")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Judge on the test part; write ``codec.json``, ``codec.csv`` and ``codec.png``.

    Raises
    ------
    SpecnetError
        When run and file do not fit.
    """
    from specnet.evaluation.codecs import compare_codecs
    from specnet.evaluation.plots import plot_codecs
    from specnet.files import write_bytes, write_json
    from specnet.training import load_run

    trained = load_run(args.run)
    with progress("sending the test part", None) as advance:
        rows = [row.to_dict() for row in compare_codecs(trained, args.data, advance=lambda name: advance(1, name))]
    document = {"bench": "codec", "run": args.run.name, "data": args.data.name, "rows": rows}
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path = write_json(args.out / "codec.json", document)
    table_path = write_bytes(args.out / "codec.csv", text.getvalue().encode())
    figure = plot_codecs(rows, args.out / "codec.png", title=args.data.stem)
    table(
        f"{args.data.name}: requests of the test part; nothing coded: {100 * rows[0]['whole_accuracy']:.2f} %",
        ("what is sent", "split", "bytes", "95 %", "largest", "all sent %", "sent %", "bytes a spectrum", "routed %"),
        [
            (
                f"{row['kind']} {row['name']}",
                row["split"],
                f"{row['mean_bytes']:.0f}",
                f"{row['p95_bytes']:.0f}",
                row["largest_bytes"],
                f"{100 * row['accuracy']:.2f}",
                f"{100 * row['offload_share']:.1f}",
                f"{row['bytes_per_spectrum']:.1f}",
                f"{100 * row['routed_accuracy']:.2f}",
            )
            for row in rows
        ],
    )
    say(f"written to {path}, {table_path} and {figure}")
    return {**document, "json": str(path), "csv": str(table_path), "png": str(figure)}
