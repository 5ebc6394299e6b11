"""One changed byte anywhere in a bundle is found, and so is everything that was cut off or added."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from specnet.bundle import parse_bundle
from specnet.errors import BundleError, BundleIntegrityError
from specnet.manifest import MANIFEST, SELFTEST, WEIGHTS


def _places(data: bytes) -> dict[str, range]:
    """Where the parts of the zip are, from its own directory."""
    places = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            start = entry.header_offset + 30 + len(entry.filename)
            places[f"header of {entry.filename}"] = range(entry.header_offset, start)
            places[entry.filename] = range(start, start + entry.file_size)
        places["central directory"] = range(archive.start_dir, len(data) - 22)
    places["end of central directory"] = range(len(data) - 22, len(data))
    assert sum(len(place) for place in places.values()) == len(data)  # nothing between or beside them
    return places


def _refuse(data: bytes, what: str) -> None:
    try:
        parse_bundle(data)
    except BundleError:
        return
    pytest.fail(f"not noticed: {what}")


def test_a_changed_bit_anywhere_is_found(packed: Path) -> None:
    data = packed.read_bytes()
    generator = np.random.default_rng(0)
    for name, place in _places(data).items():
        chosen = generator.choice(len(place), size=min(len(place), 6), replace=False)
        for position in (place[0], place[-1], *(place[int(index)] for index in chosen)):
            for mask in (0x01, 0x80, 0xFF):
                damaged = bytearray(data)
                damaged[position] ^= mask
                _refuse(bytes(damaged), f"byte {position} in {name} xor {mask:#x}")


def test_every_byte_of_the_zip_itself_counts(packed: Path) -> None:
    data = packed.read_bytes()
    places = _places(data)
    structure = [name for name in places if name.startswith(("header", "central", "end"))]
    for position in (position for name in structure for position in places[name]):
        damaged = bytearray(data)
        damaged[position] ^= 0x20  # turns capital letters of names into small ones
        _refuse(bytes(damaged), f"byte {position}")


def test_spaces_of_the_manifest_count_too(packed: Path) -> None:
    data = packed.read_bytes()
    place = _places(data)[MANIFEST]
    at = data.index(b"\n", place[0])
    _refuse(data[:at] + b" " + data[at + 1 :], "a space for a line's end")


def test_a_bundle_cut_off_anywhere_is_refused(packed: Path) -> None:
    data = packed.read_bytes()
    generator = np.random.default_rng(1)
    for length in (0, 1, 21, 22, len(data) - 1, len(data) - 22, *generator.integers(0, len(data), 40)):
        _refuse(data[:length], f"{length} of {len(data)} bytes")


@pytest.mark.parametrize("extra", [b"\0", b"PK", b"x" * 100, b"PK\5\6" + b"\0" * 18])
def test_bytes_before_or_after_are_refused(packed: Path, extra: bytes) -> None:
    data = packed.read_bytes()
    with pytest.raises(BundleIntegrityError):
        parse_bundle(extra + data)
    # a second end record makes zipfile see an archive without entries
    with pytest.raises(BundleError):
        parse_bundle(data + extra)


def test_bytes_between_entries_are_refused(packed: Path) -> None:
    data = packed.read_bytes()
    places = _places(data)
    for name in (WEIGHTS, SELFTEST):
        gap = places[name].stop
        # offsets of later entries and of the directory are wrong then, unless they are corrected: both are refused
        with pytest.raises(BundleError):
            parse_bundle(data[:gap] + b"hidden" + data[gap:])


def test_a_comment_of_the_zip_is_refused(packed: Path, tmp_path: Path) -> None:
    path = tmp_path / "commented.specnet"
    path.write_bytes(packed.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"hello"
    with pytest.raises(BundleIntegrityError, match="not in the form in which bundles are written"):
        parse_bundle(path.read_bytes())


def test_two_bundles_glued_together_are_refused(packed: Path) -> None:
    data = packed.read_bytes()
    _refuse(data + data, "twice")
