"""Giving out a profile: a table for people or one document, and a file when one is named."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from specnet.profiles import Profile, describe, write_profile


def give_out(profile: Profile, out: Path | None, *, json: bool) -> None:
    """Write the profile to `out`, if given, and to stdout; `ProfileError` when the file cannot be written."""
    if out is not None:
        write_profile(out, profile)
    if json:
        sys.stdout.write(msgspec.json.encode(profile).decode() + "\n")
        return
    sys.stdout.write(describe(profile) + "\n")
    if out is not None:
        sys.stdout.write(f"\nprofile: {out}\n")
