"""One segment for a batch: who leaves with which answer, and who goes on.

Legend: n requests, P positions, C channels, S size of the exit policy's state.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.engine import Engine
from gateway.work import Float32, Task
from specnet.errors import ModelError
from specnet.runtime import SegmentOutput


@dataclass(frozen=True, slots=True)
class Answer:
    """What an exit says of one request; `known` is false when the spectrum looks like no known class."""

    label: int
    probability: float
    exit_index: int
    known: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """What came of a batch: the tasks that left with their answers, those that go on, and the segment's seconds."""

    answered: list[tuple[Task, Answer]]
    staying: list[Task]
    seconds: float


def run_step(engine: Engine, batch: Sequence[Task]) -> Step:
    """Run the next segment of a batch; a request leaves as soon as an exit is sure.

    Parameters
    ----------
    engine
        Has loaded the bundle.
    batch
        At least one task, all of one bundle and segment, decoded. They are changed once everything has gone well: MACs,
        time, and for those that stay segment, features and state.

    Raises
    ------
    ModelError
        When a segment's logits have a wrong shape or are not finite, or features are missing; other errors are the
        engine's. No task has changed then.
    """
    index, manifest = batch[0].segment, batch[0].work.model.manifest
    n = len(batch)
    features, state = _stacked([task.features for task in batch]), _stacked([task.state for task in batch])
    began = time.perf_counter()
    output = engine.run(manifest.bundle_id, index, features)
    seconds = time.perf_counter() - began
    _check(output, index, n, len(manifest.classes))
    decision = manifest.policy.decide(index, output.logits, state)
    leave = decision.leave.tolist()
    handed_on = output.features
    if handed_on is None and not all(leave):
        raise ModelError(f"segment {index} hands on no features to the {leave.count(False)} requests that stay")
    labels = decision.probabilities.argmax(axis=1).tolist()
    # exp of a log-probability rounds to a hair over one
    probabilities = np.minimum(decision.probabilities.max(axis=1), 1.0).tolist()
    known = decision.known.tolist()
    macs = manifest.segments[index].executed_macs(output.depth, n).tolist()
    answered, staying = [], []
    for row, task in enumerate(batch):
        task.macs += macs[row]
        task.compute_s += seconds
        if leave[row]:
            answered.append((task, Answer(labels[row], probabilities[row], index, known[row])))
        else:
            assert handed_on is not None
            task.segment, task.features, task.state = index + 1, handed_on[row], decision.state[row]
            staying.append(task)
    return Step(answered, staying, seconds)


def _stacked(arrays: Sequence[Float32 | None]) -> Float32:
    """Join along a new first axis; a single one is not copied."""
    there = [array for array in arrays if array is not None]
    if len(there) != len(arrays):
        raise ModelError(f"{len(arrays) - len(there)} of {len(arrays)} requests have not been decoded")
    return there[0][np.newaxis] if len(there) == 1 else np.stack(there)


def _check(output: SegmentOutput, index: int, n: int, n_classes: int) -> None:
    if output.logits.shape != (n, n_classes):
        raise ModelError(f"segment {index} gives logits {output.logits.shape}, expected {(n, n_classes)}")
    # a NaN would compare false with every threshold and be handed out as an answer at the last exit
    if not np.isfinite(output.logits).all():
        raise ModelError(f"segment {index} gives logits that are not finite")
