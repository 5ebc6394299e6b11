"""Where the bands of known substances are, and which points of an axis belong to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.errors import DatasetError
from specnet.spectra import SpectralAxis

WEAKEST = 0.05
"""Bands below this share of the strongest one do not count as peak regions."""


@dataclass(frozen=True, eq=False)
class SubstanceBands:
    """True bands of the classes, one after another.

    Parameters
    ----------
    label
        ``(n_bands,)`` index of the class.
    position, width
        ``(n_bands,)`` centre and full width at half maximum, in the unit of the axis.
    height
        ``(n_bands,)`` relative to the strongest band of the class, above 0, at most 1.

    Raises
    ------
    DatasetError
        When lengths or values do not agree.
    """

    label: NDArray[np.int64]
    position: NDArray[np.float64]
    height: NDArray[np.float64]
    width: NDArray[np.float64]

    def __post_init__(self) -> None:
        label = np.asarray(self.label)
        if label.ndim != 1 or (label.dtype.kind not in "iu" and label.size):
            raise DatasetError(f"labels of bands are integers (n_bands,), got {label.dtype} of shape {label.shape}")
        object.__setattr__(self, "label", label.astype(np.int64))
        for name in ("position", "height", "width"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.shape != label.shape:
                raise DatasetError(f"{name} of bands has shape {values.shape}, expected {label.shape} as labels have")
            if not np.isfinite(values).all():
                raise DatasetError(f"{name} of bands has values that are not finite")
            object.__setattr__(self, name, values)
        if label.size and label.min() < 0:
            raise DatasetError(f"labels of bands are at least 0, got {label.min()}")
        if not ((self.height > 0).all() and (self.height <= 1).all() and (self.width > 0).all()):
            raise DatasetError("bands have a positive width and a height above 0 and at most 1")

    def regions(
        self, axis: SpectralAxis, n_classes: int, *, widths: float = 1.0, weakest: float = WEAKEST
    ) -> NDArray[np.bool_]:
        """Points of the axis that are on a band of each class.

        Parameters
        ----------
        axis
            The axis asked about, in the unit of the bands; any number of points.
        n_classes
            Rows of the answer.
        widths
            A point is on a band when it is within this many FWHM of its centre.
        weakest
            Bands lower than this do not count.

        Returns
        -------
        ndarray
            ``(n_classes, n_points)``.

        Raises
        ------
        DatasetError
            When there are bands of more classes.
        """
        if self.label.size and self.label.max() >= n_classes:
            raise DatasetError(f"bands are of {self.label.max() + 1} classes, expected at most {n_classes}")
        regions = np.zeros((n_classes, axis.n_points), dtype=np.bool_)
        strong = self.height >= weakest
        values: NDArray[Any] = axis.values
        first = np.searchsorted(values, self.position - widths * self.width, side="left")
        last = np.searchsorted(values, self.position + widths * self.width, side="right")
        for label, start, stop in zip(self.label[strong], first[strong], last[strong], strict=True):
            regions[label, start:stop] = True
        return regions
