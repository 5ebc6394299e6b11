"""What a run says of spectra whose features went through a codec at a split point.

Legend: n spectra, L points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from specnet.calibration import CachedLogits
from specnet.codec import Codec, EncodedFeatures
from specnet.nn import SpecNet
from specnet.nn.splitting import run_behind, run_until
from specnet.training.run import BATCH, Run

Send = Callable[[NDArray[np.float32], NDArray[np.bool_] | None], EncodedFeatures]


@dataclass(frozen=True)
class CodedRun:
    """Logits of all exits, and the bytes ``(n,)`` that the features took."""

    logits: CachedLogits
    n_bytes: NDArray[np.int64]


def judge_coded(
    run: Run,
    split: int,
    codec: Codec,
    whole: CachedLogits,
    spectra: NDArray[np.float32],
    *,
    send: Send | None = None,
) -> CodedRun:
    """Run preprocessed spectra ``(n, L)`` through a codec at a split point.

    Parameters
    ----------
    run
        Holds a `SpecNet`.
    split, codec
        Where, and by what; the exits up to there say what they say without it.
    whole
        What the run says of the same spectra without it.
    spectra
        ``(n, L)``.
    send
        Told features ``(P, C)`` and where adaptive units ran, gives what is sent; by default what `codec` encodes.
    """
    network = run.network
    assert isinstance(network, SpecNet)
    logits, sizes = whole.logits.copy(), []
    network.eval()
    with torch.no_grad():
        for start in range(0, len(spectra), BATCH):
            handover = run_until(network, split, torch.from_numpy(spectra[start : start + BATCH])[:, None])
            adaptive = network.any_stage(split).halting is not None
            restored = []
            for row, features in enumerate(handover.features.numpy()):
                active = handover.depth[row].numpy() > 0 if adaptive else None
                whole_features = np.ascontiguousarray(features)
                data = codec.encode(whole_features, active) if send is None else send(whole_features, active).data
                sizes.append(len(data))
                restored.append(codec.decode(data, (features.shape[0], features.shape[1])))
            behind = run_behind(network, split, torch.from_numpy(np.stack(restored)))
            logits[split + 1 :, start : start + BATCH] = torch.stack(behind).numpy()
    cached = replace(whole, logits=logits)
    return CodedRun(cached, np.array(sizes, dtype=np.int64))
