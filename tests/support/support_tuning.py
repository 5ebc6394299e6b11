"""Options of a network with four exits, without a network."""

from __future__ import annotations

import numpy as np

from specnet.calibration import CachedLogits
from specnet.calibration.exit_table import ExitTable
from specnet.calibration.recipe import HeldOutMerit
from specnet.tuning.options import Option

EXITS, CLASSES = 4, 3


def make_option(
    *, split: int, codec: str, n_bytes: int = 0, n: int = 40, seed: int = 0, skill: float = 1.0, loss: float = 0.0
) -> Option:
    """An option whose deeper exits are right more often; `loss` is how much worse the exits behind the split are."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    logits = rng.normal(0, 1, (EXITS, n, CLASSES)).astype(np.float32)
    for index in range(EXITS):
        gain = skill * (index + 1) - (loss if index > split else 0.0)
        logits[index, np.arange(n), labels] += gain
    macs = np.repeat(1000 * 2 ** np.arange(EXITS)[:, None], n, axis=1)
    cached = CachedLogits(logits, labels, macs, int(macs[-1, 0]))
    z = logits - logits.max(axis=2, keepdims=True)
    probabilities = np.exp(z) / np.exp(z).sum(axis=2, keepdims=True)
    scores = probabilities.max(axis=2).astype(np.float32)
    correct = logits.argmax(axis=2) == labels
    merit = HeldOutMerit(scores, ((correct + scores) / 2).astype(np.float32))
    sizes = np.full(n, n_bytes if split < EXITS - 1 else 0, dtype=np.int64)
    return Option(split, codec, cached, sizes, ExitTable(scores, correct, macs), merit)
