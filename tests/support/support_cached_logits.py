"""Cached logits of an imagined network whose statistics are known exactly."""

from __future__ import annotations

import numpy as np

from specnet.calibration import CachedLogits

FIXED_MACS = 20_000
UNIT_MACS = 60_000


def make_cached(
    *,
    seed: int,
    n: int = 1200,
    n_classes: int = 6,
    evidence: tuple[float, ...] = (1.2, 1.0, 1.0, 1.2),
    temperatures: tuple[float, ...] | None = None,
) -> CachedLogits:
    """Exit e has seen observations 0..e, each drawn from N(a_j * onehot(label), 1).

    The logit sum_j a_j x_j is the exact log-posterior, so `temperatures` times it is calibrated by dividing by just
    these temperatures. Cost differs between spectra as with halting positions; exit 0 costs 500 MACs.
    """
    rng = np.random.default_rng(seed)
    n_exits = len(evidence)
    labels = rng.integers(0, n_classes, n)
    a = np.asarray(evidence)[:, np.newaxis, np.newaxis]
    observed = a * np.eye(n_classes)[labels] + rng.standard_normal((n_exits, n, n_classes))
    logits = np.cumsum(a * observed, axis=0)
    logits *= np.asarray(temperatures or (1.0,) * n_exits)[:, np.newaxis, np.newaxis]
    stage_macs = FIXED_MACS + (UNIT_MACS * rng.uniform(0.1, 0.6, (n_exits - 1, n))).astype(np.int64)
    macs = 500 + np.concatenate([np.zeros((1, n), dtype=np.int64), np.cumsum(stage_macs, axis=0)])
    static_macs = 500 + (n_exits - 1) * (FIXED_MACS + UNIT_MACS)
    return CachedLogits(logits.astype(np.float32), labels.astype(np.int64), macs, static_macs)
