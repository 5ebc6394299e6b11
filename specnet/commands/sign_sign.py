"""``specnet sign sign``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from specnet.console import say

HELP = "sign a bundle; its own bytes stay as they are"
EXAMPLE = "specnet sign sign minerals.specnet --key release.key"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a .specnet file")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="private key of `specnet sign keygen`")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the signature (default: BUNDLE.sig)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Sign it."""
    from specnet.signing import read_private_key, sign_bundle, signature_path, write_signature

    signature = sign_bundle(args.bundle, read_private_key(args.key))
    path = write_signature(args.out or signature_path(args.bundle), signature)
    say(f"{path}: {signature.name} version {signature.version}, signed with key {signature.key_id}")
    return {**msgspec.to_builtins(signature), "path": str(path)}
