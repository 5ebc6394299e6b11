"""A small disk of its own, which can be full without harm to anything else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

MOUNT_TIMEOUT_S = 20.0
BALLAST = "ballast"
BLOCK = b"\0" * (1 << 16)


class SmallDisk:
    """A folder, on a file system in memory where this process may mount one; a context manager.

    Parameters
    ----------
    folder
        Created.
    max_bytes
        Size of the file system.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self.is_mounted = False
        """Whether it can be filled: mounting needs root."""

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        if os.geteuid() == 0:
            self.is_mounted = _call("mount", "-t", "tmpfs", "-o", f"size={self._max_bytes}", "tmpfs", str(self.folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.is_mounted:
            # a process that was just killed may hold it a moment longer
            _call("umount", "--lazy", str(self.folder))

    def fill(self) -> None:
        """Take all that is left."""
        with (self.folder / BALLAST).open("ab", buffering=0) as file:
            for block in (BLOCK, b"\0"):
                try:
                    while True:
                        file.write(block)
                except OSError:
                    continue

    def free(self) -> None:
        """Give it back."""
        (self.folder / BALLAST).unlink(missing_ok=True)


def _call(*command: str) -> bool:
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=MOUNT_TIMEOUT_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
