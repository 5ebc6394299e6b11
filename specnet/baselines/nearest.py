"""Library search: the answer is the class of the most similar training spectrum, by the cosine of the angle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from specnet.baselines.classifier import NEVER, Setting, Spectra, TrainingSpectra
from specnet.baselines.registry import register_baseline
from specnet.baselines.timing import onnx_call
from specnet.export.graph import GraphBuilder


@dataclass(frozen=True)
class LibrarySearch:
    """Cosine similarity with every spectrum of a library.

    One MAC a point of each of the m spectra of the library, m L, and m comparisons. The query's own length divides all
    similarities alike, so an answer does not need it.

    Parameters
    ----------
    library
        ``(m, L)``, each of unit length.
    labels
        ``(m,)``.
    n_classes
        C.
    """

    library: Spectra
    labels: NDArray[np.int64]
    n_classes: int
    runtime: str = "ONNX Runtime"

    @property
    def macs(self) -> int:
        """One MAC a point of the library and one comparison a spectrum of it."""
        return int(self.library.size) + len(self.library)

    def scores(self, spectra: Spectra) -> NDArray[np.floating[Any]]:
        """Highest similarity ``(n, C)`` in each class."""
        similarity = unit_length(spectra) @ self.library.T
        scores = np.full((self.n_classes, len(spectra)), NEVER, np.float32)
        np.maximum.at(scores, self.labels, similarity.T)
        return scores.T

    def onnx(self) -> bytes:
        """Write the graph from ``features (n, L, 1)`` to ``label (n,)``."""
        graph = GraphBuilder("nearest")
        rows = graph.reshape("features", [0, self.library.shape[1]])
        similarity = graph.node("MatMul", rows, graph.constant(self.library.T))
        best = graph.node("ArgMax", similarity, axis=1, keepdims=0)
        graph.node("Gather", graph.constant(self.labels, np.int64), best, output="label")
        return graph.build((self.library.shape[1], 1), {"label": (TensorProto.INT64, [])})

    def single(self) -> Callable[[Spectra], Any]:
        """Run the ONNX graph."""
        return onnx_call(self.onnx())


def unit_length(spectra: Spectra) -> Spectra:
    """Scale spectra to length 1; one of zeros stays."""
    norm = np.linalg.norm(spectra, axis=1, keepdims=True)
    return np.asarray(spectra / np.where(norm > 0, norm, 1), np.float32)


@register_baseline("nearest")
class Nearest:
    """The whole training part as library."""

    linear: ClassVar[bool] = False
    selection_spectra: ClassVar[int] = 0

    def settings(self, data: TrainingSpectra) -> Sequence[Setting]:
        """Nothing to choose."""
        return [{}]

    def fit(self, data: TrainingSpectra, settings: Sequence[Setting]) -> Iterator[tuple[Setting, LibrarySearch]]:
        """Store the spectra."""
        for setting in settings:
            yield setting, LibrarySearch(unit_length(data.spectra), data.labels, data.n_classes)
