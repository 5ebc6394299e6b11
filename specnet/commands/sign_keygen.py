"""``specnet sign keygen``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from specnet.console import say

HELP = "make an Ed25519 key pair: sign bundles with the one, let devices trust the other"
EXAMPLE = "specnet sign keygen release"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument(
        "name", type=Path, metavar="NAME", help="writes NAME.key, which stays secret, and NAME.pem for trust folders"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Make the pair."""
    from specnet.signing import generate_key

    private, public = Path(f"{args.name}.key"), Path(f"{args.name}.pem")
    key_id = generate_key(private, public)
    say(f"key {key_id}")
    say(f"{private}: private, keep it where bundles are released")
    say(f"{public}: public, copy it into the trust folder of each device")
    return {"key_id": key_id, "private": str(private), "public": str(public)}
