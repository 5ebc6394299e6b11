"""Which points of an axis belong to bands of the simulated substances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from specnet.datasets.bands import WEAKEST
from specnet.datasets.reading import SpectraFile
from specnet.errors import AxisError, DatasetError
from specnet.spectra import SpectralAxis


def peak_regions(
    path: Path | str, *, axis: SpectralAxis | None = None, widths: float = 1.0, weakest: float = WEAKEST
) -> NDArray[np.bool_]:
    """Points that are on a true band of each class of a simulated file.

    Parameters
    ----------
    path
        The HDF5 file.
    axis
        The axis asked about, e.g. that of a model; the file's own when None.
    widths
        A point is on a band when it is within this many FWHM of its true centre. The instrument's displacement and
        broadening are not in it.
    weakest
        Bands below this share of the strongest one of the class do not count.

    Returns
    -------
    ndarray
        ``(n_classes, n_points)``; take the rows of labels.

    Raises
    ------
    DatasetError
        When the file cannot be read or does not know the bands of its classes.
    AxisError
        When `axis` measures something else.
    """
    with SpectraFile(path) as file:
        if file.bands is None:
            raise DatasetError(f"{path} has no group 'substances' with the true bands of its classes")
        wanted = file.axis if axis is None else axis
        if (wanted.quantity, wanted.unit) != (file.axis.quantity, file.axis.unit):
            raise AxisError(f"bands are positions on {file.axis.label}, got an axis of {wanted.label}")
        return file.bands.regions(wanted, len(file.class_names), widths=widths, weakest=weakest)
