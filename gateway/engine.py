"""Which engine computes: ONNX Runtime on a CPU, torch on a CPU or a GPU."""

from __future__ import annotations

from typing import Self

import msgspec

from gateway.config import GatewaySettings
from gateway.engines.onnx_engine import OnnxEngine
from gateway.engines.precision import FLOAT32
from gateway.engines.protocol import Engine, Float32
from gateway.engines.trial import check_bundle, warm_up
from specnet.errors import ConfigurationError

__all__ = ["Engine", "EngineSettings", "Float32", "OnnxEngine", "check_bundle", "create_engine", "warm_up"]


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine.

    Parameters
    ----------
    device, engine, threads
        ``cpu`` or ``cuda``; ``auto``, ``onnxruntime`` or ``torch``; threads of a call on a CPU.
    max_batch
        Largest batch that will come.
    precision, half_tolerance
        ``float32`` or ``auto``; only torch knows others than the first. Deviation of a logit that others may have.
    """

    device: str = "cpu"
    engine: str = "auto"
    threads: int = 1
    max_batch: int = 64
    precision: str = FLOAT32
    half_tolerance: float = 0.0

    @classmethod
    def of(cls, settings: GatewaySettings) -> Self:
        """Take what a gateway's settings say of its engine."""
        return cls(
            device=settings.device,
            engine=settings.engine,
            threads=settings.threads,
            max_batch=settings.max_batch,
            precision=settings.precision,
            half_tolerance=settings.half_tolerance,
        )


def create_engine(settings: EngineSettings) -> Engine:
    """Make the engine: ONNX Runtime for the CPU and torch for a GPU unless one is named.

    Raises
    ------
    ConfigurationError
        When engine and device do not go together or are not there, or torch is not installed.
    """
    engine = settings.engine
    if engine == "auto":
        engine = "onnxruntime" if settings.device == "cpu" else "torch"
    if engine == "torch":
        return _torch_engine(settings)
    if engine == "onnxruntime" and settings.device == "cpu":
        return OnnxEngine(settings.threads)
    raise ConfigurationError(
        f"engine {engine!r} on device {settings.device!r} is not there; use onnxruntime on cpu, or torch on cpu or cuda"
    )


def _torch_engine(settings: EngineSettings) -> Engine:
    try:
        from gateway.engines.torch_engine import TorchEngine
    except ImportError as error:
        raise ConfigurationError(
            f"engine torch needs torch, which is not installed ({error}): pip install 'specnet-edge[gateway,train]', "
            "or use --engine onnxruntime"
        ) from error
    return TorchEngine(
        settings.device,
        settings.threads,
        max_batch=settings.max_batch,
        precision=settings.precision,
        half_tolerance=settings.half_tolerance,
    )
