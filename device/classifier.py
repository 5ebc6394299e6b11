"""The device's share of the network: segments 0 to the split point, until one exit is confident."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from device.spectrometers.axis import PixelAxis
from specnet.bundle import Bundle
from specnet.errors import ConfigurationError, SpectrumError
from specnet.exits import NEVER, ExitPolicy
from specnet.handover import CHOSEN, OWN_POINT
from specnet.runtime import Segments
from specnet.spectra import check_intensity

Float32 = NDArray[np.float32]


class LocalAnswer(msgspec.Struct, frozen=True):
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
    codec
        Codec that the operating point has for a request; empty for the one that the bundle names for the split point.
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
    codec: str = ""


@dataclass(frozen=True)
class _InForce:
    """An operating point as spectra need it: one object, so that it changes between two spectra and never within."""

    policy: ExitPolicy
    split: int
    codec: str


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
    deepest
        Segments up to this one are made ready, and operating points move the split and the codec to where tuning put
        them. None leaves the split where it is.
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
        self,
        bundle: Bundle,
        pixels: PixelAxis,
        split: int,
        *,
        deepest: int | None = None,
        full_scale: float = 0.0,
        threads: int = 1,
    ) -> None:
        n_stages = bundle.manifest.n_stages
        if not 0 <= split <= n_stages:
            raise ConfigurationError(f"split is 0 to {n_stages} with bundle {bundle.bundle_id}, got {split}")
        self.bundle = bundle
        self._usual_split, self._deepest = split, deepest
        self._in_force = _InForce(bundle.manifest.policy, split, "")
        self._pixels = pixels
        self._saturation = full_scale or None
        self._is_source = pixels.axis == bundle.source_axis
        self._prepare = bundle.pipeline.bind(pixels.axis).prepare
        ready = max(split, deepest or 0) + 1
        self._segments = Segments(bundle, range(ready), threads=threads)
        for index, segment in enumerate(bundle.manifest.segments[:ready]):
            # the runtime allocates at its first call, which would make the first spectrum slow
            self._segments.run(index, np.zeros((1, *segment.input_shape), dtype=np.float32))

    @property
    def policy(self) -> ExitPolicy:
        """The exit policy in use."""
        return self._in_force.policy

    @property
    def split(self) -> int:
        """Split point in use."""
        return self._in_force.split

    def use_operating_point(self, name: str) -> None:
        """Take an operating point of the bundle from the next spectrum on; ``default`` is the bundle's own.

        Raises
        ------
        ConfigurationError
            When the bundle has none of this name, or it needs segments that are not made ready.
        """
        self._in_force = self._find(name)

    def check_operating_point(self, name: str) -> None:
        """Raise what `use_operating_point` would, and change nothing."""
        self._find(name)

    def _find(self, name: str) -> _InForce:
        points = {OWN_POINT: self.bundle.manifest.policy, **self.bundle.manifest.operating_points}
        # a calibration has a point of that name too, which need not be the one in force
        points[OWN_POINT] = self.bundle.manifest.policy
        if name not in points:
            raise ConfigurationError(f"unknown operating point {name[:80]!r}; this bundle has {', '.join(points)}")
        placement = self.bundle.manifest.placements.get(CHOSEN if name == OWN_POINT else name)
        if self._deepest is None or placement is None:
            return _InForce(points[name], self._usual_split, "")
        if placement.split not in self._segments.loaded:
            raise ConfigurationError(
                f"operating point {name} needs segments 0 to {placement.split}, ready are 0 to "
                f"{max(self._segments.loaded)}; the rest is over choosing.max_model_bytes"
            )
        return _InForce(points[name], placement.split, placement.codec)

    def classify(self, counts: ArrayLike) -> LocalAnswer | Rejection:
        """Judge one spectrum, counts ``(n_points,)``; what cannot be judged is rejected, never guessed."""
        return self._judge(counts, self._in_force)

    def hand_over(self, counts: ArrayLike, split: int, codec: str) -> LocalAnswer | Rejection:
        """Run a spectrum up to a split point whatever the exits say, as if all of them had been uncertain."""
        policy = self._in_force.policy
        closed = msgspec.structs.replace(policy, thresholds=(NEVER,) * len(policy.thresholds))
        return self._judge(counts, _InForce(closed, split, codec))

    def _judge(self, counts: ArrayLike, point: _InForce) -> LocalAnswer | Rejection:
        started = time.perf_counter()
        try:
            checked = check_intensity(counts, self._pixels.n_points, self._saturation)
            arranged = self._pixels.arrange(checked)
            spectrum = self._prepare(arranged)
        except SpectrumError as error:
            return Rejection(str(error))
        return self._run(point, spectrum, arranged if self._is_source else None, started)

    def _run(
        self, point: _InForce, spectrum: Float32, raw: NDArray[Any] | None, started: float
    ) -> LocalAnswer | Rejection:
        manifest, policy = self.bundle.manifest, point.policy
        features = spectrum[np.newaxis, :, np.newaxis]
        state = policy.initial_state(1, len(manifest.classes))
        macs, times = 0, list[float]()
        for index in range(point.split + 1):
            before = time.perf_counter()
            output = self._segments.run(index, features)
            decision = policy.decide(index, output.logits, state)
            times.append((time.perf_counter() - before) * 1e6)
            macs += int(manifest.segments[index].executed_macs(output.depth, 1)[0])
            # what is not finite makes the sum so; one call, where a spectrum pays for every call
            if not math.isfinite(np.add.reduce(decision.probabilities[0])):
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
            known=not policy.reject or bool(decision.known[0]),
            active=None if output.depth is None else output.depth[0] > 0,
            raw=raw,
            codec=point.codec if index == point.split else "",
        )
