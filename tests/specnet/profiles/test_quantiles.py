"""Quantiles: what is kept of samples, and what is drawn from it."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specnet.errors import ProfileError
from specnet.profiles import PROBABILITIES, Quantiles
from specnet.profiles.quantiles import LARGEST

SAMPLES = st.lists(st.floats(0, LARGEST), min_size=1, max_size=50)
FAST = settings(max_examples=100, deadline=None)


@FAST
@given(SAMPLES)
def test_a_summary_ascends_and_stays_within_its_samples(samples: list[float]) -> None:
    values = Quantiles.of(samples).values
    assert list(values) == sorted(values)
    assert min(samples) <= values[0]
    assert values[-1] <= max(samples)


@FAST
@given(SAMPLES)
def test_a_summary_survives_json_bit_by_bit(samples: list[float]) -> None:
    q = Quantiles.of(samples)
    assert msgspec.json.decode(msgspec.json.encode(q), type=Quantiles) == q


@FAST
@given(SAMPLES, st.integers(0, 2**32 - 1))
def test_what_is_drawn_lies_between_the_ends(samples: list[float], seed: int) -> None:
    q = Quantiles.of(samples)
    drawn = q.sample(np.random.default_rng(seed), 100)
    assert drawn.shape == (100,)
    assert q.values[0] <= drawn.min()
    assert drawn.max() <= q.values[-1]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=5, max_size=50), st.integers(0, 2**32 - 1))
def test_what_is_drawn_has_the_same_quantiles_and_mean_again(samples: list[float], seed: int) -> None:
    q = Quantiles.of(samples)
    drawn = q.sample(np.random.default_rng(seed), 20_000)
    for p, value in zip(PROBABILITIES, q.values, strict=True):
        # a share of the draws, which allows for steep places between two probabilities; eight standard errors
        error = 8 * math.sqrt(p * (1 - p) / len(drawn))
        slack = 1e-9 * value
        assert (drawn <= value + slack).mean() >= p - error
        assert (drawn < value - slack).mean() <= p + error
    spread = q.values[-1] - q.values[0]
    assert abs(drawn.mean() - q.mean) <= 8 * spread / math.sqrt(len(drawn)) + 1e-9 * q.mean


def test_quantiles_of_a_thousand_numbers() -> None:
    q = Quantiles.of(np.arange(1001))
    assert q.values == (10, 50, 100, 250, 500, 750, 900, 950, 990)
    assert (q.p50, q.p95) == (500, 950)
    # symmetric, so the held ends do not move it
    assert q.mean == pytest.approx(500)


def test_a_constant_is_drawn_as_it_is() -> None:
    q = Quantiles.constant(3)
    assert q == Quantiles.of([3.0])
    assert q.mean == pytest.approx(3)
    assert set(q.sample(np.random.default_rng(0), 10)) == {3.0}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ((1.0,) * 8, "quantiles have 9 values, got 8"),
        ((-1.0,) + (1.0,) * 8, r"are from 0 to 1e\+12, got -1.0"),
        ((math.nan,) * 9, r"are from 0 to 1e\+12, got nan"),
        ((1.0,) * 8 + (math.inf,), r"are from 0 to 1e\+12, got inf"),
        ((2.0,) + (1.0,) * 8, "ascend, got 2.0 before 1.0"),
    ],
)
def test_values_that_are_no_distribution_are_refused(values: tuple[float, ...], complaint: str) -> None:
    with pytest.raises(ProfileError, match=complaint):
        Quantiles(values)


@pytest.mark.parametrize(
    ("samples", "complaint"),
    [([], "at least 1 sample, got 0"), ([1.0, -2.0], "got -2.0"), ([math.nan], "got nan"), ([math.inf], "got inf")],
)
def test_samples_that_are_no_measurements_are_refused(samples: list[float], complaint: str) -> None:
    with pytest.raises(ProfileError, match=complaint):
        Quantiles.of(samples)
