"""What of a segment never moves at one batch size: buffers on both sides, and how to compute between them.

Legend: S rows of a padded batch, n rows that are wanted, P positions, C channels.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gateway.engines.memory import means_no_memory
from gateway.engines.protocol import Float32
from gateway.logs import fields
from specnet.runtime import SegmentOutput

_LOGGER = logging.getLogger(__name__)
MAX_LANES = 256
"""Lanes that are kept: at 64 requests a batch and three segments, those of a dozen bundles."""

Compute = Callable[[Tensor], tuple[Tensor | None, ...]]
"""Logits, features for the next segment and depth, of features ``(S, P, C)``."""
Replay = Callable[[], tuple[Tensor | None, ...]]
"""Computes what stands in a lane's input; gives the same tensors each time, with new content."""
Capture = Callable[[Compute, Tensor], Replay]


class LaneKey(NamedTuple):
    """What a lane is for."""

    bundle_id: str
    segment: int
    size: int


class Lane:
    """Fixed memory for batches of one size, through which they go to the device and back.

    On a GPU the host's side is pinned, so that copies are asynchronous and share the stream with the computation.

    Parameters
    ----------
    size, shape
        Rows S and shape ``(P, C)`` of a row.
    device
        Where to compute.
    prepare
        Makes the replay for the lane's input tensor.
    """

    def __init__(
        self, size: int, shape: tuple[int, ...], device: torch.device, prepare: Callable[[Tensor], Replay]
    ) -> None:
        self._pinned = device.type == "cuda"
        self._host = torch.zeros((size, *shape), pin_memory=self._pinned)
        self._input = self._host.to(device)
        self._replay = prepare(self._input)
        self._back: tuple[Tensor | None, ...] = ()

    def run(self, features: Float32, wait: Callable[[], None]) -> SegmentOutput:
        """Compute features ``(n, P, C)``, n at most S.

        The other rows hold what an earlier batch has left there: rows do not know of each other.

        Parameters
        ----------
        features
            What is wanted.
        wait
            Returns when all that was begun is done.
        """
        n = len(features)
        # numpy's view of the same memory: arrays decoded from a message may be read-only, which torch does not know
        self._host.numpy()[:n] = features
        self._input[:n].copy_(self._host[:n], non_blocking=True)
        outputs = self._replay()
        if not self._back:
            self._back = tuple(None if o is None else self._beside(o) for o in outputs)
        for host, output in zip(self._back, outputs, strict=True):
            if host is not None and output is not None:
                host[:n].copy_(output[:n], non_blocking=True)
        wait()
        logits, handed_on, depth = (None if host is None else np.array(host[:n].numpy()) for host in self._back)
        assert logits is not None
        return SegmentOutput(logits, handed_on, depth)

    def _beside(self, output: Tensor) -> Tensor:
        return torch.empty(output.shape, dtype=output.dtype, pin_memory=self._pinned)


class Lanes:
    """Lanes by bundle, segment and size, made when they are first needed; the least recently used one goes first.

    A segment that cannot be captured is computed call by call, which gives the same numbers more slowly.

    Parameters
    ----------
    device
        Where to compute.
    capture
        Records a computation, to be replayed.
    limit
        Most lanes that are kept.
    """

    def __init__(self, device: torch.device, capture: Capture, limit: int = MAX_LANES) -> None:
        self._device = device
        self._capture = capture
        self._limit = limit
        self._lanes: OrderedDict[LaneKey, Lane] = OrderedDict()
        self._not_captured: set[tuple[str, int]] = set()

    def __len__(self) -> int:
        return len(self._lanes)

    def get(self, key: LaneKey, shape: tuple[int, ...], compute: Compute) -> Lane:
        """Lane for rows of this shape; `compute` is what it computes."""
        lane = self._lanes.get(key)
        if lane is None:
            while len(self._lanes) >= self._limit:  # before a new one takes memory
                self._lanes.popitem(last=False)
            lane = Lane(key.size, shape, self._device, lambda tensor: self._prepare(key, compute, tensor))
            self._lanes[key] = lane
        self._lanes.move_to_end(key)
        return lane

    def forget(self, bundle_id: str) -> None:
        """Give up the lanes of a bundle."""
        for key in [key for key in self._lanes if key.bundle_id == bundle_id]:
            del self._lanes[key]
        self._not_captured = {segment for segment in self._not_captured if segment[0] != bundle_id}

    def clear(self) -> None:
        """Give up all lanes; they are made again when they are needed."""
        self._lanes.clear()

    def _prepare(self, key: LaneKey, compute: Compute, tensor: Tensor) -> Replay:
        segment = key.bundle_id, key.segment
        if segment not in self._not_captured:
            try:
                return self._capture(compute, tensor)
            except RuntimeError as error:  # an operation that cannot be recorded, or an older driver
                if means_no_memory(error):
                    raise
                self._not_captured.add(segment)
                _LOGGER.warning(
                    "a segment is computed without a CUDA graph",
                    extra=fields(bundle=key.bundle_id, segment=key.segment, error=error),
                )
        return lambda: compute(tensor)
