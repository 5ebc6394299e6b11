"""Trying a bundle in the engine that will serve it, before any request comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.engines.padding import batch_sizes
from gateway.engines.protocol import Engine, Float32
from specnet.bundle import Bundle
from specnet.errors import BundleIntegrityError, EngineMemoryError
from specnet.runtime import SegmentOutput, self_test


def check_bundle(engine: Engine, bundle: Bundle) -> float:
    """Run the bundle's self-test vectors through the engine that will serve it.

    Returns
    -------
    float
        Largest deviation of a logit.

    Raises
    ------
    BundleIntegrityError
        When the vectors are missing or the deviation is over what the engine may have.
    """
    try:
        return self_test(_Loaded(engine, bundle), engine.tolerance(bundle))
    except BundleIntegrityError as error:
        raise BundleIntegrityError(f"{error} (engine {engine.name})") from error


@dataclass(frozen=True)
class _Loaded:
    """One bundle of an engine, as the self-test wants to run it."""

    engine: Engine
    bundle: Bundle

    def run(self, index: int, features: Float32) -> SegmentOutput:
        return self.engine.run(self.bundle.bundle_id, index, features)


def warm_up(engine: Engine, bundle: Bundle, max_batch: int) -> None:
    """Run every segment with zeros at the batch sizes that will come, so that the first request pays for no set-up.

    On a GPU this is where kernels are chosen and graphs are captured. A size for which there is no memory is left to
    the worker, which learns to do without it; `EngineMemoryError` when not even one spectrum fits.
    """
    for index in range(1, len(bundle.manifest.segments)):
        shape = bundle.manifest.segments[index].input_shape
        for size in batch_sizes(max_batch):
            try:
                engine.run(bundle.bundle_id, index, np.zeros((size, *shape), dtype=np.float32))
            except EngineMemoryError:
                if size == 1:
                    raise
                break
