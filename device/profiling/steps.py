"""Times of the steps of a classification, each on its own, on the bundle's self-test spectra."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.axis import PixelAxis
from specnet.bundle import Bundle
from specnet.errors import BundleIntegrityError
from specnet.handover import encode_handover
from specnet.runtime import Segments
from specnet.spectra import check_intensity

WARM_UP = 20
REST_S = 0.02
"""Usual pause before each spectrum: an instrument takes its time, in which caches go cold and processors to sleep.
Segments of a small network take twice as long after it as in a loop; a longer pause changes little more."""


@dataclass
class StepTimes:
    """Microseconds of single calls: of preprocessing, of each segment, of decisions, of the codec of each split."""

    preprocessing: list[float] = field(default_factory=list)
    segments: dict[str, list[float]] = field(default_factory=dict)
    policy: list[float] = field(default_factory=list)
    codecs: dict[str, list[float]] = field(default_factory=dict)


class StepRunner:
    """Runs every segment of a bundle on one spectrum after the other, as the service does, and never leaves early.

    Parameters
    ----------
    bundle
        A checked bundle.
    pixels
        Axis of the spectrometer: preprocessing depends on it.
    threads
        Threads of one segment call.

    Raises
    ------
    AxisError
        When the spectrometer does not cover the model's axis.
    BundleIntegrityError
        When the bundle has no self-test spectra.
    """

    def __init__(self, bundle: Bundle, pixels: PixelAxis, *, threads: int) -> None:
        self._bundle, self._manifest = bundle, bundle.manifest
        self._pixels = pixels
        self._prepare = bundle.pipeline.bind(pixels.axis).prepare
        self._segments = Segments(bundle, threads=threads)
        self._counts = _counts(bundle, pixels)

    def run(self, n: int, *, rest_s: float = REST_S, progress: Callable[[int], None] = lambda done: None) -> StepTimes:
        """Time `n` spectra, with a pause before each, after a warm-up; `progress` is told how many are done."""
        for number in range(WARM_UP):
            self._run_one(self._counts[number % len(self._counts)], StepTimes())
        times = StepTimes()
        for number in range(n):
            time.sleep(rest_s)
            self._run_one(self._counts[number % len(self._counts)], times)
            progress(number + 1)
        return times

    def _run_one(self, counts: NDArray[np.float32], times: StepTimes) -> None:
        manifest = self._manifest
        policy = manifest.policy
        before = time.perf_counter()
        raw = self._pixels.arrange(check_intensity(counts, self._pixels.n_points))
        spectrum = self._prepare(raw)
        times.preprocessing.append(_since(before))
        features = spectrum[np.newaxis, :, np.newaxis]
        state = policy.initial_state(1, len(manifest.classes))
        for index in range(len(manifest.segments)):
            before = time.perf_counter()
            output = self._segments.run(index, features)
            times.segments.setdefault(str(index), []).append(_since(before))
            before = time.perf_counter()
            decision = policy.decide(index, output.logits, state)
            times.policy.append(_since(before))
            state = decision.state
            features = features if output.features is None else output.features
            if index < manifest.n_stages:
                self._encode(index, features[0], None if output.depth is None else output.depth[0] > 0, raw, times)

    def _encode(
        self,
        split: int,
        features: NDArray[np.float32],
        active: NDArray[np.bool_] | None,
        raw: NDArray[np.float32],
        times: StepTimes,
    ) -> None:
        """Time the codec that the bundle names, and its bottlenecks for this split point."""
        manifest = self._manifest
        for codec in dict.fromkeys([manifest.codecs[str(split)], *manifest.bottlenecks_at(split)]):
            before = time.perf_counter()
            encode_handover(self._bundle, split, features, raw=raw, active=active, codec=codec)
            times.codecs.setdefault(f"{split}:{codec}", []).append(_since(before))


def _counts(bundle: Bundle, pixels: PixelAxis) -> NDArray[np.float32]:
    """Self-test spectra ``(n, n_points)`` as this spectrometer would deliver them: in the order of its pixels."""
    intensity = bundle.selftest().get("intensity")
    if intensity is None or intensity.ndim != 2 or not len(intensity):
        raise BundleIntegrityError(f"bundle {bundle.bundle_id} has no self-test spectra")
    source, wanted = bundle.source_axis.values, pixels.axis.values
    on_axis = np.stack([np.interp(wanted, source, row) for row in intensity.astype(np.float64)])
    counts = np.empty_like(on_axis, dtype=np.float32)
    counts[:, pixels.order] = on_axis
    return counts


def _since(before: float) -> float:
    return (time.perf_counter() - before) * 1e6
