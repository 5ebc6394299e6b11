"""The device's share of the network: segments 0 to the split point, until one exit is confident."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from device.spectrometers.axis import PixelAxis
from specnet.bundle import Bundle
from specnet.errors import ConfigurationError, SpectrumError
from specnet.exits import ExitPolicy
from specnet.handover import OWN_POINT
from specnet.runtime import Segments
from specnet.spectra import check_intensity

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class LocalAnswer:
    """What the device says of one spectrum.

    Parameters
    ----------
    label, class_name, probability, exit_index
        The answer of the deepest exit that was run.
    confident
        True when that exit's score reached its threshold, or when it is the last one: the answer is final.
    known
        False when the spectrum looks like no known class; the label is then the one that it resembles most.
    macs
        Multiply-accumulates really executed.
    segment_us
        Time of each segment that was run, in microseconds.
    total_us
        Time from counts to answer, preprocessing included, in microseconds.
    features
        Input ``(positions, channels)`` of the segment after `exit_index`; None after the last one.
    state
        Running state ``(S,)`` of the exit policy.
    active
        Positions ``(positions,)`` at which the last segment ran an adaptive unit; None where it has none.
    raw
        Intensities on the axis of the bundle's training spectra, when the spectrometer has that axis; else None.
    """

    label: int
    class_name: str
    probability: float
    exit_index: int
    confident: bool
    macs: int
    segment_us: tuple[float, ...]
    total_us: float
    features: Float32 | None
    state: Float32
    known: bool = True
    active: NDArray[np.bool_] | None = None
    raw: NDArray[Any] | None = None


@dataclass(frozen=True)
class Rejection:
    """A spectrum that cannot be judged, and why."""

    reason: str


class LocalClassifier:
    """Runs the first segments of a bundle on spectra of one spectrometer.

    Parameters
    ----------
    bundle
        A checked bundle.
    pixels
        Axis of the spectrometer; preprocessing is bound to it once.
    split
        The device runs segments 0..split; the number of stages means that everything is done here.
    full_scale
        ADC value from which a spectrum counts as saturated; 0 switches the check off.
    threads
        Threads of one segment call.

    Raises
    ------
    ConfigurationError
        When the bundle has no such split.
    AxisError
        When the spectrometer does not cover the model's axis.
    """

    def __init__(
        self, bundle: Bundle, pixels: PixelAxis, split: int, *, full_scale: float = 0.0, threads: int = 1
    ) -> None:
        n_stages = bundle.manifest.n_stages
        if not 0 <= split <= n_stages:
            raise ConfigurationError(f"split is 0 to {n_stages} with bundle {bundle.bundle_id}, got {split}")
        self.bundle = bundle
        self.split = split
        self._policy = bundle.manifest.policy
        self._pixels = pixels
        self._saturation = full_scale or None
        self._is_source = pixels.axis == bundle.source_axis
        self._prepare = bundle.pipeline.bind(pixels.axis)
        self._segments = Segments(bundle, range(split + 1), threads=threads)
        for index, segment in enumerate(bundle.manifest.segments[: split + 1]):
            # the runtime allocates at its first call, which would make the first spectrum slow
            self._segments.run(index, np.zeros((1, *segment.input_shape), dtype=np.float32))

    @property
    def policy(self) -> ExitPolicy:
        """The exit policy in use."""
        return self._policy

    def use_operating_point(self, name: str) -> None:
        """Take the exit policy of an operating point of the bundle; ``default`` is the bundle's own.

        Raises
        ------
        ConfigurationError
            When the bundle has none of this name.
        """
        points = {OWN_POINT: self.bundle.manifest.policy, **self.bundle.manifest.operating_points}
        # a calibration has a point of that name too, which need not be the one in force
        points[OWN_POINT] = self.bundle.manifest.policy
        if name not in points:
            raise ConfigurationError(f"unknown operating point {name[:80]!r}; this bundle has {', '.join(points)}")
        self._policy = points[name]

    def classify(self, counts: ArrayLike) -> LocalAnswer | Rejection:
        """Judge one spectrum, counts ``(n_points,)``; what cannot be judged is rejected, never guessed."""
        started = time.perf_counter()
        try:
            checked = check_intensity(counts, self._pixels.n_points, self._saturation)
            arranged = self._pixels.arrange(checked)
            spectrum = self._prepare(arranged)
        except SpectrumError as error:
            return Rejection(str(error))
        return self._run(spectrum, arranged if self._is_source else None, started)

    def _run(self, spectrum: Float32, raw: NDArray[Any] | None, started: float) -> LocalAnswer | Rejection:
        manifest, policy = self.bundle.manifest, self._policy
        features = spectrum[np.newaxis, :, np.newaxis]
        state = policy.initial_state(1, len(manifest.classes))
        macs, times = 0, list[float]()
        for index in range(self.split + 1):
            before = time.perf_counter()
            output = self._segments.run(index, features)
            decision = policy.decide(index, output.logits, state)
            times.append((time.perf_counter() - before) * 1e6)
            macs += int(manifest.segments[index].executed_macs(output.depth, 1)[0])
            if not np.isfinite(decision.probabilities).all():
                return Rejection(f"exit {index} gives probabilities that are not finite")
            state = decision.state
            features = features if output.features is None else output.features
            if confident := bool(decision.leave[0]):
                break
        label = int(decision.probabilities[0].argmax())
        return LocalAnswer(
            label=label,
            class_name=manifest.classes[label],
            probability=min(1.0, float(decision.probabilities[0, label])),
            exit_index=index,
            confident=confident,
            macs=macs,
            segment_us=tuple(times),
            total_us=(time.perf_counter() - started) * 1e6,
            features=None if index == manifest.n_stages else features[0],
            state=state[0],
            known=bool(decision.known[0]),
            active=None if output.depth is None else output.depth[0] > 0,
            raw=raw,
        )
