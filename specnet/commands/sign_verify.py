"""``specnet sign verify``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from specnet.console import say

HELP = "check that a bundle is whole and signed by a key that is trusted"
EXAMPLE = "specnet sign verify minerals.specnet --trust trusted-keys"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a .specnet file")
    parser.add_argument("--signature", type=Path, metavar="FILE", help="default: BUNDLE.sig")
    parser.add_argument(
        "--trust", type=Path, required=True, metavar="DIR", help="folder of public keys (*.pem), or one such file"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Verify it; a signature that does not hold is a mistake of whoever gave it."""
    from specnet.signing import TrustedKeys, check_bundle_bytes, read_limited, read_signature, signature_path

    signature = read_signature(args.signature or signature_path(args.bundle))
    TrustedKeys(args.trust).verify(signature)
    bundle = check_bundle_bytes(read_limited(args.bundle), signature, str(args.bundle))
    say(
        f"{args.bundle}: {signature.name} version {signature.version}, id {bundle.bundle_id}, "
        f"signed {signature.created} with key {signature.key_id}"
    )
    return {**msgspec.to_builtins(signature), "bundle_id": bundle.bundle_id, "verified": True}
