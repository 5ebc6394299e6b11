"""Support vector machine with a Gaussian kernel (Cortes and Vapnik 1995), one against one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from specnet.baselines.classifier import NEVER, Setting, Spectra, TrainingSpectra
from specnet.baselines.registry import register_baseline

PENALTIES = (1.0, 10.0, 100.0)
WIDTHS = (0.1, 1.0, 10.0)
"""Gamma as multiples of one over the number of points times their variance."""


@dataclass(frozen=True)
class SupportVectors:
    """A fitted machine.

    The distance to each of s support vectors takes one MAC a point, s L. A support vector has a coefficient in each of
    the machines between its class and the P - 1 others that are present: s (P - 1) MACs. Exponentials are not counted.
    """

    model: SVC
    present: NDArray[np.int64]
    n_classes: int
    runtime: str = "scikit-learn"

    @property
    def macs(self) -> int:
        """Distances to the support vectors and their weighted sums."""
        n_vectors, n_points = self.model.support_vectors_.shape
        return int(n_vectors * (n_points + len(self.present) - 1))

    def scores(self, spectra: Spectra) -> NDArray[np.floating[Any]]:
        """Votes of the machines ``(n, C)``, ties broken by their distances from the borders."""
        votes = self.model.decision_function(spectra)
        if votes.ndim == 1:  # a single machine for two classes
            votes = np.stack([-votes, votes], axis=1)
        scores = np.full((len(spectra), self.n_classes), NEVER)
        scores[:, self.present] = votes
        return scores

    def single(self) -> Callable[[Spectra], Any]:
        """Ask scikit-learn."""
        return self.model.predict  # type: ignore[no-any-return]


@register_baseline("svm_rbf")
class SvmRbf:
    """Support vector machine; penalty and kernel width are chosen."""

    linear: ClassVar[bool] = False
    selection_spectra: ClassVar[int] = 2000

    def settings(self, data: TrainingSpectra) -> Sequence[Setting]:
        """Smooth borders first."""
        return [{"penalty": penalty, "width": width} for width in WIDTHS for penalty in PENALTIES]

    def fit(self, data: TrainingSpectra, settings: Sequence[Setting]) -> Iterator[tuple[Setting, SupportVectors]]:
        """Fit each."""
        unit = 1 / (data.n_points * (float(data.spectra.var(dtype=np.float64)) or 1.0))
        for setting in settings:
            model = SVC(C=float(setting["penalty"]), gamma=float(setting["width"]) * unit, cache_size=500)
            model.fit(data.spectra, data.codes)
            yield setting, SupportVectors(model, data.present, data.n_classes)
