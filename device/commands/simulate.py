"""``specnet-device simulate``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from device.signals import stop_on_signals
from device.spectrometers.faults import EXAMPLE as FAULT_EXAMPLE
from device.spectrometers.faults import FaultPlan
from device.spectrometers.replay import SPLITS, load_replay
from device.spectrometers.simulator import SimulatedBoard

HELP = "serve recorded spectra like a serial spectrometer, on a pseudo-terminal"
EXAMPLE = "specnet-device simulate minerals.h5 --split test --link ./spectrometer --faults garbage=0.01"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("file", type=Path, metavar="FILE", help=".h5 (needs the extra train) or .npz with 'intensity'")
    parser.add_argument("--split", choices=SPLITS, default="", help="replay only this part")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="at most N spectra")
    parser.add_argument("--loop", action="store_true", help="start again at the end")
    parser.add_argument("--link", type=Path, metavar="PATH", help="symbolic link to the port, renewed when it changes")
    parser.add_argument("--faults", default="", metavar="FAULTS", help=f"what goes wrong, such as {FAULT_EXAMPLE}")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")


def run(args: argparse.Namespace) -> int:
    """Serve until stopped; the first line on stdout says where."""
    spectra = load_replay(args.file, split=args.split, limit=args.limit)
    board = SimulatedBoard(spectra, link=args.link, loop=args.loop, faults=FaultPlan.parse(args.faults), seed=args.seed)
    stop_on_signals(board.stop)
    place = {"port": board.port, "n": len(spectra), "n_points": int(spectra.shape[1])}
    sys.stdout.write(json.dumps({**place, "link": str(args.link) if args.link else None}) + "\n")
    sys.stdout.flush()
    board.serve()
    return 0
