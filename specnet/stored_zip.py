"""Zip files without compression in one canonical form: equal content gives equal bytes, and no byte is free.

A zip has room for what nobody reads: time stamps, attributes, comments, extra fields, gaps between entries. A file in
canonical form has none of it, so a reader that compares byte for byte finds every change. Layout: PKWARE's
APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory) and 4.3.16 (end of central directory).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

VERSION = 20
"""Version 2.0 of the format: what a stored entry needs."""
UNIX = 3
ATTRIBUTES = 0o600 << 16
DATE = ((2020 - 1980) << 9) | (1 << 5) | 1  # fixed, so that equal content gives equal bytes
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s4B4H3L5H2L")
_END = struct.Struct("<4s4H2LH")


def stored_zip(entries: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """Pieces of the canonical archive of ``(name, content)`` in the given order; joined they are the file."""
    directory, offset, count = [], 0, 0
    for name, content in entries:
        text = name.encode("ascii")
        checksum, size = zlib.crc32(content), len(content)
        yield _LOCAL.pack(b"PK\3\4", VERSION, 0, 0, 0, DATE, checksum, size, size, len(text), 0)
        yield text
        yield content
        sizes = (checksum, size, size, len(text), 0, 0, 0, 0, ATTRIBUTES, offset)
        directory.append(_CENTRAL.pack(b"PK\1\2", VERSION, UNIX, VERSION, 0, 0, 0, 0, DATE, *sizes) + text)
        offset += _LOCAL.size + len(text) + size
        count += 1
    central = b"".join(directory)
    yield central
    yield _END.pack(b"PK\5\6", 0, 0, count, count, len(central), offset, 0)


def is_canonical(data: bytes, entries: Iterable[tuple[str, bytes]]) -> bool:
    """Whether `data` is the canonical archive of these entries, byte for byte."""
    view, position = memoryview(data), 0
    for piece in stored_zip(entries):
        if view[position : position + len(piece)] != piece:
            return False
        position += len(piece)
    return position == len(data)
