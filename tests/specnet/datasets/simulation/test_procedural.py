from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from specnet.datasets.simulation import PRESETS, ProceduralConfig
from specnet.datasets.simulation.procedural import draw_bands, family_of
from specnet.errors import ConfigurationError

AXIS_RANGE = (100.0, 1500.0)
CONFIG = ProceduralConfig(
    siblings=4,
    groups=(5, 8),
    group_bands=(3, 5),
    group_cm=(20.0, 60.0),
    width_cm=(5.0, 30.0),
    moved_groups=(1, 3),
    moved_bands=(0, 0),
    moved_cm=(1.0, 6.0),
    scaled_bands=(1, 3),
    scaled_by=(1.3, 2.0),
    extra_share=0.5,
)


@pytest.fixture(scope="module")
def bands():
    return draw_bands(120, AXIS_RANGE, CONFIG, np.random.default_rng(0))


def pairs(bands, siblings=4):
    """(row of the prototype, row of a sibling) of all families."""
    family = family_of(len(bands.height), siblings)
    return [(int(np.flatnonzero(family == family[row])[0]), row) for row in range(len(family)) if row % siblings]


def test_substances_have_as_many_bands_as_asked_of_the_asked_widths_on_the_axis(bands):
    prototypes = bands.height[::4] > 0
    assert (prototypes.sum(axis=1) >= 15).all()
    assert (prototypes.sum(axis=1) <= 40).all()
    present = bands.height > 0
    assert bands.lorentzian[present].min() >= 5.0
    assert bands.lorentzian[present].max() <= 30.0
    assert ((bands.position[present] > 100.0) & (bands.position[present] < 1500.0)).all()
    np.testing.assert_allclose(bands.height[::4].max(axis=1), 1.0)


def test_bands_come_in_groups_that_are_no_wider_than_asked(bands):
    for row in range(0, 120, 4):
        groups = [group for group in range(8) if bands.height[row, 5 * group] > 0]
        assert 5 <= len(groups) <= 8
        ends = []
        for group in groups:
            positions = bands.position[row, 5 * group : 5 * group + 5][bands.height[row, 5 * group : 5 * group + 5] > 0]
            assert 3 <= positions.size <= 5
            assert np.ptp(positions) <= 60.0
            ends.append((positions.min(), positions.max()))
        assert all(left[1] < right[0] for left, right in pairwise(ends)), "groups lie in parts of their own"


def test_siblings_differ_by_the_stated_amounts(bands):
    for prototype, sibling in pairs(bands):
        shift = (bands.position[sibling, :-1] - bands.position[prototype, :-1]).reshape(8, 5)
        present = (bands.height[prototype, :-1] > 0).reshape(8, 5)
        moved = [group for group in range(8) if np.abs(shift[group]).max() > 0]
        assert 1 <= len(moved) <= 3
        for group in moved:
            # a group moves as a whole: its own pattern stays
            np.testing.assert_allclose(shift[group, present[group]], shift[group, 0], atol=1e-9)
            assert 1.0 - 1e-9 <= abs(shift[group, 0]) <= 6.0 + 1e-9
        factor = (bands.height[sibling, :-1] / np.where(present.ravel(), bands.height[prototype, :-1], 1.0))[
            present.ravel()
        ]
        change = np.abs(np.log(factor))
        scaled = change > 1e-9
        assert 1 <= scaled.sum() <= 3
        assert change[scaled].min() >= np.log(1.3) - 1e-9
        assert change[scaled].max() <= np.log(2.0) + 1e-9
        assert not bands.height[prototype, -1], "the prototype has no additional band"
        assert bands.height[sibling, -1] == 0 or 0.05 <= bands.height[sibling, -1] <= 0.15


def test_some_bands_of_a_sibling_are_moved_on_their_own():
    config = dataclasses.replace(CONFIG, moved_groups=(0, 0), moved_bands=(1, 3))
    bands = draw_bands(80, AXIS_RANGE, config, np.random.default_rng(0))
    for prototype, sibling in pairs(bands):
        distance = np.abs(bands.position[sibling, :-1] - bands.position[prototype, :-1])
        assert 1 <= (distance > 0).sum() <= 3
        assert ((distance[distance > 0] >= 1.0 - 1e-9) & (distance[distance > 0] <= 6.0 + 1e-9)).all()


def test_about_half_of_the_siblings_have_an_additional_weak_band(bands):
    extra = [bands.height[sibling, -1] > 0 for _, sibling in pairs(bands)]
    assert np.mean(extra) == pytest.approx(0.5, abs=0.15)


def test_families_are_far_apart_where_siblings_are_near(bands):
    def points(row: int) -> set[int]:
        return set(np.round(bands.position[row][bands.height[row] > 0]).astype(int))

    shared_by_siblings = np.mean([len(points(a) & points(b)) / len(points(a)) for a, b in pairs(bands)])
    shared_by_families = np.mean([len(points(a) & points(a + 4)) / len(points(a)) for a in range(0, 116, 4)])
    assert shared_by_siblings > 0.4
    assert shared_by_families < 0.15


def test_more_families_leave_the_first_ones_as_they_are(bands):
    few = draw_bands(40, AXIS_RANGE, CONFIG, np.random.default_rng(0))
    np.testing.assert_array_equal(few.position, bands.position[:40])
    np.testing.assert_array_equal(few.height, bands.height[:40])


def test_another_seed_makes_other_substances(bands):
    other = draw_bands(120, AXIS_RANGE, CONFIG, np.random.default_rng(1))
    assert not np.isin(other.position[other.height > 0], bands.position).any()


def test_the_stated_share_of_families_is_broad_and_its_siblings_are_moved_further():
    config = dataclasses.replace(CONFIG, siblings=2, broad_share=0.5, broad_by=(10.0, 10.0), extra_share=0.0)
    bands = draw_bands(400, (1000.0, 4000.0), config, np.random.default_rng(0))
    broad = np.array([bands.lorentzian[row][bands.height[row] > 0].min() >= 50.0 for row in range(400)])
    np.testing.assert_array_equal(broad[::2], broad[1::2])
    assert broad.mean() == pytest.approx(0.5, abs=0.08)
    distance = np.abs(bands.position[1::2] - bands.position[::2])
    assert distance[~broad[::2]].max() <= 6.0 + 1e-9
    moved = distance[broad[::2]]
    assert moved[moved > 1e-9].min() >= 10.0


def test_the_last_family_may_be_smaller():
    np.testing.assert_array_equal(family_of(5, 2), [0, 0, 1, 1, 2])
    assert draw_bands(5, AXIS_RANGE, ProceduralConfig(siblings=2), np.random.default_rng(0)).position.shape[0] == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"siblings": 0}, "siblings is at least 1, got 0"),
        ({"groups": (0, 4)}, "groups is within 1 to 64 in ascending order, got 0 to 4"),
        ({"groups": (3, 9), "moved_groups": (2, 4)}, "moved_groups is within 0 to 3 in ascending order, got 2 to 4"),
        ({"width_cm": (9.0, 5.0)}, "width_cm is within .* got 9.0 to 5.0"),
        ({"height": (0.0, 1.0)}, "height is within 0.001 to 1"),
        ({"scaled_by": (0.5, 2.0)}, "scaled_by is within 1 to 100"),
        ({"extra_share": 1.5}, "extra_share is within 0 to 1 in ascending order, got 1.5"),
        ({"moved_cm": (float("nan"), 2.0)}, "moved_cm is within"),
    ],
)
def test_impossible_substances_are_refused(change, message):
    with pytest.raises(ConfigurationError, match=message):
        ProceduralConfig(**change)


def test_the_hard_preset_is_what_it_promises():
    hard = PRESETS["hard"]
    assert hard.n_classes >= 200
    assert (hard.n_instruments, hard.test_instruments) == (5, 2)
    assert hard.substances.groups[0] * hard.substances.group_bands[0] >= 15
    assert hard.substances.siblings >= 3
    assert hard.drift_cm > hard.substances.moved_cm[1], "absolute positions say nothing about siblings"
    assert hard.mixture_share > 0.5
