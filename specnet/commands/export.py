"""``specnet export``: a run as a bundle that devices and gateways load."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from specnet.console import progress, say, table

HELP = "write the bundle of a run: ONNX segments, preprocessing, axis, classes, exit policy, self-test"
EXAMPLE = "specnet export runs/minerals minerals.h5 --out minerals.specnet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that `specnet train` wrote")
    parser.add_argument(
        "data",
        type=Path,
        nargs="?",
        metavar="DATA.h5",
        help="the spectra it was trained on, for self-test vectors (default: where training found them)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="file to write, usually *.specnet")
    parser.add_argument("--name", default="", help="name of the model (default: the run's folder)")
    parser.add_argument(
        "--deployment",
        type=Path,
        metavar="FILE",
        help="deployment.json of `specnet tune`, to go into the bundle",
    )
    parser.add_argument(
        "--fastest",
        action="store_true",
        help="mask halted positions in stages where that is faster on this machine than skipping them: the same "
        "answers, more MACs, fewer microseconds on processors with wide vectors (default: skip them everywhere)",
    )
    parser.add_argument(
        "--version", type=int, default=1, metavar="N", help="model version, only ever upwards (default: 1)"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Export and self-test.

    Raises
    ------
    SpecnetError
        When the run is not finished or not calibrated, or torch and ONNX Runtime disagree.
    """
    from specnet.packing import pack
    from specnet.training import load_run
    from specnet.tuning.deployment import read_deployment

    trained = load_run(args.run)
    data = args.data or Path(trained.provenance["data_path"])
    with progress("exporting", None):
        deployment = None if args.deployment is None else read_deployment(args.deployment)
        manifest = pack(
            trained,
            data,
            args.out,
            name=args.name,
            version=args.version,
            deployment=deployment,
            fastest=args.fastest,
        )
    size = args.out.stat().st_size
    say(f"{args.out}: {manifest.name} version {manifest.version}, id {manifest.bundle_id}, {size / 1024:.0f} kB")
    table(
        "segments",
        ("", "input", "fixed MACs", "units", "MACs a unit and position", "kB"),
        [
            (
                segment.file,
                f"{segment.input_shape[0]} x {segment.input_shape[1]}",
                f"{segment.fixed_macs:,}",
                segment.units,
                f"{segment.unit_macs:,}",
                f"{manifest.files[segment.file].size / 1024:.0f}",
            )
            for segment in manifest.segments
        ],
    )
    return {
        "bundle": str(args.out),
        "bundle_id": manifest.bundle_id,
        "name": manifest.name,
        "version": manifest.version,
        "bytes": size,
        "segments": len(manifest.segments),
    }
