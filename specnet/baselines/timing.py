"""How long one prediction takes: single calls on one thread, and the median of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
from threadpoolctl import threadpool_limits

from specnet.baselines.classifier import Classifier, Spectra

WARM_UP = 5
REPEATS = 60


def measure_us(classifier: Classifier, spectra: Spectra) -> float:
    """Median microseconds of one prediction: batch 1, one thread, preprocessing not included.

    Parameters
    ----------
    classifier
        It makes predictions by its own runtime.
    spectra
        ``(n, L)`` preprocessed; calls cycle through them.
    """
    call = classifier.single()
    times = np.empty(WARM_UP + REPEATS)
    with threadpool_limits(1):
        for repeat in range(len(times)):
            spectrum = spectra[repeat % len(spectra)][np.newaxis]
            begin = time.perf_counter()
            call(spectrum)
            times[repeat] = time.perf_counter() - begin
    return float(np.median(times[WARM_UP:]) * 1e6)


def onnx_call(graph: bytes) -> Callable[[Spectra], Any]:
    """Prepare a graph with the input ``features (n, L, 1)`` for calls with ``(1, L)``."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def call(spectrum: Spectra) -> Any:
        return session.run(None, {"features": spectrum[..., np.newaxis]})[0]

    return call
