"""Which form of every stage takes less time where it is exported: halted positions skipped, or masked."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from specnet.errors import ModelError
from specnet.export.segments import export_segments
from specnet.export.session import open_session
from specnet.export.units import MASK, SKIP, UnitForm
from specnet.nn import SpecNet

GAIN = 0.9
"""Masked positions run, and cost energy: they must take at most this share of the time of skipped ones."""
WARM_UP = 10
REPEATS = 60
Float32 = NDArray[np.float32]


def fastest_forms(network: SpecNet, spectra: Float32, *, threads: int = 1) -> tuple[UnitForm, ...]:
    """Time every stage in both forms, one call of each in turn, and name the form to export it in.

    Parameters
    ----------
    network
        A trained network.
    spectra
        ``(n, L)`` preprocessed, n at least 1; calls go round them, so that halting is as it is on real data.
    threads
        Threads of ONNX Runtime.

    Returns
    -------
    tuple
        One form for each of the K stages, for `export_segments`.

    Raises
    ------
    ModelError
        When there are no spectra, or a part of the network has no ONNX form.
    """
    if not len(spectra):
        raise ModelError("got no spectra, expected at least one to time the stages with")
    n_stages = network.n_exits - 1
    forms: list[UnitForm] = []
    features = [spectrum[np.newaxis, :, np.newaxis] for spectrum in spectra[:REPEATS]]
    for skipped, masked in zip(
        export_segments(network, (SKIP,) * n_stages)[1:], export_segments(network, (MASK,) * n_stages)[1:], strict=True
    ):
        session = open_session(skipped.data, threads)
        if skipped.data == masked.data:
            forms.append(SKIP)
        else:
            other = open_session(masked.data, threads)
            times = np.empty((WARM_UP + REPEATS, 2))
            for repeat in range(len(times)):
                feeds = {"features": features[repeat % len(features)]}
                begin = time.perf_counter()
                session.run(None, feeds)
                middle = time.perf_counter()
                other.run(None, feeds)
                times[repeat] = middle - begin, time.perf_counter() - middle
            skipping, masking = np.median(times[WARM_UP:], axis=0)
            forms.append(MASK if masking <= GAIN * skipping else SKIP)
        if skipped.info.feature_shape is not None:
            features = [session.run(["next"], {"features": one})[0] for one in features]
    return tuple(forms)
