"""Parts of the calibration split, so that what was fitted is judged on spectra that it was not fitted on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from specnet.calibration.cached import CachedLogits

N_FOLDS = 5
SEED = 0


def stratified_folds(
    labels: NDArray[np.int64],
    n_folds: int = N_FOLDS,
    seed: int = SEED,
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Fold ``(n,)`` of every spectrum: shuffled, each class spread evenly, sizes differing by one at most.

    Parameters
    ----------
    labels
        ``(n,)``.
    n_folds
        Number of folds.
    seed
        The same seed gives the same folds.
    groups
        ``(n,)`` of spectra that stay together; it is the groups then that are spread evenly, each as one of the class
        of its first spectrum.
    """
    if groups is not None:
        _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
        return stratified_folds(labels[first], n_folds, seed)[group_of]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    folds = np.empty(len(labels), dtype=np.int64)
    # dealing like cards along the classes: every class is spread evenly, and so is the whole
    folds[order] = np.arange(len(labels)) % n_folds
    return folds


def cross_fitting(cached: CachedLogits) -> Iterator[tuple[CachedLogits, NDArray[np.int64]]]:
    """Pairs of the spectra to fit on and the rows to judge; every row is judged once.

    With fewer spectra, or groups of them, than two a fold there is nothing to hold back: they are judged by what was
    fitted on them.
    """
    if cached.n_units < 2 * N_FOLDS:
        yield cached, np.arange(cached.n_spectra)
        return
    folds = stratified_folds(cached.labels, groups=cached.groups)
    for fold in range(N_FOLDS):
        yield cached.take(np.flatnonzero(folds != fold)), np.flatnonzero(folds == fold)
