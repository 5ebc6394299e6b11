"""A real bundle made by hand in milliseconds, without training: small matrices as ONNX graphs, numpy as reference.

Four segments (exits 0..3, splits 0..2), 3 classes, spectra of 32 channels::

    segment 0   (n, 32, 1) -> logits                          the linear exit
    segment 1   (n, 32, 1) -> next (n, 8, 4), depth, logits
    segment 2   (n, 8, 4)  -> next (n, 8, 6), depth, logits
    segment 3   (n, 8, 6)  -> depth, logits

Weights and spectra come from a seed. With the default policy every exit has a share of the spectra.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from specnet.bundle import FORMAT, FORMAT_VERSION, read_bundle, write_bundle
from specnet.codec import encode_features
from specnet.exits import ExitPolicy
from specnet.manifest import SELFTEST, WEIGHTS, Manifest, SegmentInfo
from specnet.runtime import Segments
from specnet.spectra import SpectralAxis
from specnet.wire import OffloadRequest, Provisional

Float32 = NDArray[np.float32]
N_POINTS = 32
CLASSES = ("quartz", "calcite", "gypsum")
SHAPES = ((32, 1), (8, 4), (8, 6))
POLICY = ExitPolicy(temperatures=(1.0, 1.2, 0.9, 1.0), thresholds=(0.9, 0.72, 0.6, 0.5))


def spectra(n: int, seed: int = 0) -> Float32:
    """Spectra ``(n, 32)``: a peak somewhere on noise."""
    generator = np.random.default_rng(seed)
    centre = generator.uniform(4, 28, size=(n, 1))
    peak = 2.0 * np.exp(-0.5 * ((np.arange(N_POINTS) - centre) / 2.5) ** 2)
    return (peak + 0.3 * generator.standard_normal((n, N_POINTS))).astype(np.float32)


@dataclass(frozen=True)
class _Weights:
    mix: tuple[Float32, ...]
    heads: tuple[Float32, ...]


def _weights(seed: int) -> _Weights:
    generator = np.random.default_rng([seed, 1])

    def draw(rows: int, columns: int, gain: float) -> Float32:
        return (gain / np.sqrt(rows) * generator.standard_normal((rows, columns))).astype(np.float32)

    return _Weights((draw(4, 4, 1.0), draw(4, 6, 1.0)), tuple(draw(rows, 3, 3.0) for rows in (32, 32, 48, 48)))


def reference_logits(intensity: Float32, seed: int = 0) -> Float32:
    """Logits ``(4, n, 3)`` of all exits in plain numpy."""
    weights, n = _weights(seed), len(intensity)
    first = np.maximum(intensity.reshape(n, 8, 4) @ weights.mix[0], 0)
    second = np.maximum(first @ weights.mix[1], 0)
    taps = (intensity, first, second, second)
    return np.stack([tap.reshape(n, -1) @ head for tap, head in zip(taps, weights.heads, strict=True)])


def _graph(index: int, weights: _Weights) -> bytes:
    constants = {"head": weights.heads[index]}
    nodes, outputs, tap = [], [], "features"
    if index in (1, 2):
        constants |= {"rows": np.array([-1, 8, 4], dtype=np.int64), "mix": weights.mix[index - 1]}
        nodes += [
            helper.make_node("Reshape", ["features", "rows"], ["shaped"]),
            helper.make_node("MatMul", ["shaped", "mix"], ["mixed"]),
            helper.make_node("Relu", ["mixed"], ["next"]),
        ]
        outputs.append(helper.make_tensor_value_info("next", TensorProto.FLOAT, ["n", *SHAPES[index]]))
        tap = "next"
    if index > 0:
        constants |= {"zero": np.float32(0), "last": np.array([2], dtype=np.int64)}
        nodes += [
            helper.make_node("ReduceMax", [tap], ["highest"], axes=[2], keepdims=0),
            helper.make_node("Greater", ["highest", "zero"], ["active"]),
            helper.make_node("Cast", ["active"], ["depth"], to=TensorProto.UINT8),
        ]
        outputs.append(helper.make_tensor_value_info("depth", TensorProto.UINT8, ["n", 8]))
    nodes += [
        helper.make_node("Flatten", [tap], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
    ]
    outputs.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3]))
    shape = _input_shape(index)
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        f"segment{index}",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", *shape])],
        outputs,
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _input_shape(index: int) -> tuple[int, int]:
    return SHAPES[max(0, index - 1)]


def make_bundle(
    path: Path,
    *,
    seed: int = 0,
    name: str = "hand",
    version: int = 1,
    policy: ExitPolicy = POLICY,
    selftest_error: float = 0.0,
) -> Manifest:
    """Write the bundle; `selftest_error` shifts the expected logits so that the self-test must fail."""
    weights = _weights(seed)
    segments = tuple(
        SegmentInfo(
            file=f"segments/{index}.onnx",
            input_shape=_input_shape(index),
            feature_shape=SHAPES[index] if index in (1, 2) else None,
            fixed_macs=100 * (index + 1),
            units=0 if index == 0 else 1,
            unit_macs=0 if index == 0 else 7,
        )
        for index in range(4)
    )
    intensity = spectra(4, seed=99)
    vectors = io.BytesIO()
    np.savez(vectors, intensity=intensity, logits=reference_logits(intensity, seed) + np.float32(selftest_error))
    files = {segment.file: _graph(index, weights) for index, segment in enumerate(segments)}
    # no network of specnet.nn computes this, so the weights are an empty safetensors file
    files |= {WEIGHTS: struct.pack("<Q", 2) + b"{}", SELFTEST: vectors.getvalue()}
    axis = SpectralAxis.channels(N_POINTS).to_dict()
    manifest = Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        bundle_id="",
        name=name,
        version=version,
        created="2025-01-01T00:00:00Z",
        producer="tests",
        classes=CLASSES,
        axis=axis,
        source_axis=axis,
        intensity_unit="counts",
        pipeline=[],
        segments=segments,
        policy=policy,
        operating_points={},
        codecs={"0": "float32", "1": "float32", "2": "float32"},
        architecture={},
        provenance={},
        files={},
    )
    return write_bundle(path, manifest, files)


@dataclass(frozen=True)
class Expected:
    """The answer to a request, computed one spectrum at a time with every segment run."""

    label: int
    probability: float
    exit_index: int
    macs: int


class DeviceSide:
    """What a device does with this bundle, or any other: runs segments 0..split and makes requests."""

    def __init__(self, path: Path, *, site: str = "lab", device: str = "probe-1", boot: int = 1) -> None:
        self.bundle = read_bundle(path)
        self._segments = Segments(self.bundle)
        self.site, self.device, self.boot = site, device, boot

    def request(
        self, spectrum: Float32, sequence: int, *, split: int = 1, codec: str = "float32", audit: bool = False
    ) -> OffloadRequest:
        """Request for one raw spectrum ``(points,)``."""
        policy, classes = self.bundle.manifest.policy, len(self.bundle.manifest.classes)
        features, state = self._prepared(spectrum), policy.initial_state(1, classes)
        for index in range(split + 1):
            output = self._segments.run(index, features)
            decision = policy.decide(index, output.logits, state)
            state = decision.state
            features = features if output.features is None else output.features
        answer = int(decision.probabilities[0].argmax())
        return OffloadRequest(
            site=self.site,
            device=self.device,
            boot=self.boot,
            sequence=sequence,
            bundle=self.bundle.bundle_id,
            split=split,
            features=encode_features(codec, features[0]),
            state=state[0].astype("<f4").tobytes(),
            provisional=Provisional(
                label=answer, probability=float(decision.probabilities[0, answer]), exit_index=split
            ),
            audit=audit,
        )

    def expected(self, spectrum: Float32, *, split: int = 1) -> Expected:
        """Answer that the gateway has to give when features travel without loss."""
        manifest = self.bundle.manifest
        logits, depths = self._segments.run_all(self._prepared(spectrum)[..., 0])
        state, macs = manifest.policy.initial_state(1, len(manifest.classes)), 0
        for index, segment in enumerate(manifest.segments):
            decision = manifest.policy.decide(index, logits[index], state)
            state = decision.state
            if index > split:
                macs += int(segment.executed_macs(depths[index], 1)[0])
                if decision.leave[0]:
                    label = int(decision.probabilities[0].argmax())
                    return Expected(label, float(decision.probabilities[0, label]), index, macs)
        raise AssertionError("the last exit lets everything leave")

    def _prepared(self, spectrum: Float32) -> Float32:
        prepared = self.bundle.pipeline.bind(self.bundle.source_axis)(spectrum[np.newaxis])
        return prepared[..., np.newaxis]
