from __future__ import annotations

import numpy as np
import pytest

from specnet.errors import AxisError, ConfigurationError
from specnet.preprocessing import Crop, Pipeline
from specnet.spectra import SpectralAxis

AXIS = SpectralAxis(np.arange(100.0, 200.0, 2.0), "raman_shift")


def test_both_limits_are_kept() -> None:
    bound = Pipeline((Crop(start=110.0, stop=120.0),)).bind(AXIS)
    np.testing.assert_array_equal(bound.axis.values, [110, 112, 114, 116, 118, 120])
    np.testing.assert_array_equal(bound(np.arange(50) + 1), [6, 7, 8, 9, 10, 11])


def test_an_open_side_keeps_everything_there() -> None:
    assert Crop(start=150.0).bind(AXIS).axis.values[[0, -1]].tolist() == [150.0, 198.0]
    assert Crop(stop=150.0).bind(AXIS).axis.values[[0, -1]].tolist() == [100.0, 150.0]


def test_half_a_step_may_be_missing_and_no_more() -> None:
    assert Crop(start=99.0, stop=199.0).bind(AXIS).axis == AXIS
    with pytest.raises(AxisError, match=r"crop needs 98.9 to 150 1/cm, the spectrum covers 100 to 198 1/cm"):
        Crop(start=98.9, stop=150.0).bind(AXIS)


def test_a_crop_between_two_points_is_refused() -> None:
    with pytest.raises(AxisError, match="keeps 0 points"):
        Crop(start=100.5, stop=101.5).bind(AXIS)


def test_limits_that_leave_nothing_to_do_or_nothing_at_all_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="got neither"):
        Crop()
    with pytest.raises(ConfigurationError, match="start is below stop, got 5 and 5"):
        Crop(start=5.0, stop=5.0)
