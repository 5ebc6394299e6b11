"""Engines that run segments: ONNX Runtime on a CPU, torch on a CPU or a GPU.

Legend: n spectra, P positions, C channels, K stages (segments 0..K).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.bundle import Bundle
from specnet.errors import BundleIntegrityError, ConfigurationError, ModelError
from specnet.manifest import WEIGHTS
from specnet.runtime import SegmentOutput, Segments, self_test

if TYPE_CHECKING:
    from specnet.nn import SpecNet

Float32 = NDArray[np.float32]


class Engine(Protocol):
    """Runs segments of the bundles that it has loaded. One thread runs at a time; another one may load meanwhile."""

    name: str

    def load(self, bundle: Bundle) -> None:
        """Make the segments of a bundle ready to run."""

    def unload(self, bundle_id: str) -> None:
        """Forget a bundle; nothing happens when it is not loaded."""

    def run(self, bundle_id: str, segment_index: int, features: Float32) -> SegmentOutput:
        """Run one segment on features ``(n, P, C)``; `ModelError` when the bundle is not loaded."""


class OnnxEngine:
    """Segments as ONNX graphs on the CPU.

    Parameters
    ----------
    threads
        Threads of one segment call.
    """

    def __init__(self, threads: int = 1) -> None:
        self.name = "onnxruntime"
        self._threads = threads
        self._segments: dict[str, Segments] = {}

    def load(self, bundle: Bundle) -> None:
        """Make the segments ready; `BundleError` when one is no valid ONNX model."""
        self._segments[bundle.bundle_id] = Segments(bundle, threads=self._threads)

    def unload(self, bundle_id: str) -> None:
        """Forget a bundle."""
        self._segments.pop(bundle_id, None)

    def run(self, bundle_id: str, segment_index: int, features: Float32) -> SegmentOutput:
        """Run one segment on features ``(n, P, C)``."""
        segments = self._segments.get(bundle_id)
        if segments is None:
            raise ModelError(f"bundle {bundle_id} is not loaded; loaded: {sorted(self._segments)}")
        return segments.run(segment_index, features)


class TorchEngine:
    """The network itself, built from the bundle's architecture and weights.

    Parameters
    ----------
    device
        ``"cpu"`` or ``"cuda"`` (also ``"cuda:1"``).
    threads
        Threads of torch on the CPU.

    Raises
    ------
    ConfigurationError
        When torch is not installed or the device is not there.
    """

    def __init__(self, device: str = "cpu", threads: int = 1) -> None:
        try:
            import torch
        except ImportError as error:
            raise ConfigurationError(
                "engine torch needs torch, which is not installed: pip install 'specnet-edge[gateway,train]', "
                "or use --engine onnxruntime"
            ) from error
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigurationError(
                f"device {device!r} was asked for, but torch {torch.__version__} finds no CUDA GPU"
            )
        self.name = f"torch-{device}"
        self._torch = torch
        self._networks: dict[str, SpecNet] = {}
        try:
            self._device = torch.device(device)
            torch.zeros(1, device=self._device)
        except (RuntimeError, AssertionError) as error:
            raise ConfigurationError(f"torch cannot use device {device!r}: {error}") from error
        if device == "cpu":
            torch.set_num_threads(threads)
        else:
            # answers must agree with the device's ONNX segments within the self-test's tolerance; TF32 has 10 bits
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False

    def load(self, bundle: Bundle) -> None:
        """Build the network; `ModelError` when architecture and weights do not go together."""
        from specnet.nn import SpecNet, load_weights

        network = load_weights(bundle.manifest.architecture, bundle.files[WEIGHTS])
        if not isinstance(network, SpecNet):
            raise ModelError(f"bundle {bundle.bundle_id} holds a {type(network).__name__}, expected a SpecNet")
        self._networks[bundle.bundle_id] = network.to(self._device).eval()

    def unload(self, bundle_id: str) -> None:
        """Forget a bundle."""
        self._networks.pop(bundle_id, None)

    def run(self, bundle_id: str, segment_index: int, features: Float32) -> SegmentOutput:
        """Run one segment on features ``(n, P, C)``."""
        network = self._networks.get(bundle_id)
        if network is None:
            raise ModelError(f"bundle {bundle_id} is not loaded; loaded: {sorted(self._networks)}")
        with self._torch.inference_mode():
            # a copy: arrays decoded from a message may be read-only, which torch does not know
            inputs = self._torch.tensor(features, device=self._device)
            logits, handed_on, depth = network.run_segment(segment_index, inputs)
        return SegmentOutput(
            _array(logits, np.float32),
            None if handed_on is None else _array(handed_on, np.float32),
            None if depth is None else _array(depth, np.uint8),
        )


def _array(tensor: Any, dtype: type[np.generic]) -> NDArray[Any]:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=dtype)


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine: device ``cpu`` or ``cuda``, engine ``auto``, ``onnxruntime`` or ``torch``, threads of a call."""

    device: str = "cpu"
    engine: str = "auto"
    threads: int = 1


def create_engine(settings: EngineSettings) -> Engine:
    """Make the engine: ONNX Runtime for the CPU and torch for a GPU unless one is named.

    Raises
    ------
    ConfigurationError
        When engine and device do not go together or are not there.
    """
    engine = settings.engine
    if engine == "auto":
        engine = "onnxruntime" if settings.device == "cpu" else "torch"
    if engine == "torch":
        return TorchEngine(settings.device, settings.threads)
    if engine == "onnxruntime" and settings.device == "cpu":
        return OnnxEngine(settings.threads)
    raise ConfigurationError(
        f"engine {engine!r} on device {settings.device!r} is not there; use onnxruntime on cpu, or torch on cpu or cuda"
    )


def check_bundle(engine: Engine, bundle: Bundle) -> float:
    """Run the bundle's self-test vectors through the engine that will serve it, which also warms it up.

    Returns
    -------
    float
        Largest deviation of a logit.

    Raises
    ------
    BundleIntegrityError
        When the vectors are missing or the deviation is over the bundle's tolerance.
    """
    try:
        return self_test(_Loaded(engine, bundle))
    except BundleIntegrityError as error:
        raise BundleIntegrityError(f"{error} (engine {engine.name})") from error


@dataclass(frozen=True)
class _Loaded:
    """One bundle of an engine, as the self-test wants to run it."""

    engine: Engine
    bundle: Bundle

    def run(self, index: int, features: Float32) -> SegmentOutput:
        return self.engine.run(self.bundle.bundle_id, index, features)


def warm_up(engine: Engine, bundle: Bundle, batch: int) -> None:
    """Run every segment once with a full batch of zeros, so that the first request pays for no set-up."""
    for index in range(1, len(bundle.manifest.segments)):
        shape = bundle.manifest.segments[index].input_shape
        engine.run(bundle.bundle_id, index, np.zeros((batch, *shape), dtype=np.float32))
