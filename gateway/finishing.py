"""Finishing a batch: the deeper segments, each on the requests that are still undecided.

Legend: n requests, P positions, C channels, S size of the exit policy's state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.batching import Work
from gateway.engine import Engine
from specnet.errors import ModelError
from specnet.runtime import SegmentOutput


@dataclass(frozen=True)
class Answer:
    """What an exit says of one request; `macs` were executed here, `compute_s` since the batch began.

    `known` is false when the spectrum looks like no known class.
    """

    label: int
    probability: float
    exit_index: int
    macs: int
    compute_s: float
    known: bool = True


def finish(
    engine: Engine, batch: Sequence[Work], observe: Callable[[int, float], None]
) -> Iterator[tuple[Work, Answer]]:
    """Run the segments after the split; a request leaves as soon as an exit is sure, and the others go on without it.

    Parameters
    ----------
    engine
        Has loaded the bundle.
    batch
        Requests of one `Work.group`.
    observe
        Told the index of each segment that ran, and its seconds.

    Yields
    ------
    tuple
        Each request with its answer, in order of exit.

    Raises
    ------
    ModelError
        When a segment's logits have a wrong shape or are not finite; other errors are the engine's. What was yielded
        before holds.
    """
    began = time.perf_counter()
    manifest = batch[0].model.manifest
    policy = manifest.policy
    waiting = list(batch)
    features = np.stack([work.features for work in batch])
    state = np.stack([work.state for work in batch])
    macs = np.zeros(len(batch), dtype=np.int64)
    for index in range(batch[0].split + 1, len(manifest.segments)):
        segment_began = time.perf_counter()
        output = engine.run(manifest.bundle_id, index, features)
        observe(index, time.perf_counter() - segment_began)
        _check(output, index, len(waiting), len(manifest.classes))
        macs += manifest.segments[index].executed_macs(output.depth, len(waiting))
        decision = policy.decide(index, output.logits, state)
        elapsed = time.perf_counter() - began
        for row in np.flatnonzero(decision.leave):
            probabilities = decision.probabilities[row]
            label = int(probabilities.argmax())
            # exp of a log-probability rounds to a hair over one
            probability = min(1.0, float(probabilities[label]))
            known = bool(decision.known[row])
            yield waiting[row], Answer(label, probability, index, int(macs[row]), elapsed, known)
        stay = np.flatnonzero(~decision.leave)
        if not stay.size:
            return
        waiting = [waiting[row] for row in stay]
        macs, state = macs[stay], decision.state[stay]
        if output.features is None:
            raise ModelError(f"segment {index} hands on no features to the {stay.size} requests that stay")
        features = output.features[stay]


def _check(output: SegmentOutput, index: int, n: int, n_classes: int) -> None:
    if output.logits.shape != (n, n_classes):
        raise ModelError(f"segment {index} gives logits {output.logits.shape}, expected {(n, n_classes)}")
    # a NaN would compare false with every threshold and be handed out as an answer at the last exit
    if not np.isfinite(output.logits).all():
        raise ModelError(f"segment {index} gives logits that are not finite")
