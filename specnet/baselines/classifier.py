"""What a baseline is: a way of fitting classifiers, and the classifiers that come out.

Legend: n spectra, L points, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from specnet.errors import DatasetError

Spectra = NDArray[np.float32]
Setting = Mapping[str, float | int | str | bool]
"""Hyperparameters by name; plain values, because they are stored with the results."""

NEVER = float(np.finfo(np.float32).min)
"""Score of a class without a training spectrum: it is never answered, and stays finite."""


@dataclass(frozen=True)
class TrainingSpectra:
    """Preprocessed spectra to fit on.

    Parameters
    ----------
    spectra
        ``(n, L)``.
    labels
        ``(n,)`` from 0 to C - 1; classes may be missing.
    n_classes
        C.
    seed
        Of whatever the method draws at random.

    Raises
    ------
    DatasetError
        When shapes do not agree, a label is out of range, or all spectra are of one class.
    """

    spectra: Spectra
    labels: NDArray[np.int64]
    n_classes: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.spectra.ndim != 2 or self.labels.shape != (len(self.spectra),):
            raise DatasetError(
                f"got spectra {self.spectra.shape} and labels {self.labels.shape}, expected (n, L), (n,)"
            )
        present = self.present
        if len(present) < 2:
            raise DatasetError(f"all {len(self.labels)} training spectra are of one class, at least two are needed")
        if present[0] < 0 or present[-1] >= self.n_classes:
            raise DatasetError(f"labels are from {present[0]} to {present[-1]}, expected 0 to {self.n_classes - 1}")

    @property
    def present(self) -> NDArray[np.int64]:
        """Classes that have a spectrum, ascending."""
        return np.unique(self.labels)

    @property
    def codes(self) -> NDArray[np.int64]:
        """Labels as places in `present`, for methods that expect every class to occur."""
        return np.searchsorted(self.present, self.labels)

    @property
    def n_points(self) -> int:
        """Length L of a spectrum."""
        return int(self.spectra.shape[1])

    def indicator(self) -> NDArray[np.float64]:
        """One-hot labels ``(n, classes present)``."""
        return np.eye(len(self.present))[self.codes]


class Classifier(Protocol):
    """A fitted baseline."""

    @property
    def runtime(self) -> str:
        """What runs a single prediction when it is timed."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one prediction from a preprocessed spectrum.

        Additions and comparisons that stand alone count as one each. The docstring of each class derives its formula.
        """

    def scores(self, spectra: Spectra) -> NDArray[np.floating[Any]]:
        """Scores ``(n, C)`` of spectra ``(n, L)``; the highest is the answer."""

    def single(self) -> Callable[[Spectra], Any]:
        """Make one prediction from a spectrum ``(1, L)`` on one thread; this is what is timed."""


class Baseline(Protocol):
    """A way of fitting classifiers.

    ``linear`` says whether an answer is a linear function of the spectrum; ``selection_spectra`` how many training
    spectra are enough for choosing preprocessing and setting, 0 for all.
    """

    linear: ClassVar[bool]
    selection_spectra: ClassVar[int]

    def settings(self, data: TrainingSpectra) -> Sequence[Setting]:
        """Hyperparameters worth trying, the plainest first: of equally good ones the first is taken."""

    def fit(self, data: TrainingSpectra, settings: Sequence[Setting]) -> Iterator[tuple[Setting, Classifier]]:
        """Fit once for each setting, in any order; what settings share is computed once."""
