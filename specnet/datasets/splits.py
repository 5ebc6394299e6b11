"""Splits into train, calibration and test in which no group is on two sides."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.datasets.table import Holdout, SpectraTable
from specnet.errors import DatasetError

GROUP_COLUMNS = ("sample_id", "session_id")
"""Columns that name groups, best first: spectra of one physical sample are more alike than those of one session."""

CALIBRATION_OF_TRAIN = 0.2
N_FOLDS = 5


def grouped_holdout(
    labels: NDArray[Any], groups: NDArray[Any] | None, *, seed: int, test: float = 0.2, calibration: float = 0.2
) -> NDArray[np.int8]:
    """Stratified split; with `groups`, each group lies wholly in one part.

    Parameters
    ----------
    labels
        ``(n_spectra,)`` classes; their shares are kept alike in all parts.
    groups
        ``(n_spectra,)`` physical sample, subject or session of each spectrum; None when spectra are independent.
    seed
        Of the shuffling.
    test, calibration
        Shares of all spectra; with groups they are met as nearly as whole groups allow.

    Returns
    -------
    NDArray
        ``(n_spectra,)`` int8 of `Holdout`.

    Raises
    ------
    DatasetError
        When there are too few groups or spectra, so that a part or the training set of a class would be empty.

    Notes
    -----
    scikit-learn's ``StratifiedGroupKFold`` and ``StratifiedShuffleSplit`` do the work.
    """
    if not (test > 0 and calibration > 0 and test + calibration < 1):
        raise DatasetError(f"shares are positive and leave a training part, got test {test}, calibration {calibration}")
    labels = np.asarray(labels)
    holdout = np.full(len(labels), Holdout.TRAIN, np.int8)
    _carve(holdout, labels, groups, Holdout.TEST, test, seed)
    _carve(holdout, labels, groups, Holdout.CALIBRATION, calibration / (1 - test), seed)
    _require_training_spectra(labels, holdout)
    return holdout


def stratified_folds(
    labels: NDArray[Any], groups: NDArray[Any], *, seed: int, n_folds: int = N_FOLDS
) -> NDArray[np.int8]:
    """Give each spectrum the fold that ``StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)`` puts it in.

    Raises
    ------
    DatasetError
        When there are fewer groups than folds, or no class has a spectrum for each fold.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    n_groups = len(np.unique(groups))
    if n_groups < n_folds:
        raise DatasetError(f"{n_groups} groups cannot make {n_folds} folds")
    folds = np.zeros(len(labels), np.int8)
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    with _sklearn_errors():
        for fold, (_, rows) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups)):
            folds[rows] = fold
    return folds


def find_groups(table: SpectraTable) -> str:
    """Name of the column whose groups must not be split; empty when there is none."""
    candidates = (table.group_by, *GROUP_COLUMNS) if table.group_by else GROUP_COLUMNS
    return next((name for name in candidates if name in table.columns), "")


def describe_split(table: SpectraTable) -> str:
    """Say what is kept apart in a split: the column of its groups, and whether the test part has its own instruments.

    Empty when spectra stand for themselves. Instruments that took test spectra and no others are a harder test than
    groups alone, and a user wants to know which of the two a number comes from.
    """
    apart = [table.group_by] if table.group_by else []
    instruments = table.columns.get("instrument_id")
    if instruments is not None and table.holdout is not None:
        tested = np.unique(instruments[table.holdout == Holdout.TEST])
        known = np.unique(instruments[table.holdout != Holdout.TEST])
        if tested.size and known.size and not np.isin(tested, known).any() and table.group_by != "instrument_id":
            apart.append("instrument_id (test part)")
    return " and ".join(apart)


def ensure_holdout(table: SpectraTable, *, seed: int) -> tuple[SpectraTable, str]:
    """Make sure that a table has all three parts, and say in a sentence where they come from.

    The file's own split is used when it is complete. A split without calibration part gets one from 20 % of its
    training part. Otherwise a new split is made, grouped by `sample_id`, else by `session_id`, else by class only.

    Raises
    ------
    DatasetError
        Without labels, or when there are too few groups or spectra.
    """
    labels = table.labels
    if labels is None:
        raise DatasetError("these spectra have no labels, so they cannot be split by class")
    present = set() if table.holdout is None else {Holdout(value) for value in np.unique(table.holdout)}
    if present == set(Holdout):
        return table, f"the file's own split{_grouping(describe_split(table))}"
    if table.holdout is not None and present == {Holdout.TRAIN, Holdout.TEST}:
        return _add_calibration(table, table.holdout, labels, seed)
    group_by = find_groups(table)
    holdout = grouped_holdout(labels, table.columns[group_by] if group_by else None, seed=seed)
    split = replace(table, holdout=holdout, group_by=group_by, split_seed=seed)
    found = "the file has no split" if not present else f"the file's split has only {_names(present)}"
    return split, f"{found}: made one with seed {seed}{_grouping(group_by)}"


def fold_holdout(
    table: SpectraTable, folds: NDArray[np.int8] | None, fold: int, *, seed: int
) -> tuple[SpectraTable, str]:
    """Make one round of a five-fold cross-validation: a fold for test, 20 % of the others for calibration.

    Parameters
    ----------
    table
        With labels; a split that it has is replaced.
    folds
        ``(n_spectra,)`` fold of each spectrum; None makes stratified ones with seed 0, grouped where there are groups.
    fold
        0..4, the test part.
    seed
        Of the choice of the calibration part.

    Raises
    ------
    DatasetError
        Without labels, or with too few groups or spectra.
    """
    labels = table.labels
    if labels is None:
        raise DatasetError("these spectra have no labels, so they cannot be split by class")
    group_by = find_groups(table)
    groups = table.columns[group_by] if group_by else None
    origin = "the file's own folds"
    if folds is None:
        # without groups every spectrum is one
        folds = stratified_folds(labels, np.arange(len(labels)) if groups is None else groups, seed=0)
        origin = "five folds made with seed 0"
    holdout = np.where(folds == fold, Holdout.TEST, Holdout.TRAIN).astype(np.int8)
    _carve(holdout, labels, groups, Holdout.CALIBRATION, CALIBRATION_OF_TRAIN, seed)
    _require_training_spectra(labels, holdout)
    split = replace(table, holdout=holdout, group_by=group_by, split_seed=seed)
    return split, f"fold {fold} of {origin} is the test part{_grouping(group_by)}"


def leaking_groups(groups: NDArray[Any], holdout: NDArray[np.int8]) -> int:
    """Count groups that are in more than one part of the split."""
    _, inverse = np.unique(groups, return_inverse=True)
    pairs = np.unique(np.stack([inverse, holdout.astype(np.int64)]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())


def _add_calibration(
    table: SpectraTable, holdout: NDArray[np.int8], labels: NDArray[np.int64], seed: int
) -> tuple[SpectraTable, str]:
    group_by = find_groups(table)
    holdout = holdout.copy()
    groups = table.columns[group_by] if group_by else None
    _carve(holdout, labels, groups, Holdout.CALIBRATION, CALIBRATION_OF_TRAIN, seed)
    _require_training_spectra(labels, holdout)
    kept_apart = group_by if groups is not None and not leaking_groups(groups, holdout) else ""
    sentence = f"the file's own test part; calibration is {CALIBRATION_OF_TRAIN:.0%} of its training part, seed {seed}"
    return replace(table, holdout=holdout, group_by=kept_apart, split_seed=seed), sentence + _grouping(group_by)


def _carve(
    holdout: NDArray[np.int8], labels: NDArray[Any], groups: NDArray[Any] | None, part: Holdout, share: float, seed: int
) -> None:
    """Move `share` of the training part to `part`, in place."""
    rows = np.flatnonzero(holdout == Holdout.TRAIN)
    chosen = (
        _choose_spectra(labels[rows], share, seed)
        if groups is None
        else _choose_groups(labels[rows], np.asarray(groups)[rows], part, share, seed)
    )
    holdout[rows[chosen]] = part


def _choose_spectra(labels: NDArray[Any], share: float, seed: int) -> NDArray[np.bool_]:
    from sklearn.model_selection import StratifiedShuffleSplit

    chosen = np.zeros(len(labels), bool)
    with _sklearn_errors():
        splitter = StratifiedShuffleSplit(n_splits=1, test_size=share, random_state=seed)
        _, rows = next(splitter.split(np.zeros(len(labels)), labels))
    chosen[rows] = True
    return chosen


def _choose_groups(
    labels: NDArray[Any], groups: NDArray[Any], part: Holdout, share: float, seed: int
) -> NDArray[np.bool_]:
    """Whole groups, as some of k folds: 0.2 is one fold of five, 0.3 three of ten."""
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise DatasetError(
            f"too few groups: {n_groups} left for training and {part.name.lower()}; at least 3 are needed in all "
            "(train, calibration and test)"
        )
    fraction = Fraction(share).limit_denominator(10)
    # no more folds than the largest class has spectra, which scikit-learn refuses
    largest_class = int(np.unique(labels, return_counts=True)[1].max())
    n_folds = max(2, min(fraction.denominator, n_groups, largest_class))
    n_chosen = min(max(1, round(share * n_folds)), n_folds - 1)
    return stratified_folds(labels, groups, seed=seed, n_folds=n_folds) < n_chosen


def _require_training_spectra(labels: NDArray[Any], holdout: NDArray[np.int8]) -> None:
    missing = np.setdiff1d(labels, labels[holdout == Holdout.TRAIN])
    if len(missing):
        raise DatasetError(
            f"too few groups: classes {missing[:10].tolist()} would have no training spectra; "
            "each class needs spectra of at least three groups"
        )


@contextmanager
def _sklearn_errors() -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            # a class with fewer spectra than folds is expected here; parts are checked after the split
            warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
            yield
    except ValueError as error:
        raise DatasetError(f"cannot be split by class: {error}") from error


def _grouping(group_by: str) -> str:
    return f", grouped by {group_by}" if group_by else ", not grouped"


def _names(parts: set[Holdout]) -> str:
    return " and ".join(part.name.lower() for part in sorted(parts))
