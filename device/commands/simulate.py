"""``specnet-device simulate``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.signals import stop_on_signals
from device.spectrometers.boards import Board
from device.spectrometers.boards.as7265x import AS7265xBoard
from device.spectrometers.boards.c12880ma import C12880MABoard
from device.spectrometers.boards.declarative import DeclarativeBoard
from device.spectrometers.boards.ocean_binary import OceanBinaryBoard
from device.spectrometers.boards.ocean_letter import OceanLetterBoard
from device.spectrometers.connection import parse_address
from device.spectrometers.definition import read_definition
from device.spectrometers.endpoint import TcpEndpoint
from device.spectrometers.faults import EXAMPLE as FAULT_EXAMPLE
from device.spectrometers.faults import KINDS, FaultPlan
from device.spectrometers.generated import generate_spectra
from device.spectrometers.replay import SPLITS, load_replay
from device.spectrometers.simulator import SimulatedBoard
from specnet.errors import ConfigurationError

HELP = "serve recorded spectra like a spectrometer, on a pseudo-terminal or a TCP port"
EXAMPLE = "specnet-device simulate minerals.h5 --split test --link ./spectrometer --faults garbage=0.01"
BOARDS: dict[str, type[C12880MABoard] | type[OceanLetterBoard] | type[OceanBinaryBoard] | type[AS7265xBoard]] = {
    "c12880ma": C12880MABoard,
    "ocean-letter": OceanLetterBoard,
    "ocean-binary": OceanBinaryBoard,
    "as7265x": AS7265xBoard,
}
DECLARATIVE = "declarative:"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "file", type=Path, nargs="?", metavar="FILE", help=".h5 (needs the extra train) or .npz with 'intensity'"
    )
    what.add_argument("--generate", metavar="NxPOINTS", help="made-up spectra instead of a file, such as 100x288")
    parser.add_argument(
        "--protocol",
        default="c12880ma",
        metavar="NAME",
        help=f"{', '.join(BOARDS)} or {DECLARATIVE}FILE (default: c12880ma)",
    )
    parser.add_argument("--split", choices=SPLITS, default="", help="replay only this part")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="at most N spectra")
    parser.add_argument("--loop", action="store_true", help="start again at the end")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--link", type=Path, metavar="PATH", help="symbolic link to the port, renewed when it changes")
    where.add_argument("--listen", metavar="HOST:PORT", help="a TCP serial server instead; port 0 takes a free one")
    parser.add_argument(
        "--recorded-us",
        type=int,
        default=0,
        metavar="US",
        help="exposure of the recording: spectra get brighter and saturate with the exposure that the host sets",
    )
    parser.add_argument(
        "--faults", default="", metavar="FAULTS", help=f"what goes wrong, such as {FAULT_EXAMPLE}; {', '.join(KINDS)}"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the faults and of made-up spectra")


def run(args: argparse.Namespace) -> int:
    """Serve until stopped; the first line on stdout says where."""
    if not 0 <= args.recorded_us <= 600_000_000:
        raise ConfigurationError(f"--recorded-us is from 0 to 600000000, got {args.recorded_us}")
    if args.seed < 0:
        raise ConfigurationError(f"--seed is 0 or more, got {args.seed}")
    spectra = _spectra(args)
    simulated = SimulatedBoard(
        spectra,
        link=args.link,
        loop=args.loop,
        faults=FaultPlan.parse(args.faults),
        seed=args.seed,
        board=make_board(args.protocol, int(spectra.shape[1])),
        endpoint=TcpEndpoint(*_address(args.listen)) if args.listen else None,
        recorded_us=args.recorded_us,
    )
    stop_on_signals(simulated.stop)
    place = {"port": simulated.port, "n": len(spectra), "n_points": int(spectra.shape[1])}
    sys.stdout.write(json.dumps({**place, "link": str(args.link) if args.link else None}) + "\n")
    sys.stdout.flush()
    simulated.serve()
    return 0


def make_board(protocol: str, n_points: int) -> Board:
    """Make the board of a protocol.

    Raises
    ------
    ConfigurationError
        When the protocol is unknown, its definition is faulty, or has another number of points than the spectra.
    """
    if protocol.startswith(DECLARATIVE):
        definition = read_definition(protocol.removeprefix(DECLARATIVE))
        if definition.points != n_points:
            raise ConfigurationError(f"{protocol} has {definition.points} points, the spectra have {n_points}")
        return DeclarativeBoard(definition)
    if protocol not in BOARDS:
        known = ", ".join([*BOARDS, f"{DECLARATIVE}FILE"])
        raise ConfigurationError(f"unknown protocol {protocol[:80]!r}; known: {known}")
    return BOARDS[protocol]()


def _spectra(args: argparse.Namespace) -> NDArray[np.uint32]:
    if args.generate is None:
        return load_replay(args.file, split=args.split, limit=args.limit)
    n, _, n_points = args.generate.partition("x")
    if not (n.isdecimal() and n_points.isdecimal()) or max(len(n), len(n_points)) > 9:
        raise ConfigurationError(f"--generate takes NxPOINTS, such as 100x288, got {args.generate[:40]!r}")
    return generate_spectra(int(n), int(n_points), args.seed)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if port == "0" and host:
        return host.strip("[]"), 0
    return parse_address(f"socket://{text}")
