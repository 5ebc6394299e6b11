from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support_cached_logits import make_cached

from specnet.calibration import CachedLogits
from specnet.errors import ModelError

LOGITS = np.zeros((2, 3, 4), dtype=np.float32)
VALID: dict[str, Any] = {
    "logits": LOGITS,
    "labels": np.array([0, 1, 3]),
    "macs": np.array([[1, 1, 1], [5, 6, 7]]),
    "static_macs": 10,
}
BAD_LOGITS = LOGITS.copy()
BAD_LOGITS[1, 2, 0] = np.nan


def test_sizes_are_named() -> None:
    cached = make_cached(seed=0, n=7, n_classes=5)
    assert (cached.n_exits, cached.n_spectra, cached.n_classes) == (4, 7, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logits": LOGITS[0]}, r"got shape \(3, 4\)"),
        ({"logits": LOGITS[:, :0], "labels": np.zeros(0, int), "macs": np.zeros((2, 0), int)}, "spectra >= 1"),
        ({"logits": LOGITS[..., :1]}, "classes >= 2"),
        ({"labels": np.array([0, 1])}, r"need labels \(3,\).*got \(2,\)"),
        ({"macs": np.array([1, 2])}, r"macs \(2, 3\), got .* \(2,\)"),
        ({"logits": BAD_LOGITS}, "1 of 24 logits are not finite"),
        ({"labels": np.array([0, 1, 4])}, "labels reach from 0 to 4, expected 0..3"),
        ({"labels": np.array([0, -1, 2])}, "labels reach from -1 to 2"),
        ({"macs": np.array([[5, 5, 5], [5, 4, 5]])}, "cumulative"),
        ({"macs": np.array([[-1, 5, 5], [5, 6, 5]])}, "cumulative"),
        ({"groups": np.array([0, 1])}, r"labels \(3,\) need as many groups, got \(2,\)"),
        ({"static_macs": 0}, "static_macs is positive, got 0"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], message: str) -> None:
    CachedLogits(**VALID)
    with pytest.raises(ModelError, match=message):
        CachedLogits(**(VALID | changes))


def test_without_exit_0_nobody_pays_for_it() -> None:
    cached = make_cached(seed=0, n=7, n_classes=5)
    cached = replace(cached, groups=np.arange(7) // 2)
    rest = cached.without_first_exit()
    np.testing.assert_array_equal(rest.groups, cached.groups)
    np.testing.assert_array_equal(cached.take(np.array([6, 2])).groups, [3, 1])
    np.testing.assert_array_equal(rest.logits, cached.logits[1:])
    np.testing.assert_array_equal(rest.macs, cached.macs[1:] - cached.macs[0])
    assert rest.static_macs == cached.static_macs - cached.macs[0, 0]
    with pytest.raises(ModelError, match="one exit"):
        CachedLogits(LOGITS[:1], VALID["labels"], VALID["macs"][:1], 10).without_first_exit()
