"""Files that are whole or not there at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_atomically(path: Path | str, write: Callable[[Path], None]) -> Path:
    """Let `write` fill a temporary file beside `path`, force it to disk and rename it into place.

    Parameters
    ----------
    path
        The final name. Its folder is created.
    write
        Called with the temporary path; it may open and close the file as it likes (h5py and zipfile do).

    Returns
    -------
    Path
        `path`, now complete. When `write` raises, the old file is untouched and the temporary one is gone.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # mkstemp makes files private; a result is as readable as any other file of this user
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return path


def write_bytes(path: Path | str, data: bytes) -> Path:
    """Write `data` to `path` atomically."""
    return write_atomically(path, lambda temporary: _fill(temporary, data))


def write_json(path: Path | str, document: Any) -> Path:
    """Write `document` to `path` atomically as indented JSON; NaN is refused because JSON has none."""
    return write_bytes(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())


def _fill(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
