"""Files that are written whole or not at all, and read up to a limit."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from specnet.errors import SpecnetError


def write_atomically(path: Path | str, write: Callable[[Path], None], *, mode: int | None = None) -> Path:
    """Let `write` fill a temporary file beside `path`, force it to disk and rename it into place.

    Parameters
    ----------
    path
        The final name. Its folder is created.
    write
        Called with the temporary path; it may open and close the file as it likes (h5py and zipfile do).
    mode
        Permissions, such as 0o600 for a secret, which nobody else can read at any moment; None as the umask says.

    Returns
    -------
    Path
        `path`, now complete. When `write` raises, the old file is untouched and the temporary one is gone.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # named before it is made: an interruption at any moment then finds what to remove
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if mode is None:
            # it was private so far; a result is as readable as any other file of this user
            umask = os.umask(0)
            os.umask(umask)
            mode = 0o666 & ~umask
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return path


def write_bytes(path: Path | str, data: bytes, *, mode: int | None = None) -> Path:
    """Write `data` to `path` atomically."""
    return write_atomically(path, lambda temporary: _fill(temporary, data), mode=mode)


def write_json(path: Path | str, document: Any) -> Path:
    """Write `document` to `path` atomically as indented JSON; NaN is refused because JSON has none."""
    return write_bytes(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())


def read_bounded(path: Path | str, max_bytes: int, what: str, error: type[SpecnetError]) -> bytes:
    """Read a whole file that has at most so many bytes.

    Parameters
    ----------
    path
        The file.
    max_bytes
        More are not read into memory, however large the file is or becomes meanwhile.
    what
        Name of such a file in messages, as "bundle".
    error
        Class of the error to raise.

    Raises
    ------
    SpecnetError
        Of the class `error`, when the file cannot be read or is too large.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(max_bytes + 1)
            size = max(len(content), os.fstat(file.fileno()).st_size)
    except OSError as failure:
        raise error(f"cannot read {what} {path}: {failure.strerror or failure}") from failure
    if len(content) > max_bytes:
        raise error(f"{what} {path} has {size} bytes, at most {max_bytes} are read")
    return content


def _fill(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
