"""A file that is being fetched: what has arrived survives a power cut, and is believed only where it proves itself."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Self

from device.models.folders import file_sha256
from specnet.errors import BundleIntegrityError, ModelStoreError

FOLDER = "incoming"
_PIECE = struct.Struct("<II")
MAX_TAG_BYTES = 256
MAX_PIECE_BYTES = 1 << 20


class PartialFile:
    """The beginning of a file, in order.

    Beside the data lies a journal with length and CRC-32 of every piece. A power cut may leave either of them shorter,
    longer or full of zeros; what is kept afterwards are the pieces that agree with the journal.

    Parameters
    ----------
    root
        The store; the files lie in its folder ``incoming``, where beginnings of other files are removed.
    sha256, size
        Of the whole file, in bytes.

    Raises
    ------
    ModelStoreError
        When the disk does not take it.
    """

    def __init__(self, root: Path, sha256: str, size: int) -> None:
        folder = root / FOLDER
        self.path = folder / f"{sha256}.part"
        self.size = size
        self.received = 0
        self._sha256 = sha256
        self._journal_path = folder / f"{sha256}.journal"
        self._tag_path = folder / f"{sha256}.tag"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for other in folder.iterdir():
                if not other.name.startswith(sha256):
                    other.unlink()
            self._data = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            self._journal = os.open(self._journal_path, os.O_RDWR | os.O_CREAT, 0o644)
            self._recover()
        except OSError as error:
            raise ModelStoreError(f"{error.filename or folder} cannot be used: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def tag(self) -> str:
        """What `remember_tag` has kept: which file it is at its source."""
        try:
            with self._tag_path.open("rb") as file:
                return file.read(MAX_TAG_BYTES).decode("latin-1")
        except OSError:
            return ""

    def remember_tag(self, tag: str) -> None:
        """Keep an HTTP entity tag; one that is lost costs a new beginning, no more, so it is not forced to disk."""
        self._tag_path.write_bytes(tag.encode("latin-1", errors="replace")[:MAX_TAG_BYTES])

    def append(self, data: bytes) -> None:
        """Add the next piece; it is on disk before this returns.

        Raises
        ------
        ModelStoreError
            When it is more than the file has left, or the disk does not take it.
        """
        if not 1 <= len(data) <= min(MAX_PIECE_BYTES, self.size - self.received):
            raise ModelStoreError(f"a piece of {len(data)} bytes at {self.received} of {self.size} bytes")
        try:
            _write(self._data, data, self.received)
            os.fdatasync(self._data)
            _write(self._journal, _PIECE.pack(len(data), zlib.crc32(data)), self._journal_bytes)
            os.fdatasync(self._journal)
        except OSError as error:
            raise ModelStoreError(f"{self.path} cannot be written: {error.strerror}") from error
        self.received += len(data)
        self._journal_bytes += _PIECE.size

    def restart(self) -> None:
        """Forget everything that has arrived."""
        self._cut(0, 0)

    def finish(self) -> Path:
        """Check the whole file.

        Returns
        -------
        Path
            The file, to be moved away.

        Raises
        ------
        BundleIntegrityError
            When it is not the one that was announced; it is forgotten.
        """
        found = file_sha256(self.path)
        if self.received != self.size or found != self._sha256:
            self.restart()
            raise BundleIntegrityError(
                f"what was fetched has sha256 {found[:16]}..., announced was {self._sha256[:16]}...: fetched in vain"
            )
        return self.path

    def discard(self) -> None:
        """Remove what has arrived."""
        self.close()
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def close(self) -> None:
        """Close the files; what has arrived stays."""
        for name in ("_data", "_journal"):
            descriptor = getattr(self, name)
            if descriptor >= 0:
                os.close(descriptor)
                setattr(self, name, -1)

    def _recover(self) -> None:
        received = position = 0
        while True:
            head = os.pread(self._journal, _PIECE.size, position)
            if len(head) < _PIECE.size:
                break
            length, checksum = _PIECE.unpack(head)
            if not 1 <= length <= min(MAX_PIECE_BYTES, self.size - received):
                break
            data = os.pread(self._data, length, received)
            if len(data) < length or zlib.crc32(data) != checksum:
                break
            received += length
            position += _PIECE.size
        self._cut(received, position)

    def _cut(self, received: int, journal_bytes: int) -> None:
        # the journal first: it must never speak of more than there is
        os.ftruncate(self._journal, journal_bytes)
        os.ftruncate(self._data, received)
        self.received, self._journal_bytes = received, journal_bytes


def _write(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        n = os.pwrite(descriptor, data, offset)
        data, offset = data[n:], offset + n
