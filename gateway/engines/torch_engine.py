"""Segments in torch, on a CPU or a GPU.

Legend: n spectra, P positions, C channels.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from gateway.engines.graphs import GraphCapture
from gateway.engines.lanes import Compute, LaneKey, Lanes, Replay
from gateway.engines.memory import means_no_memory
from gateway.engines.padding import batch_sizes, padded_size, portions
from gateway.engines.precision import FLOAT32, Choice, candidates, choose_precision
from gateway.engines.protocol import Float32
from gateway.engines.trial import check_bundle
from gateway.logs import fields
from specnet.bundle import Bundle
from specnet.errors import ConfigurationError, EngineMemoryError, ModelError
from specnet.manifest import WEIGHTS
from specnet.nn import SpecNet, load_weights
from specnet.runtime import SegmentOutput

_LOGGER = logging.getLogger(__name__)
T = TypeVar("T")


class TorchEngine:
    """The network itself, built from the bundle's architecture and weights.

    On a GPU batches are padded to a few sizes (`gateway.engines.padding`), go through pinned memory on one stream, and
    are computed as CUDA graphs. No shape depends on the data: residual units run at every position and are multiplied
    by the gates, so a halted position costs as much as another one there; the depth, and the MACs that follow from it,
    are those of the gates. On a CPU a batch is computed as it is.

    Parameters
    ----------
    device
        ``"cpu"`` or ``"cuda"`` (also ``"cuda:1"``).
    threads
        Threads of torch on the CPU.
    max_batch
        Largest batch of a GPU; larger ones are cut.
    precision
        ``"float32"``, or ``"auto"``: half precision for bundles whose self-test stays within its tolerance.
    half_tolerance
        Deviation of a logit that half precision may have where that is more than the bundle's tolerance, which is made
        for the rounding of single precision.
    padded
        Whether batches are padded and go through fixed memory; by default on a GPU only.

    Raises
    ------
    ConfigurationError
        When the device is not there.
    """

    def __init__(
        self,
        device: str = "cpu",
        threads: int = 1,
        *,
        max_batch: int = 64,
        precision: str = FLOAT32,
        half_tolerance: float = 0.0,
        padded: bool | None = None,
    ) -> None:
        self.name = f"torch-{device}"
        self._device = _usable(device)
        self._candidates = candidates(precision)
        self._half_tolerance = half_tolerance
        self._sizes = batch_sizes(max_batch)
        self._networks: dict[str, SpecNet] = {}
        self._precisions: dict[str, str] = {}
        # streams, graphs and fixed memory are for one thread at a time: a bundle is tried while others are served
        self._lock = threading.RLock()
        self._stream: torch.cuda.Stream | None = None
        if self._device.type == "cpu":
            torch.set_num_threads(threads)
            capture = _call_by_call
        else:
            # answers must agree with the device's ONNX segments within the self-test's tolerance; TF32 has 10 bits
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
            self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            capture = GraphCapture(self._stream)
        self._padded = self._device.type == "cuda" if padded is None else padded
        self.lanes = Lanes(self._device, capture)

    def load(self, bundle: Bundle) -> None:
        """Build the network in the precision that its self-test allows.

        Raises
        ------
        ModelError
            When architecture and weights do not go together.
        EngineMemoryError
            When there is no memory for it.
        """

        def attempt(precision: str) -> None:
            self._build(bundle, precision)
            check_bundle(self, bundle)

        choice = choose_precision(self._candidates, attempt)
        self._build(bundle, choice.precision)
        _log_choice(bundle.bundle_id, choice)

    def unload(self, bundle_id: str) -> None:
        """Forget a bundle."""
        with self._lock:
            self._networks.pop(bundle_id, None)
            self._precisions.pop(bundle_id, None)
            self.lanes.forget(bundle_id)
            self._release_cache()

    def precision(self, bundle_id: str) -> str:
        """Name what a loaded bundle is computed in; `ModelError` when it is not loaded."""
        if bundle_id not in self._precisions:
            raise self._not_loaded(bundle_id)
        return self._precisions[bundle_id]

    def tolerance(self, bundle: Bundle) -> float:
        """Allow what the bundle states in single precision; in half precision at least `half_tolerance`."""
        own = bundle.manifest.selftest_tolerance
        return own if self.precision(bundle.bundle_id) == FLOAT32 else max(own, self._half_tolerance)

    def run(self, bundle_id: str, segment_index: int, features: Float32) -> SegmentOutput:
        """Run one segment on features ``(n, P, C)``; errors as in `Engine`."""
        with self._lock:
            network = self._networks.get(bundle_id)
            if network is None:
                raise self._not_loaded(bundle_id)
            compute = _computation(network, segment_index)

            def work() -> SegmentOutput:
                if not self._padded:
                    # a copy: arrays decoded from a message may be read-only, which torch does not know
                    return _output(compute(torch.tensor(features, device=self._device)))
                sizes, shape = self._sizes, features.shape[1:]
                parts = []
                for rows in portions(len(features), sizes[-1]):
                    size = padded_size(rows.stop - rows.start, sizes)
                    lane = self.lanes.get(LaneKey(bundle_id, segment_index, size), shape, compute)
                    parts.append(lane.run(features[rows], self._wait))
                return parts[0] if len(parts) == 1 else _joined(parts)

            return self._within_memory(work, f"segment {segment_index} of {len(features)} spectra")

    def _build(self, bundle: Bundle, precision: str) -> None:
        # from the bundle's own weights each time: what was rounded once stays rounded
        network = load_weights(bundle.manifest.architecture, bundle.files[WEIGHTS])
        if not isinstance(network, SpecNet):
            raise ModelError(f"bundle {bundle.bundle_id} holds a {type(network).__name__}, expected a SpecNet")
        with self._lock:
            self.lanes.forget(bundle.bundle_id)
            self._networks[bundle.bundle_id] = self._within_memory(
                lambda: network.to(self._device, getattr(torch, precision)).eval(),
                f"the weights of bundle {bundle.bundle_id}",
            )
            self._precisions[bundle.bundle_id] = precision

    def _within_memory(self, work: Callable[[], T], what: str) -> T:
        """Do some work; turn the want of memory into `EngineMemoryError`, and give back all that can be given back."""
        try:
            with torch.inference_mode(), self._on_stream():
                return work()
        except RuntimeError as error:
            if not means_no_memory(error):
                raise
            text = str(error).partition("\n")[0]
        # behind the handler: the error's traceback would keep the tensors of its frames alive
        self.lanes.clear()
        self._release_cache()
        raise EngineMemoryError(f"no memory for {what}: {text}")

    def _release_cache(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _on_stream(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _wait(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()

    def _not_loaded(self, bundle_id: str) -> ModelError:
        return ModelError(f"bundle {bundle_id} is not loaded; loaded: {sorted(self._networks)}")


def _usable(device: str) -> torch.device:
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigurationError(f"device {device!r} was asked for, but torch {torch.__version__} finds no CUDA GPU")
    try:
        usable = torch.device(device)
        torch.zeros(1, device=usable)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(f"torch cannot use device {device!r}: {error}") from error
    return usable


def _computation(network: SpecNet, index: int) -> Compute:
    """Make a segment from and to float32, with tensors whose rows lie one behind the other."""
    dtype = network.stem.weight.dtype

    def compute(features: Tensor) -> tuple[Tensor | None, ...]:
        logits, handed_on, depth = network.run_segment(index, features.to(dtype))
        return (
            logits.float(),
            None if handed_on is None else handed_on.float().contiguous(),
            None if depth is None else depth.to(torch.uint8),
        )

    return compute


def _call_by_call(compute: Compute, tensor: Tensor) -> Replay:
    return lambda: compute(tensor)


def _output(tensors: tuple[Tensor | None, ...]) -> SegmentOutput:
    logits, handed_on, depth = (None if tensor is None else tensor.cpu().numpy() for tensor in tensors)
    assert logits is not None
    return SegmentOutput(logits, handed_on, depth)


def _joined(parts: list[SegmentOutput]) -> SegmentOutput:
    features = [part.features for part in parts if part.features is not None]
    depths = [part.depth for part in parts if part.depth is not None]
    return SegmentOutput(
        np.concatenate([part.logits for part in parts]),
        np.concatenate(features) if features else None,
        np.concatenate(depths) if depths else None,
    )


def _log_choice(bundle_id: str, choice: Choice) -> None:
    _LOGGER.info(
        "precision chosen",
        extra=fields(bundle=bundle_id, precision=choice.precision, refused="; ".join(choice.refused)),
    )
