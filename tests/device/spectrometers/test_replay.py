from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

import numpy as np
import pytest

from device.spectrometers import replay
from device.spectrometers.replay import load_replay
from specnet.errors import ConfigurationError, DatasetError


def save(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)
    return path


def test_spectra_keep_the_order_of_the_file(tmp_path: Path) -> None:
    intensity = np.arange(40, dtype=np.uint16).reshape(10, 4)
    holdout = np.array([0, 2, 1, 2, 0, 2, 1, 2, 0, 2])
    path = save(tmp_path / "s.npz", intensity=intensity, holdout=holdout)
    np.testing.assert_array_equal(load_replay(path), intensity)
    np.testing.assert_array_equal(load_replay(path, split="test", limit=3), intensity[[1, 3, 5]])


def test_floats_are_rounded_to_counts(tmp_path: Path) -> None:
    path = save(tmp_path / "s.npz", intensity=np.array([[100.2, 200.7], [300.0, 400.4]]))
    np.testing.assert_array_equal(load_replay(path), [[100, 201], [300, 400]])


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"other": np.ones((2, 3))}, "expected 'intensity'"),
        ({"intensity": np.ones(3)}, "shape"),
        ({"intensity": np.ones((0, 3))}, "shape"),
        ({"intensity": np.array([[1.0, np.nan]])}, "finite"),
        ({"intensity": np.array([[-1.0, 5.0]])}, "from 0"),
        ({"intensity": np.array([[0.1, 0.7]])}, "too small"),
        ({"intensity": np.array([["a", "b"]])}, "type"),
        ({"intensity": np.array([[1, None]], dtype=object)}, "no usable"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, arrays: dict[str, object], complaint: str) -> None:
    with pytest.raises(DatasetError, match=complaint):
        load_replay(save(tmp_path / "s.npz", **arrays))


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "MAX_REPLAY_BYTES", 1 << 20)
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("intensity.npy", bytes(2 << 20))
    assert path.stat().st_size < 10_000
    with pytest.raises(DatasetError, match="unpacks to"):
        load_replay(path)


def test_mistakes_of_the_user_are_named(tmp_path: Path) -> None:
    path = save(tmp_path / "s.npz", intensity=np.full((2, 3), 7))
    text = tmp_path / "text.npz"
    text.write_text("no zip")
    with pytest.raises(DatasetError, match="no split"):
        load_replay(path, split="test")
    with pytest.raises(ConfigurationError, match="unknown split"):
        load_replay(path, split="tset")
    with pytest.raises(ConfigurationError, match="limit"):
        load_replay(path, limit=-1)
    with pytest.raises(DatasetError, match="no file"):
        load_replay(tmp_path / "missing.npz")
    with pytest.raises(DatasetError, match="no usable"):
        load_replay(text)


@pytest.mark.skipif(importlib.util.find_spec("h5py") is not None, reason="h5py is installed")
def test_without_the_extra_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ConfigurationError, match=r"specnet-edge\[train\]"):
        load_replay(path)


@pytest.mark.skipif(importlib.util.find_spec("h5py") is None, reason="h5py is not installed")
def test_spectra_of_a_real_file_are_replayed(tmp_path: Path) -> None:
    from specnet.datasets import SpectraTable, write_spectra
    from specnet.spectra import SpectralAxis

    intensity = np.arange(12, dtype=np.uint16).reshape(3, 4) + 1
    table = SpectraTable(
        intensity,
        SpectralAxis.channels(4),
        labels=np.array([0, 1, 0]),
        class_names=("a", "b"),
        holdout=np.array([0, 2, 2], dtype=np.int8),
    )
    path = write_spectra(tmp_path / "s.h5", table)
    np.testing.assert_array_equal(load_replay(path, split="test"), intensity[1:])
