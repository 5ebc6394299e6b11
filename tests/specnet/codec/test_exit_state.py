"""The running state of an exit policy: what of it arrives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specnet.codec.exit_state import STEPS, StateLayout
from specnet.errors import CodecError


def log_p(n: int, scale: float, seed: int) -> np.ndarray:
    z = np.random.default_rng(seed).normal(0, scale, n)
    return (z - np.log(np.exp(z - z.max()).sum()) - z.max()).astype(np.float32)


@settings(max_examples=150, deadline=None)
@given(n=st.integers(1, 300), scale=st.floats(0, 40), seed=st.integers(0, 1 << 30), first=st.booleans())
def test_what_is_behind_the_best_is_rounded_to_the_steps(n: int, scale: float, seed: int, first: bool) -> None:
    layout = StateLayout(((n, True), (3, False), (n if first else 0, True)))
    parts = [
        log_p(n, scale, seed),
        np.array([1.0, 7.25, -3.0], np.float32),
        *([log_p(n, 2, seed + 1)] if first else []),
    ]
    state = np.concatenate(parts)
    back = layout.decode(layout.encode(state))
    np.testing.assert_array_equal(back[n : n + 3], state[n : n + 3])
    for start in (0, *([n + 3] if first else [])):
        part, found = state[start : start + n], back[start : start + n]
        assert found.max() == pytest.approx(part.max(), rel=2**-8, abs=1e-30)
        behind, found_behind = part.max() - part, found.max() - found
        gap = np.diff(STEPS)[np.clip(np.searchsorted(STEPS, behind) - 1, 0, len(STEPS) - 2)]
        inside = behind <= STEPS[-1]
        slack = 2**-20 * (1 + np.abs(found))
        assert (np.abs(behind - found_behind) <= gap / 2 + slack)[inside].all()
        assert np.allclose(found_behind[~inside], STEPS[-1], rtol=1e-3)


def test_it_is_short() -> None:
    for n, most in ((2, 8), (10, 12), (63, 40), (216, 70)):
        layout = StateLayout(((n, True),))
        assert len(layout.encode(log_p(n, 5, 0))) <= most


def test_no_state_takes_no_bytes() -> None:
    layout = StateLayout(((0, True), (0, False), (0, True)))
    assert layout.encode(np.zeros(0, np.float32)) == b""
    assert layout.decode(b"").shape == (0,)
    with pytest.raises(CodecError, match="got 1 bytes"):
        layout.decode(b"x")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_end_in_a_finite_state_or_in_an_error(data: bytes) -> None:
    layout = StateLayout(((6, True), (1, False), (6, True)))
    try:
        state = layout.decode(data)
    except CodecError:
        return
    assert state.shape == (13,)
    assert np.isfinite(state).all()


@pytest.mark.parametrize("state", [np.zeros(3), np.array([1.0, np.nan]), np.array([np.inf, 0.0])])
def test_a_state_that_is_none_is_refused(state: np.ndarray) -> None:
    with pytest.raises(CodecError, match=r"expected \(2,\)"):
        StateLayout(((2, True),)).encode(state.astype(np.float32))
