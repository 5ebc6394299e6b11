"""Bottlenecks of a run on disk: ``RUN/bottlenecks/<name>.npz`` with its ``.json``."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.codec import BottleneckInfo, LearnedCodec
from specnet.errors import CodecError, ModelError
from specnet.files import read_bounded, write_bytes, write_json
from specnet.training.run import WEIGHTS_FILE, Run

FOLDER = "bottlenecks"
MAX_DOCUMENT_BYTES = 1 << 20
MAX_ARRAY_BYTES = 64 << 20


@dataclass(frozen=True)
class StoredBottleneck:
    """A bottleneck with its name, its codec, and the recipe that made it."""

    name: str
    codec: LearnedCodec
    recipe: dict[str, Any]


def write_bottleneck(run: Run, stored: StoredBottleneck) -> Path:
    """Write a bottleneck beside its run, arrays first; an older one of this name is replaced."""
    folder = run.path / FOLDER
    info = msgspec.structs.replace(stored.codec.info, file=f"{FOLDER}/{stored.name}.npz")
    buffer = io.BytesIO()
    np.savez(buffer, **stored.codec.arrays())  # type: ignore[arg-type]
    write_bytes(folder / f"{stored.name}.npz", buffer.getvalue())
    return write_json(
        folder / f"{stored.name}.json",
        {
            "info": msgspec.to_builtins(info),
            "recipe": stored.recipe,
            "weights_sha256": weights_sha256(run),
            "arrays_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        },
    )


def read_bottlenecks(run: Run) -> list[StoredBottleneck]:
    """Read all bottlenecks of a run, by name.

    Raises
    ------
    ModelError
        When one is damaged, or was trained for other weights than the run has now.
    """
    paths = sorted((run.path / FOLDER).glob("*.json"))
    weights = weights_sha256(run) if paths else ""
    return [_read(run, path, weights) for path in paths]


def weights_sha256(run: Run) -> str:
    """Hash of a run's weights: a bottleneck fits no others."""
    return hashlib.sha256((run.path / WEIGHTS_FILE).read_bytes()).hexdigest()


def _read(run: Run, path: Path, weights: str) -> StoredBottleneck:
    document = read_bounded(path, MAX_DOCUMENT_BYTES, "bottleneck", ModelError)
    arrays = read_bounded(path.with_suffix(".npz"), MAX_ARRAY_BYTES, "arrays", ModelError)
    try:
        plain = json.loads(document)
        info = msgspec.convert(plain["info"], BottleneckInfo)
        recipe, trained_for, expected = dict(plain["recipe"]), plain["weights_sha256"], plain["arrays_sha256"]
        found = hashlib.sha256(arrays).hexdigest()
        if found != expected:
            raise ModelError(
                f"{path.with_suffix('.npz')} has hash {found[:12]}..., its document says {expected[:12]}..."
            )
        codec = LearnedCodec.from_arrays(info, _arrays(arrays))
    except (KeyError, TypeError, ValueError, CodecError) as error:
        raise ModelError(f"{path} is no bottleneck: {type(error).__name__} {error}") from error
    if trained_for != weights:
        raise ModelError(f"{path} was trained for other weights than {run.path} has; train it again")
    return StoredBottleneck(path.stem, codec, recipe)


def _arrays(data: bytes) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
