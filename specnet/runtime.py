"""Running a bundle's segments with ONNX Runtime: the same code on the device, in the gateway and for `predict`.

ONNX Runtime never ends a graph early, so every segment is a graph of its own and the control flow is here.

Legend: n spectra, L points, C classes, E exits, P positions of a stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import onnxruntime as ort
from numpy.typing import ArrayLike, NDArray

from specnet.bundle import Bundle, read_bundle
from specnet.errors import AxisError, BundleError, BundleIntegrityError, ConfigurationError, SpectrumError
from specnet.exits import ExitPolicy
from specnet.spectra import SpectralAxis

Float32 = NDArray[np.float32]
MAX_BATCH = 1024


class SegmentOutput(msgspec.Struct, frozen=True):
    """What one segment says of n spectra.

    Logits ``(n, C)``; features ``(n, P, channels)`` for the next segment, None after the last and after segment 0;
    depth ``(n, P)``, the number of residual units that ran at each position, None where the segment has none.
    """

    logits: Float32
    features: Float32 | None
    depth: NDArray[np.uint8] | None


class Runner(Protocol):
    """Whatever executes the segments of one bundle: `Segments`, or an engine of the gateway."""

    @property
    def bundle(self) -> Bundle:
        """Whose segments these are."""

    def run(self, index: int, features: Float32) -> SegmentOutput:
        """Run one segment on features ``(n, *input_shape)``."""


class Segments:
    """Loaded segments of a bundle.

    Parameters
    ----------
    bundle
        A checked bundle.
    indices
        Which segments to load; all by default. A device that always splits at s needs 0..s only.
    threads
        Threads of one segment call; 1 is best for batch 1 on a small board.
    serving
        For a server with batches of all sizes: memory goes back after each call instead of staying with each segment,
        and waiting threads sleep instead of taking the processor from others.

    Raises
    ------
    BundleError
        When a segment is no valid ONNX model.
    ConfigurationError
        When `threads` is less than one.
    """

    def __init__(
        self, bundle: Bundle, indices: Sequence[int] | None = None, *, threads: int = 1, serving: bool = False
    ) -> None:
        if threads < 1:
            raise ConfigurationError(f"threads is {threads}, expected at least 1")
        self._bundle = bundle
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # measured: an arena a segment takes 25 to 190 MB a bundle (nano to base) at batches of up to 64 and grows with
        # each new size; without it a bundle takes 9 to 40 MB, at the same speed
        options.enable_cpu_mem_arena = False
        if serving:
            options.enable_mem_pattern = False
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._sessions: dict[int, ort.InferenceSession] = {}
        for index in range(len(bundle.manifest.segments)) if indices is None else indices:
            try:
                self._sessions[index] = ort.InferenceSession(
                    bundle.segment_bytes(index), options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:  # ONNX Runtime's exceptions have no common base but Exception
                raise BundleError(f"segment {index} of bundle {bundle.bundle_id} does not load: {error}") from error
        self._outputs = {k: [o.name for o in session.get_outputs()] for k, session in self._sessions.items()}

    @property
    def bundle(self) -> Bundle:
        """Whose segments these are."""
        return self._bundle

    @property
    def loaded(self) -> tuple[int, ...]:
        """Indices of the loaded segments."""
        return tuple(self._sessions)

    def run(self, index: int, features: Float32) -> SegmentOutput:
        """Run one segment on features ``(n, *input_shape)``."""
        names = self._outputs[index]
        values = dict(zip(names, self._sessions[index].run(names, {"features": features}), strict=True))
        return SegmentOutput(values["logits"], values.get("next"), values.get("depth"))

    def run_all(self, spectra: Float32) -> tuple[Float32, list[NDArray[np.uint8] | None]]:
        """Logits ``(E, n, C)`` of every exit and depths of every segment for preprocessed spectra ``(n, L)``."""
        return _run_all(self, spectra)


def _run_all(runner: Runner, spectra: Float32) -> tuple[Float32, list[NDArray[np.uint8] | None]]:
    logits, depths = [], []
    features = spectra[..., np.newaxis]
    for index in range(len(runner.bundle.manifest.segments)):
        output = runner.run(index, features)
        logits.append(output.logits)
        depths.append(output.depth)
        features = features if output.features is None else output.features
    return np.stack(logits), depths


def self_test(runner: Runner, tolerance: float | None = None) -> float:
    """Run the bundle's self-test vectors through preprocessing and all segments.

    Parameters
    ----------
    runner
        Runs the bundle's segments.
    tolerance
        Largest deviation of a logit; None for the one that the bundle states.

    Returns
    -------
    float
        Largest deviation of a logit.

    Raises
    ------
    BundleIntegrityError
        When it is over the tolerance, or the vectors are missing or cannot be run.
    """
    bundle = runner.bundle
    allowed = bundle.manifest.selftest_tolerance if tolerance is None else tolerance
    vectors = bundle.selftest()
    if not {"intensity", "logits"} <= set(vectors):
        raise BundleIntegrityError(f"bundle {bundle.bundle_id} has no self-test vectors")
    if vectors["intensity"].ndim != 2 or not len(vectors["intensity"]):
        raise BundleIntegrityError(f"self-test spectra are (n, points), n at least 1, got {vectors['intensity'].shape}")
    try:
        spectra = bundle.pipeline.bind(bundle.source_axis)(vectors["intensity"])
        logits, _ = _run_all(runner, spectra)
    except Exception as error:  # segments that do not fit each other: ONNX Runtime's exceptions have no common base
        raise BundleIntegrityError(f"self-test of bundle {bundle.bundle_id} does not run: {error}") from error
    if logits.shape != vectors["logits"].shape:
        raise BundleIntegrityError(f"self-test gives logits {logits.shape}, the vectors have {vectors['logits'].shape}")
    deviation = float(np.abs(logits - vectors["logits"]).max())
    if not deviation <= allowed:
        raise BundleIntegrityError(
            f"self-test of bundle {bundle.bundle_id} deviates by {deviation:.2e}, allowed {allowed:.0e}"
        )
    return deviation


@dataclass(frozen=True)
class Prediction:
    """Answers for n spectra.

    Labels ``(n,)`` index into `classes`; probabilities ``(n, C)``; exit ``(n,)``; executed MACs ``(n,)``; known
    ``(n,)``, false where the policy's reject rule finds that a spectrum looks like no known class (the label is then
    the class that it resembles most).
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: Float32
    exit_index: NDArray[np.int64]
    macs: NDArray[np.int64]
    known: NDArray[np.bool_]

    @property
    def names(self) -> list[str]:
        """Class name of every answer."""
        return [self.classes[label] for label in self.labels]


class Predictor:
    """Classifies spectra with a bundle, from raw intensities to answers.

    Parameters
    ----------
    bundle
        A checked bundle.
    policy
        Exit policy; the bundle's own by default.
    threads
        Threads of one segment call.
    """

    def __init__(self, bundle: Bundle, *, policy: ExitPolicy | None = None, threads: int = 1) -> None:
        self.bundle = bundle
        self.segments = Segments(bundle, threads=threads)
        self.policy = policy or bundle.manifest.policy

    def predict(self, spectra: ArrayLike, axis: SpectralAxis | ArrayLike | None = None) -> Prediction:
        """Classify spectra; a spectrum that leaves at an exit costs nothing afterwards.

        Parameters
        ----------
        spectra
            Intensities ``(n, n_points)`` or ``(n_points,)`` in the unit that the bundle was trained on.
        axis
            Their spectral axis; plain values are taken in the bundle's quantity and unit; None means the axis of the
            training spectra.

        Raises
        ------
        SpectrumError
            When the spectra cannot be judged; `AxisError` when the axis does not cover the model's or is another.
        """
        array = np.atleast_2d(np.asarray(spectra))
        if array.ndim != 2:
            raise SpectrumError(f"spectra are (n_spectra, n_points), got shape {array.shape}")
        bound = self.bundle.pipeline.bind(self._axis(axis))
        if bound.axis != self.bundle.axis:  # a pipeline that does not resample ends where the instrument's axis ends
            found, expected = (f"{a.n_points} points of {a.label}" for a in (bound.axis, self.bundle.axis))
            raise AxisError(
                f"the spectra's axis ends up as {found} from {bound.axis.values[0]:g} to {bound.axis.values[-1]:g}, "
                f"the model expects {expected} from {self.bundle.axis.values[0]:g} to {self.bundle.axis.values[-1]:g}"
            )
        prepared = bound(array)
        blocks = [self._predict_block(prepared[i : i + MAX_BATCH]) for i in range(0, len(prepared), MAX_BATCH)]
        if not blocks:
            raise SpectrumError("got no spectra, expected at least one")
        return Prediction(
            self.bundle.manifest.classes,
            *(np.concatenate([block[part] for block in blocks]) for part in range(5)),
        )

    def _axis(self, axis: SpectralAxis | ArrayLike | None) -> SpectralAxis:
        if axis is None:
            return self.bundle.source_axis
        if isinstance(axis, SpectralAxis):
            return axis
        return SpectralAxis(np.asarray(axis, dtype=np.float64), self.bundle.axis.quantity, self.bundle.axis.unit)

    def _predict_block(self, spectra: Float32) -> tuple[NDArray[Any], ...]:
        """Run the segments on spectra ``(n, L)``, handing on only those that stay."""
        n, n_classes = len(spectra), len(self.bundle.manifest.classes)
        probabilities = np.zeros((n, n_classes), dtype=np.float32)
        exit_index = np.zeros(n, dtype=np.int64)
        macs = np.zeros(n, dtype=np.int64)
        known = np.ones(n, dtype=np.bool_)
        rows = np.arange(n)
        features, state = spectra[..., np.newaxis], self.policy.initial_state(n, n_classes)
        for index, segment in enumerate(self.bundle.manifest.segments):
            output = self.segments.run(index, features)
            macs[rows] += segment.executed_macs(output.depth, len(rows))
            decision = self.policy.decide(index, output.logits, state)
            leaving = rows[decision.leave]
            probabilities[leaving], exit_index[leaving] = decision.probabilities[decision.leave], index
            known[leaving] = decision.known[decision.leave]
            stay = ~decision.leave
            if not stay.any():
                break
            rows, state = rows[stay], decision.state[stay]
            features = (features if output.features is None else output.features)[stay]
        return probabilities.argmax(axis=1), probabilities, exit_index, macs, known


def load_bundle(path: Path | str, *, threads: int = 1, check: bool = True) -> Predictor:
    """Read a bundle, check it (self-test included) and make it ready to predict.

    Examples
    --------
    >>> predictor = load_bundle("minerals.specnet")  # doctest: +SKIP
    >>> predictor.predict(spectra, axis).names  # doctest: +SKIP
    """
    predictor = Predictor(read_bundle(path), threads=threads)
    if check:
        self_test(predictor.segments)
    return predictor
