"""What can be deployed: every split point with every codec that fits there, and what a network then says.

Legend: n spectra, E exits (exit 0 is the linear one), K stages, s split point.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.calibration import CachedLogits
from specnet.calibration.exit_table import ExitTable
from specnet.calibration.recipe import HeldOutMerit, Recipe
from specnet.codec import CODECS, RAW, Codec, StateLayout
from specnet.datasets import Holdout
from specnet.errors import ConfigurationError, ModelError
from specnet.evaluation.requests import request_sizes
from specnet.exits import ExitPolicy, route
from specnet.files import write_bytes
from specnet.nn import SpecNet
from specnet.training.bottleneck_files import FOLDER, read_bottlenecks, weights_sha256
from specnet.training.coded import judge_coded
from specnet.training.data import file_sha256
from specnet.training.run import CachedRun, Run

PLAIN = ("int8",)
"""Codecs that learn nothing and are tried at every split point."""
CACHE = "tuning"
MAX_CACHE_BYTES = 1 << 30
LOCAL = ""
"""Codec of the option that sends nothing."""


@dataclass(frozen=True)
class Placed:
    """A split point with a codec, and what comes out for n spectra.

    Parameters
    ----------
    split
        The device runs segments 0 to this; K means that nothing is ever sent.
    codec
        Name; empty where nothing is sent.
    cached
        Logits of all exits; those behind the split are of decoded features.
    n_bytes
        ``(n,)`` payload of the request for each spectrum; zeros where nothing is sent.
    table
        Scores and correctness at every exit, the running state rounded on its way.
    """

    split: int
    codec: str
    cached: CachedLogits
    n_bytes: NDArray[np.int64]
    table: ExitTable

    @property
    def n_stages(self) -> int:
        """Number of stages K."""
        return self.table.n_exits - 1

    @property
    def sends(self) -> bool:
        """Whether anything is ever sent."""
        return self.split < self.n_stages


@dataclass(frozen=True)
class Option(Placed):
    """The same on calibration spectra, with a cross-fitted estimate `merit` of what leaving at each exit is worth."""

    merit: HeldOutMerit


def place(
    run: Run,
    policy: ExitPolicy,
    held: CachedRun,
    raw: NDArray[Any],
    split: int,
    codec: str,
    sequences: NDArray[np.int64] | None = None,
) -> Placed:
    """Judge one split point with one codec on any spectra.

    Parameters
    ----------
    run, policy
        Calibrated, with its bottlenecks; temperatures, combiner and score.
    held
        What the run says of these spectra.
    raw
        ``(n, n_points)`` the spectra as the spectrometer gives them.
    split, codec
        As in `Placed`.
    sequences
        ``(n,)`` numbers that the spectra will have, as in `specnet.evaluation.requests.request_sizes`.

    Raises
    ------
    ConfigurationError
        When the run has no such split point or codec.
    """
    whole = held.logits
    n_stages = whole.n_exits - 1
    if split == n_stages and not codec:
        return Placed(split, codec, whole, np.zeros(whole.n_spectra, np.int64), ExitTable.of(whole, policy))
    known = {(at, name): one for at, name, one in _codecs(run, n_stages)}
    if (split, codec) not in known:
        names = ", ".join(f"{at}:{name}" for at, name in known)
        raise ConfigurationError(f"run {run.path} has no codec {codec!r} at split {split}, it has {names}")
    found = known[split, codec]
    layout = StateLayout(policy.state_blocks(len(run.classes)))
    if found is None:
        sizes = request_sizes(policy, layout, whole, split, codec, raw=raw, sequences=sequences)
        return Placed(split, codec, whole, sizes, _received(policy, layout, whole, split))
    coded = judge_coded(run, split, found, whole, held.spectra)
    sizes = request_sizes(policy, layout, whole, split, codec, feature_bytes=coded.n_bytes, sequences=sequences)
    return Placed(split, codec, coded.logits, sizes, _received(policy, layout, coded.logits, split))


def list_options(
    run: Run,
    data: Path | str,
    policy: ExitPolicy,
    held: CachedRun,
    *,
    advance: Callable[[str], None] = lambda text: None,
) -> list[Option]:
    """Judge all options of a run on its calibration spectra; what was judged before is read from the run's folder.

    Parameters
    ----------
    run
        Calibrated, with its bottlenecks.
    data
        The file that it was trained on.
    policy
        Temperatures, combiner and score of the calibration.
    held
        What the run says of the calibration part of the file.
    advance
        Called with the name of each option before it is judged.

    Raises
    ------
    ConfigurationError
        When the run holds a baseline network.
    ModelError
        When a bottleneck is damaged.
    """
    network = run.network
    if not isinstance(network, SpecNet):
        raise ConfigurationError(f"{type(network).__name__} has no split points, expected a SpecNet")
    n_stages = network.config.n_stages
    layout = StateLayout(policy.state_blocks(len(run.classes)))
    whole = held.logits
    raw, _, _ = run.read_part(data, Holdout.CALIBRATION)
    known = _Known(run, file_sha256(data))
    recipe = Recipe(policy.combiner, policy.score, policy.additive, bool(policy.biases))
    # where features arrive as they are the held-out estimate is that of the whole network
    whole_merit = HeldOutMerit.of(whole, recipe)
    nothing = np.zeros(whole.n_spectra, dtype=np.int64)
    options = [Option(n_stages, LOCAL, whole, nothing, ExitTable.of(whole, policy), whole_merit)]
    for split, name, codec in _codecs(run, n_stages):
        advance(f"split {split}, {name}")
        if codec is None:
            logits, sizes = whole.logits, request_sizes(policy, layout, whole, 0, RAW, raw=raw)
        else:
            logits, features = known.coded(split, name, codec, held)
            sizes = request_sizes(policy, layout, whole, split, name, feature_bytes=features)
        cached = replace(whole, logits=logits)
        merit = whole_merit if codec is None else HeldOutMerit.of(cached, recipe)
        options.append(Option(split, name, cached, sizes, _received(policy, layout, cached, split), merit))
    return options


def _codecs(run: Run, n_stages: int) -> list[tuple[int, str, Codec | None]]:
    learned = read_bottlenecks(run)
    found: list[tuple[int, str, Codec | None]] = [(0, RAW, None)]
    for split in range(1, n_stages):
        found += [(split, name, CODECS[name]) for name in PLAIN]
        found += [(split, one.name, one.codec) for one in learned if one.codec.info.split == split]
    return found


def _received(policy: ExitPolicy, layout: StateLayout, cached: CachedLogits, split: int) -> ExitTable:
    def rounded(states: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.stack([layout.decode(layout.encode(state)) for state in states])

    routing = route(policy, cached.logits, split=split, hand_over=rounded)
    return ExitTable(routing.all_scores, routing.all_probabilities.argmax(axis=-1) == cached.labels, cached.macs)


@dataclass(frozen=True)
class _Known:
    """Logits behind codecs, kept in the run's folder by a hash of all that they follow from."""

    run: Run
    data_sha256: str

    def coded(
        self, split: int, name: str, codec: Codec, held: CachedRun
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Logits ``(E, n, C)`` of all exits and bytes ``(n,)`` of the features."""
        path = self.run.path / CACHE / f"{split}-{name}-{self._mark(split, name)}.npz"
        whole = held.logits
        if path.exists():
            behind, sizes = _read(path)
            if behind.shape == whole.logits[split + 1 :].shape and sizes.shape == whole.labels.shape:
                return np.concatenate([whole.logits[: split + 1], behind]), sizes
        judged = judge_coded(self.run, split, codec, whole, held.spectra)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, behind=judged.logits.logits[split + 1 :], sizes=judged.n_bytes)
        write_bytes(path, buffer.getvalue())
        return judged.logits.logits, judged.n_bytes

    def _mark(self, split: int, name: str) -> str:
        arrays = self.run.path / FOLDER / f"{name}.npz"
        codec = hashlib.sha256(arrays.read_bytes()).hexdigest() if arrays.exists() else ""
        facts = [weights_sha256(self.run), self.data_sha256, self.run.config.to_dict(), split, name, codec]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _read(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    if path.stat().st_size > MAX_CACHE_BYTES:
        raise ModelError(f"{path} has {path.stat().st_size} bytes, at most {MAX_CACHE_BYTES} are read")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["behind"], arrays["sizes"]
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is damaged, remove it to have it made again: {error}") from error
