"""The broker mosquitto, where it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

ANSWER_TIMEOUT_S = 10.0


def mosquitto_path() -> str | None:
    """Find mosquitto on PATH or where Debian and Homebrew put daemons; None when it is not installed."""
    places = [os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"]
    return shutil.which("mosquitto", path=os.pathsep.join(places))


def mosquitto_version(path: str) -> tuple[int, ...] | None:
    """Ask mosquitto for its version, as ``(2, 0, 11)``; None when it does not say."""
    try:
        done = subprocess.run(  # noqa: S603 - the program that was found
            [path, "-h"], capture_output=True, timeout=ANSWER_TIMEOUT_S, check=False, text=True, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"mosquitto version (\d+(?:\.\d+)+)", done.stdout + done.stderr)
    return tuple(map(int, found[1].split("."))) if found else None
