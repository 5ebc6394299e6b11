"""Which spectra of a file a training may see."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from specnet.datasets import Holdout, SpectraFile, SpectraTable, ensure_holdout, fold_holdout
from specnet.datasets.splits import describe_split
from specnet.errors import DatasetError

HASH_BLOCK = 1 << 20


@dataclass(frozen=True)
class Split:
    """The split of a file.

    Parameters
    ----------
    holdout
        ``(n_spectra,)`` of `Holdout`.
    labels
        ``(n_spectra,)``; -1 where unlabelled.
    groups
        ``(n_spectra,)`` numbers of the groups that are kept on one side; None when there are none.
    split_by
        What is kept apart, see `specnet.datasets.splits.describe_split`, or ``"spectrum"`` when every spectrum stands
        for itself.
    origin
        Where the split comes from, in a sentence.
    own_calibration
        Whether the calibration part is the file's own. Who set it apart knew what a new spectrum is, which folds made
        here inside the training part cannot know where no groups are given.
    """

    holdout: NDArray[np.int8]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None
    split_by: str
    origin: str
    own_calibration: bool = False

    def rows(self, holdout: Holdout) -> NDArray[np.int64]:
        """Labelled spectra of one part."""
        rows = np.flatnonzero((self.holdout == holdout) & (self.labels >= 0))
        if not len(rows):
            raise DatasetError(f"the split has no labelled {holdout.name.lower()} spectra")
        return rows


def split_file(path: Path | str, seed: int, fold: int | None = None) -> Split:
    """Find or make the split of a file, without reading its intensities.

    Parameters
    ----------
    path
        The HDF5 file.
    seed
        Of a split that has to be made.
    fold
        Test on this fold of five instead; a fifth of the rest is for calibration. The folds are the file's own where it
        has them, so that results of several seeds are on the same folds.

    Raises
    ------
    DatasetError
        Without labels or with too few groups.
    """
    with SpectraFile(path) as file:
        if file.labels is None:
            raise DatasetError(f"{path} has no labels; training and evaluation need them")
        # a table without memory: splitting looks at labels and columns only
        empty = np.broadcast_to(np.zeros((1, 1), np.uint16), (file.n_spectra, file.n_points))
        table = SpectraTable(
            intensity=empty,
            axis=file.axis,
            labels=file.labels,
            class_names=file.class_names,
            columns=file.columns,
            holdout=file.holdout,
            group_by=file.group_by,
            split_seed=file.split_seed,
        )
        folds, given = file.folds, file.holdout
    table, origin = ensure_holdout(table, seed=seed) if fold is None else fold_holdout(table, folds, fold, seed=seed)
    assert table.holdout is not None
    assert table.labels is not None
    groups = None
    if table.group_by:
        groups = np.unique(table.columns[table.group_by], return_inverse=True)[1].astype(np.int64)
    own = fold is None and given is not None and bool(np.any(given == Holdout.CALIBRATION))
    return Split(table.holdout, table.labels, groups, describe_split(table) or "spectrum", origin, own)


def file_sha256(path: Path | str) -> str:
    """SHA-256 of a file, for provenance."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()
