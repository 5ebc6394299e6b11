"""How much of the residual units' computation went to peaks."""

from __future__ import annotations

import numpy as np
import pytest

from specnet.errors import ModelError
from specnet.evaluation import DepthMaps
from specnet.evaluation.depth import peak_cover

UNITS, UNIT_MACS = (2, 3), (10, 40)


def _regions() -> np.ndarray:
    regions = np.zeros((2, 16), dtype=np.bool_)
    regions[0, :4] = True  # positions 0 and 1 of 8, position 0 of 4
    regions[1, 11:14] = True  # half of position 5 and all of 6 of 8
    return regions


def test_a_position_counts_by_the_share_of_its_points_on_a_peak() -> None:
    np.testing.assert_array_equal(peak_cover(_regions(), 8)[0], [1, 1, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(peak_cover(_regions(), 8)[1], [0, 0, 0, 0, 0, 0.5, 1, 0])
    np.testing.assert_array_equal(peak_cover(_regions(), 4)[1], [0, 0, 0.25, 0.5])
    for n_positions in (1, 3, 5, 7, 16):  # points that positions do not divide are still each counted once
        sizes = np.bincount(np.minimum(np.arange(16) * n_positions // 16, n_positions - 1))
        np.testing.assert_allclose(peak_cover(_regions(), n_positions) @ sizes, [4, 3])


def test_full_depth_everywhere_favours_nothing() -> None:
    depth = DepthMaps([np.full((6, 8), 2), np.full((6, 4), 3)], UNITS)
    found = depth.compute_on_peaks(_regions(), np.array([0, 1] * 3), UNIT_MACS, np.array([2, 1, 2, 1, 1, 2]))
    assert found is not None
    assert found.enrichment == pytest.approx(1.0)
    assert found.share_of_unit_macs_on_peaks == pytest.approx(found.peak_share_of_positions)


def test_only_stages_that_ran_count_and_units_by_their_macs() -> None:
    first, second = np.zeros((2, 8), dtype=np.uint8), np.zeros((2, 4), dtype=np.uint8)
    first[0, :3], second[0] = (2, 1, 1), (3, 1, 0, 0)  # class 0, leaves behind stage 2
    first[1, 5:], second[1] = (2, 2, 2), 3  # class 1, leaves behind stage 1: its second row never ran
    depth = DepthMaps([first, second], UNITS)
    found = depth.compute_on_peaks(_regions(), np.array([0, 1]), UNIT_MACS, np.array([2, 1]))
    assert found is not None
    on_peaks = 10 * (2 + 1) + 40 * 3 + 10 * (0.5 * 2 + 2)
    spent = 10 * 4 + 40 * 4 + 10 * 6
    assert found.share_of_unit_macs_on_peaks == pytest.approx(on_peaks / spent)
    assert found.peak_share_of_positions == pytest.approx((20 * 2 + 120 * 1 + 20 * 1.5) / (20 * 8 + 120 * 4 + 20 * 8))
    assert found.enrichment == pytest.approx(found.share_of_unit_macs_on_peaks / found.peak_share_of_positions)


@pytest.mark.parametrize(
    ("exits", "labels"), [((0, 0), (0, 1)), ((1, 2), (2, 2))], ids=["no stage ran", "classes without bands"]
)
def test_there_is_no_share_of_nothing(exits: tuple[int, int], labels: tuple[int, int]) -> None:
    depth = DepthMaps([np.ones((2, 8), dtype=np.uint8), np.ones((2, 4), dtype=np.uint8)], UNITS)
    regions = np.concatenate([_regions(), np.zeros((1, 16), dtype=np.bool_)])
    assert depth.compute_on_peaks(regions, np.array(labels), UNIT_MACS, np.array(exits)) is None


def test_what_does_not_belong_together_is_refused() -> None:
    depth = DepthMaps([np.ones((2, 8), dtype=np.uint8), np.ones((2, 4), dtype=np.uint8)], UNITS)
    exits = np.array([1, 2])
    with pytest.raises(ModelError, match=r"labels and exits \(2,\), got \(2, 16\), \(3,\)"):
        depth.compute_on_peaks(_regions(), np.array([0, 1, 1]), UNIT_MACS, exits)
    with pytest.raises(ModelError, match="for 2 stages, got 1"):
        depth.compute_on_peaks(_regions(), np.array([0, 1]), (10,), exits)
