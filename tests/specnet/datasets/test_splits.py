from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specnet.datasets import Holdout, SpectraTable, ensure_holdout, fold_holdout, grouped_holdout
from specnet.datasets.splits import leaking_groups, stratified_folds
from specnet.errors import DatasetError
from specnet.spectra import SpectralAxis


def shares(holdout: np.ndarray) -> np.ndarray:
    return np.bincount(holdout, minlength=3) / len(holdout)


@given(
    n_groups=st.integers(15, 60),
    n_classes=st.integers(1, 4),
    per_group=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_no_group_is_ever_on_two_sides(n_groups, n_classes, per_group, seed) -> None:
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(n_groups), per_group))
    labels = groups % n_classes
    holdout = grouped_holdout(labels, groups, seed=seed)
    assert leaking_groups(groups, holdout) == 0
    assert set(holdout) == {0, 1, 2}
    np.testing.assert_array_equal(np.unique(labels[holdout == Holdout.TRAIN]), np.arange(n_classes))


def test_shares_and_classes_are_kept_alike() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    for groups in (None, np.arange(1000) // 5):
        holdout = grouped_holdout(labels, groups, seed=1)
        np.testing.assert_allclose(shares(holdout), [0.6, 0.2, 0.2], atol=0.02)
        for part in Holdout:
            np.testing.assert_allclose(
                np.bincount(labels[holdout == part]) / (holdout == part).sum(), [0.6, 0.3, 0.1], atol=0.02
            )


@pytest.mark.parametrize(("test", "calibration"), [(0.1, 0.1), (0.3, 0.2), (0.5, 0.25)])
def test_other_shares(test, calibration) -> None:
    labels, groups = np.arange(2000) // 4 % 2, np.arange(2000) // 4
    for kept_together in (groups, None):
        holdout = grouped_holdout(labels, kept_together, seed=0, test=test, calibration=calibration)
        np.testing.assert_allclose(shares(holdout), [1 - test - calibration, calibration, test], atol=0.03)


def test_a_seed_decides_the_split() -> None:
    labels, groups = np.arange(300) // 3 % 2, np.arange(300) // 3
    first, again, other = (grouped_holdout(labels, groups, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_three_sessions_are_enough_when_each_has_all_classes() -> None:
    sessions = np.repeat(["mon", "tue", "wed"], 20)
    holdout = grouped_holdout(np.arange(60) % 2, sessions, seed=0)
    np.testing.assert_array_equal(np.bincount(holdout), [20, 20, 20])


@pytest.mark.parametrize("n_groups", [1, 2])
def test_too_few_groups(n_groups) -> None:
    with pytest.raises(DatasetError, match="too few groups"):
        grouped_holdout(np.arange(60) % 2, np.arange(60) % n_groups, seed=0)


def test_a_class_of_which_nothing_would_be_left_to_train_on() -> None:
    groups = np.arange(200) // 4
    labels = groups.copy()  # one group a class: whatever is in test is nowhere else
    with pytest.raises(DatasetError, match=r"too few groups: classes .* no training spectra"):
        grouped_holdout(labels, groups, seed=0)


def test_a_class_with_a_single_spectrum_cannot_be_split_by_class() -> None:
    with pytest.raises(DatasetError, match="cannot be split by class"):
        grouped_holdout(np.array([0] * 20 + [1]), None, seed=0)


@pytest.mark.parametrize(("test", "calibration"), [(0.0, 0.2), (0.2, -0.1), (0.6, 0.4)])
def test_shares_that_leave_no_training_part(test, calibration) -> None:
    with pytest.raises(DatasetError, match="leave a training part"):
        grouped_holdout(np.arange(60) % 2, None, seed=0, test=test, calibration=calibration)


def test_fewer_groups_than_folds() -> None:
    with pytest.raises(DatasetError, match="4 groups cannot make 5 folds"):
        stratified_folds(np.arange(60) % 2, np.arange(60) % 4, seed=0)


def test_a_complete_split_of_the_file_is_used_as_it_is(make_table) -> None:
    table = make_table(holdout=np.arange(120) // 4 % 3, group_by="sample_id")
    same, sentence = ensure_holdout(table, seed=3)
    assert same is table
    assert sentence == "the file's own split, grouped by sample_id"


def test_a_missing_calibration_part_is_taken_from_training_by_whole_groups(make_table) -> None:
    holdout = np.where(np.arange(120) >= 96, 2, 0)
    table, sentence = ensure_holdout(make_table(holdout=holdout), seed=3)
    np.testing.assert_array_equal(table.rows(Holdout.TEST), np.arange(96, 120))
    assert 12 <= len(table.rows(Holdout.CALIBRATION)) <= 28
    assert leaking_groups(table.columns["sample_id"], table.holdout) == 0
    assert table.group_by == "sample_id"
    assert "calibration is 20% of its training part, seed 3, grouped by sample_id" in sentence


def test_calibration_from_a_test_part_that_already_leaks_is_not_called_grouped(make_table) -> None:
    table, _ = ensure_holdout(make_table(holdout=np.where(np.arange(120) % 4 == 0, 2, 0)), seed=3)
    assert table.group_by == ""


@pytest.mark.parametrize(
    ("dropped", "group_by"), [((), "sample_id"), (("sample_id",), "session_id"), (("sample_id", "session_id"), "")]
)
def test_a_new_split_is_grouped_by_the_best_column_there_is(make_table, dropped, group_by) -> None:
    columns = {name: values for name, values in make_table().columns.items() if name not in dropped}
    if group_by == "session_id":
        columns["session_id"] = np.arange(120) // 8
    table, sentence = ensure_holdout(make_table(columns=columns), seed=9)
    assert (table.group_by, table.split_seed) == (group_by, 9)
    assert ("not grouped" in sentence) == (group_by == "")
    if group_by:
        assert leaking_groups(table.columns[group_by], table.holdout) == 0


def test_a_split_without_test_part_is_made_anew_and_said_so(make_table) -> None:
    table, sentence = ensure_holdout(make_table(holdout=np.arange(120) % 2), seed=0)
    assert set(table.holdout) == {0, 1, 2}
    assert "the file's split has only train and calibration: made one" in sentence


def test_without_labels_there_is_no_split(make_table) -> None:
    with pytest.raises(DatasetError, match="no labels"):
        ensure_holdout(make_table(labels=None, class_names=()), seed=0)


def test_folds_take_turns_as_test_part_and_leave_groups_whole():
    labels = np.repeat(np.arange(3), 40)
    groups = np.array([f"s{i // 2}" for i in range(120)])
    table = SpectraTable(
        np.ones((120, 3), np.float32),
        SpectralAxis.channels(3),
        labels=labels,
        class_names=("a", "b", "c"),
        columns={"sample_id": groups},
    )
    tested = np.zeros(120, int)
    for fold in range(5):
        split, sentence = fold_holdout(table, None, fold, seed=1)
        assert split.holdout is not None
        tested += split.holdout == Holdout.TEST
        assert set(np.unique(split.holdout)) == set(Holdout)
        assert leaking_groups(groups, split.holdout) == 0
        assert f"fold {fold}" in sentence
    assert (tested == 1).all()
