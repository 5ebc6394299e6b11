"""How long the exported segments take: medians of single calls, batch 1, one thread unless said otherwise."""

from __future__ import annotations

import time

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from specnet.export.segments import export_segments
from specnet.nn import SpecNet

WARM_UP = 5
REPEATS = 60


def cumulative_us(network: SpecNet, spectra: NDArray[np.float32], *, threads: int = 1) -> list[float]:
    """Median microseconds of obtaining each exit, the exits before it included.

    Parameters
    ----------
    network
        A trained network.
    spectra
        ``(n, L)`` preprocessed; calls cycle through them, so that halting is as it is on real data.
    threads
        Threads of ONNX Runtime.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    sessions = [
        ort.InferenceSession(segment.data, options, providers=["CPUExecutionProvider"])
        for segment in export_segments(network)
    ]
    times = np.empty((WARM_UP + REPEATS, len(sessions)))
    for repeat in range(len(times)):
        features = spectra[repeat % len(spectra)][np.newaxis, :, np.newaxis]
        for index, session in enumerate(sessions):
            begin = time.perf_counter()
            outputs = session.run(None, {"features": features})
            times[repeat, index] = time.perf_counter() - begin
            names = [output.name for output in session.get_outputs()]
            if "next" in names:
                features = outputs[names.index("next")]
    return [float(total) for total in np.median(np.cumsum(times[WARM_UP:], axis=1), axis=0) * 1e6]
