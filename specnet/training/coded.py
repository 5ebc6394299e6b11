"""What a run says of spectra whose features went through a codec at a split point.

Legend: n spectra, L points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from specnet.calibration import CachedLogits
from specnet.codec import LearnedCodec
from specnet.nn import SpecNet
from specnet.nn.splitting import run_behind, run_until
from specnet.training.run import BATCH, Run


@dataclass(frozen=True)
class CodedRun:
    """Logits of all exits, and the bytes ``(n,)`` that the features took."""

    logits: CachedLogits
    n_bytes: NDArray[np.int64]


def judge_coded(run: Run, codec: LearnedCodec, whole: CachedLogits, spectra: NDArray[np.float32]) -> CodedRun:
    """Run preprocessed spectra ``(n, L)`` through a codec.

    Parameters
    ----------
    run, codec
        Network and bottleneck; the exits up to the split say what they say without it.
    whole
        What the run says of the same spectra without it.
    spectra
        ``(n, L)``.
    """
    network, split = run.network, codec.info.split
    assert isinstance(network, SpecNet)
    logits, sizes = whole.logits.copy(), []
    network.eval()
    with torch.no_grad():
        for start in range(0, len(spectra), BATCH):
            handover = run_until(network, split, torch.from_numpy(spectra[start : start + BATCH])[:, None])
            adaptive = network.stage(split).halting is not None
            restored = []
            for row, features in enumerate(handover.features.numpy()):
                active = handover.depth[row].numpy() > 0 if adaptive else None
                data = codec.encode(np.ascontiguousarray(features), active)
                sizes.append(len(data))
                restored.append(codec.decode(data, codec.info.shape))
            behind = run_behind(network, split, torch.from_numpy(np.stack(restored)))
            logits[split + 1 :, start : start + BATCH] = torch.stack(behind).numpy()
    cached = CachedLogits(logits, whole.labels, whole.macs, whole.static_macs)
    return CodedRun(cached, np.array(sizes, dtype=np.int64))
