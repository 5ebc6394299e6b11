"""What an offload takes and costs with every way of sending it: rate against accuracy, on spectra that nothing saw.

Legend: n spectra, L points, E exits, C classes, s split point.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from specnet.calibration import CachedLogits, read_calibration
from specnet.codec import (
    CODECS,
    RAW,
    Codec,
    EncodedFeatures,
    FrequencyTables,
    StateLayout,
    encode_features,
    pack_spectrum,
)
from specnet.datasets import Holdout
from specnet.errors import ConfigurationError
from specnet.evaluation.requests import example_request, states_at
from specnet.exits import ExitPolicy, route
from specnet.nn import SpecNet
from specnet.training.bottleneck_files import read_bottlenecks
from specnet.training.coded import judge_coded
from specnet.training.run import BATCH, CachedRun, Run

COMPONENTS = (2, 4, 8, 16, 32, 64)
COMPONENT_BITS = 8
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class CodecRow:
    """One way of sending, judged on test spectra.

    Parameters
    ----------
    kind
        ``bottleneck``, ``features`` (as they are), ``components`` (of a principal component analysis of the spectrum)
        or ``spectrum``.
    name, split
        Of the codec; split point.
    mean_bytes, p95_bytes, largest_bytes
        Of a whole request as it goes into an MQTT message, exit state and all.
    accuracy
        Share of spectra that the deepest answer has right when every spectrum is sent.
    whole_accuracy
        The same without any codec.
    offload_share, bytes_per_spectrum, routed_accuracy
        At the run's operating point: share of spectra that are sent, bytes a spectrum with those answered on the
        device counted as none, and accuracy.
    """

    kind: str
    name: str
    split: int
    mean_bytes: float
    p95_bytes: float
    largest_bytes: int
    accuracy: float
    whole_accuracy: float
    offload_share: float
    bytes_per_spectrum: float
    routed_accuracy: float

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON and CSV."""
        return asdict(self)


def compare_codecs(run: Run, data: Path | str, *, advance: Callable[[str], None] = lambda name: None) -> list[CodecRow]:
    """Judge every bottleneck of a run, plain features, principal components and the raw spectrum on the test part.

    Parameters
    ----------
    run
        Calibrated, with bottlenecks if there are any.
    data
        The file that it was trained on.
    advance
        Called with the name of each way before it is judged.

    Raises
    ------
    ConfigurationError
        When the run holds a baseline network.
    SpecnetError
        When run and file do not fit.
    """
    if not isinstance(run.network, SpecNet):
        raise ConfigurationError(f"{type(run.network).__name__} has no split points, expected a SpecNet")
    judge = _Judge.of(run, data)
    rows = []
    for kind, name, split, way in _ways(run, data, judge):
        advance(name)
        rows.append(judge.row(kind, name, split, *way()))
    return rows


_Way = Callable[[], tuple[CachedLogits, list[EncodedFeatures]]]


def _ways(run: Run, data: Path | str, judge: _Judge) -> Iterator[tuple[str, str, int, _Way]]:
    yield "spectrum", RAW, 0, lambda: (judge.test.logits, [_packed(pack_spectrum(one)) for one in judge.raw])
    spectra = run.cache(data, Holdout.TRAIN).spectra
    for n in COMPONENTS:
        if n <= min(spectra.shape):
            yield "components", f"pca-{n}", 0, _Components(run, judge, spectra, n)
    for split in range(1, run.network.n_exits - 1):
        for name in ("float16", "int8"):
            yield "features", name, split, _Features(run, judge, split, name)
    for stored in read_bottlenecks(run):
        yield "bottleneck", stored.name, stored.codec.info.split, _Bottleneck(run, judge, stored.name, stored.codec)


@dataclass(frozen=True)
class _Judge:
    """Test spectra, what the network says of them, and what decides."""

    policy: ExitPolicy
    test: CachedRun
    raw: NDArray[Any]
    layout: StateLayout

    @classmethod
    def of(cls, run: Run, data: Path | str) -> _Judge:
        policy = read_calibration(run.calibration_path).policy
        raw, labels, axis = run.read_part(data, Holdout.TEST)
        layout = StateLayout(policy.state_blocks(len(run.classes)))
        return cls(policy, run.judge(raw, labels, axis), raw, layout)

    def row(self, kind: str, name: str, split: int, coded: CachedLogits, features: list[EncodedFeatures]) -> CodecRow:
        states = states_at(self.policy, self.test.logits, split)
        packed = [self.layout.encode(state) for state in states]
        rounded = np.stack([self.layout.decode(one) for one in packed])
        routing = route(self.policy, coded.logits, split=split, hand_over=lambda state: rounded)
        whole = route(self.policy, self.test.logits.logits)
        labels = coded.labels
        sizes = np.array(
            [len(example_request(split, name, one.data, state)) for one, state in zip(features, packed, strict=True)]
        )
        sent = whole.exit_index > split  # up to the split both decide alike
        return CodecRow(
            kind=kind,
            name=name,
            split=split,
            mean_bytes=float(sizes.mean()),
            p95_bytes=float(np.quantile(sizes, 0.95)),
            largest_bytes=int(sizes.max()),
            accuracy=float((routing.all_probabilities[-1].argmax(axis=1) == labels).mean()),
            whole_accuracy=float((whole.all_probabilities[-1].argmax(axis=1) == labels).mean()),
            offload_share=float(sent.mean()),
            bytes_per_spectrum=float((sizes * sent).mean()),
            routed_accuracy=float((routing.probabilities.argmax(axis=1) == labels).mean()),
        )


@dataclass(frozen=True)
class _Features:
    """Features as they are, in a codec that learns nothing."""

    run: Run
    judge: _Judge
    split: int
    name: str

    def __call__(self) -> tuple[CachedLogits, list[EncodedFeatures]]:
        return _through(self.run, self.judge, self.split, self.name, CODECS[self.name])


@dataclass(frozen=True)
class _Bottleneck:
    """Features through a learned codec."""

    run: Run
    judge: _Judge
    name: str
    codec: Any

    def __call__(self) -> tuple[CachedLogits, list[EncodedFeatures]]:
        return _through(self.run, self.judge, self.codec.info.split, self.name, self.codec)


def _through(
    run: Run, judge: _Judge, split: int, name: str, codec: Codec
) -> tuple[CachedLogits, list[EncodedFeatures]]:
    sent: list[EncodedFeatures] = []

    def send(features: Float32, active: NDArray[np.bool_] | None) -> EncodedFeatures:
        sent.append(encode_features(name, features, {name: codec}, active=active))
        return sent[-1]

    coded = judge_coded(run, split, codec, judge.test.logits, judge.test.spectra, send=send)
    return coded.logits, sent


@dataclass(frozen=True)
class _Components:
    """Principal components of the preprocessed spectrum, quantised, entropy-coded by tables of the training spectra.

    What one would do without a network: the strongest linear dimension reduction. The gateway puts the spectrum
    together again and runs all of the network.
    """

    run: Run
    judge: _Judge
    training: Float32
    n: int

    def __call__(self) -> tuple[CachedLogits, list[EncodedFeatures]]:
        from sklearn.decomposition import PCA

        levels = (1 << (COMPONENT_BITS - 1)) - 1
        pca = PCA(self.n, svd_solver="randomized", random_state=0).fit(self.training)
        known, wanted = pca.transform(self.training), pca.transform(self.judge.test.spectra)
        # one step for all: what varies less needs fewer levels, and rounding errors add up alike in the spectrum
        step = max(float(np.abs(known).max()) / levels, 1e-30)
        counted = np.clip(np.rint(known / step), -levels, levels).astype(np.int64) + levels
        symbols = np.clip(np.rint(wanted / step), -levels, levels).astype(np.int64)
        counts = np.stack([np.bincount(column, minlength=2 * levels + 1) for column in counted.T])
        # one count spread over a component's neighbours: the tables are as wide as the spectra need
        tables = FrequencyTables.from_counts(16 * counts + _neighbours(counts))
        sent = [_packed(tables.encode(row + levels, np.arange(self.n)), f"pca-{self.n}") for row in symbols]
        restored = pca.inverse_transform(symbols * step).astype(np.float32)
        with torch.no_grad():
            parts = [
                torch.stack(self.run.network(torch.from_numpy(restored[i : i + BATCH])[:, None]).logits).numpy()
                for i in range(0, len(restored), BATCH)
            ]
        whole = self.judge.test.logits
        # exit 0 ran on the device, on the spectrum itself
        logits = np.concatenate([whole.logits[:1], np.concatenate(parts, axis=1)[1:]])
        return replace(whole, logits=logits), sent


def _neighbours(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    width = 9
    kernel = np.ones(width, dtype=np.int64)
    return np.stack([np.convolve(row, kernel, mode="same") for row in counts])


def _packed(data: bytes, name: str = RAW) -> EncodedFeatures:
    return EncodedFeatures(name, None, data, zlib.crc32(data))
