"""Files are whole or not there at all."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from specnet.errors import ModelError
from specnet.files import read_bounded, write_atomically, write_bytes, write_json


def test_a_file_and_its_folders_are_made(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "a" / "b" / "c.bin", b"content")
    assert path.read_bytes() == b"content"
    assert [entry.name for entry in path.parent.iterdir()] == ["c.bin"]


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "file", b"old")

    def fail(temporary: Path) -> None:
        temporary.write_bytes(b"half of the ne")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_an_interrupted_write_leaves_nothing_either(tmp_path: Path) -> None:
    def interrupt(temporary: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_never_sees_a_half_written_file(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "file", b"old")
    seen = []

    def slowly(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(b"new ")
            file.flush()
            seen.append(path.read_bytes())
            file.write(b"content")

    write_atomically(path, slowly)
    assert (seen, path.read_bytes()) == ([b"old"], b"new content")


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        path = write_bytes(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_json_has_no_nan(tmp_path: Path) -> None:
    path = write_json(tmp_path / "file.json", {"a": [1, 2.5]})
    assert json.loads(path.read_text()) == {"a": [1, 2.5]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": [1, 2.5]}


def test_at_most_so_many_bytes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "some.bin"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5, "note", ModelError) == b"12345"
    with pytest.raises(ModelError, match=r"note .*some\.bin has 5 bytes, at most 4 are read"):
        read_bounded(path, 4, "note", ModelError)


def test_a_giant_is_refused_without_reading_it_and_so_is_what_has_no_end(tmp_path: Path) -> None:
    path = tmp_path / "giant"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelError, match=r"note .*giant has 1099511627776 bytes, at most 10 are read"):
        read_bounded(path, 10, "note", ModelError)
    with pytest.raises(ModelError, match="note /dev/zero has 11 bytes, at most 10 are read"):
        read_bounded("/dev/zero", 10, "note", ModelError)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read note .*: Is a directory"):
        read_bounded(tmp_path, 10, "note", ModelError)


def test_a_secret_is_private_while_it_is_written_and_afterwards(tmp_path: Path) -> None:
    seen = []

    def write(temporary: Path) -> None:
        temporary.write_bytes(b"secret")
        seen.append(stat.S_IMODE(temporary.stat().st_mode))

    path = write_atomically(tmp_path / "key", write, mode=0o600)
    assert [*seen, stat.S_IMODE(path.stat().st_mode)] == [0o600, 0o600]


def test_an_interruption_right_after_the_temporary_file_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def interrupted(path: Any, flags: int, *mode: int) -> int:
        descriptor = real(path, flags, *mode)
        if flags & os.O_CREAT:
            os.close(descriptor)
            raise KeyboardInterrupt
        return descriptor

    monkeypatch.setattr(os, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "file", b"content")
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())
