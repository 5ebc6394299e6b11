"""What has arrived is believed only where it proves itself: any damage costs pieces, never correctness."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.models.partial import FOLDER, PartialFile
from specnet.errors import BundleIntegrityError, ModelStoreError

DATA = np.random.default_rng(1).bytes(5000)
DIGEST = hashlib.sha256(DATA).hexdigest()


def fill(root: Path, pieces: list[int]) -> None:
    with PartialFile(root, DIGEST, len(DATA)) as partial:
        for piece in pieces:
            partial.append(DATA[partial.received :][:piece])


def test_pieces_of_any_length_make_the_file(tmp_path: Path) -> None:
    fill(tmp_path, [1, 700])
    fill(tmp_path, [299])
    with PartialFile(tmp_path, DIGEST, len(DATA)) as partial:
        assert partial.received == 1000
        with pytest.raises(BundleIntegrityError):
            partial.finish()
    fill(tmp_path, [3000, 2000])
    with PartialFile(tmp_path, DIGEST, len(DATA)) as partial:
        assert partial.finish().read_bytes() == DATA


def test_too_much_is_not_taken(tmp_path: Path) -> None:
    with PartialFile(tmp_path, DIGEST, len(DATA)) as partial:
        for wrong in (b"", DATA + b"x"):
            with pytest.raises(ModelStoreError, match="a piece of"):
                partial.append(wrong)


def test_beginnings_of_other_files_make_room(tmp_path: Path) -> None:
    fill(tmp_path, [700])
    with PartialFile(tmp_path, "f" * 64, 10) as other:
        other.append(b"12345")
        assert {path.name[:64] for path in (tmp_path / FOLDER).iterdir()} == {"f" * 64}
    with PartialFile(tmp_path, DIGEST, len(DATA)) as partial:
        assert partial.received == 0


@settings(max_examples=150, deadline=None, database=None)
@given(
    pieces=st.lists(st.integers(1, 900), max_size=5),
    which=st.sampled_from(["part", "journal"]),
    position=st.integers(0, 5000),
    change=st.one_of(st.none(), st.binary(min_size=1, max_size=64)),
)
def test_after_any_damage_what_is_kept_is_a_beginning(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[int], which: str, position: int, change: bytes | None
) -> None:
    root = tmp_path_factory.mktemp("partial")
    fill(root, pieces)
    path = root / FOLDER / f"{DIGEST}.{which}"
    content = bytearray(path.read_bytes())
    if change is None:
        del content[position:]
    else:
        # also beyond the end, as a file system may leave zeros there
        content.extend(bytes(max(0, position - len(content))))
        content[position : position + len(change)] = change
    path.write_bytes(content)
    with PartialFile(root, DIGEST, len(DATA)) as partial:
        assert partial.received <= sum(pieces)
        assert partial.path.read_bytes() == DATA[: partial.received]
        while partial.received < partial.size:
            partial.append(DATA[partial.received :][:1000])
        assert partial.finish().read_bytes() == DATA
