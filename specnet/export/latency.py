"""How long exported networks take: medians of single calls, batch 1, one thread unless said otherwise."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from specnet.export.exit_graphs import exit_graphs
from specnet.export.last_exit import last_exit_graph
from specnet.export.session import open_session
from specnet.nn.protocol import ExitNetwork

WARM_UP = 5
REPEATS = 60
Float32 = NDArray[np.float32]


class ExitChain:
    """The graphs of a network one after the other, each on what the one before handed on.

    Parameters
    ----------
    network
        A trained network.
    spectra
        ``(n, L)`` preprocessed, to choose forms of its stages with.
    threads
        Threads of ONNX Runtime.
    """

    def __init__(self, network: ExitNetwork, spectra: Float32, *, threads: int = 1) -> None:
        self._sessions = [open_session(graph, threads) for graph in exit_graphs(network, spectra)]
        self._outputs = [[output.name for output in session.get_outputs()] for session in self._sessions]

    def __len__(self) -> int:
        return len(self._sessions)

    def run(self, spectrum: Float32) -> tuple[list[Float32], NDArray[np.float64]]:
        """Logits ``(1, classes)`` of every exit for one spectrum ``(L,)``, and the seconds of each graph alone."""
        inputs = {"features": spectrum[np.newaxis, :, np.newaxis]}
        logits, seconds = [], np.empty(len(self))
        for index, (session, names) in enumerate(zip(self._sessions, self._outputs, strict=True)):
            begin = time.perf_counter()
            values = session.run(None, inputs)
            seconds[index] = time.perf_counter() - begin
            outputs = dict(zip(names, values, strict=True))
            logits.append(outputs["logits"])
            inputs = _handed_on(outputs) or inputs  # the linear exit hands nothing on: the spectrum goes further
        return logits, seconds


def _handed_on(outputs: dict[str, Float32]) -> dict[str, Float32]:
    """Rename outputs to inputs of the next graph: ``next`` becomes ``features``, ``next-1`` ``features-1``."""
    return {f"features{name[4:]}": value for name, value in outputs.items() if name.startswith("next")}


def cumulative_us(network: ExitNetwork, spectra: Float32, *, threads: int = 1) -> list[float]:
    """Median microseconds of obtaining each exit, the exits before it included.

    Parameters
    ----------
    network
        A trained network.
    spectra
        ``(n, L)`` preprocessed; calls cycle through them, so that halting is as it is on real data. Stages have the
        form that is faster here, see `specnet.export.fastest`.
    threads
        Threads of ONNX Runtime.
    """
    chain = ExitChain(network, spectra, threads=threads)
    times = np.empty((WARM_UP + REPEATS, len(chain)))
    for repeat in range(len(times)):
        times[repeat] = chain.run(spectra[repeat % len(spectra)])[1]
    return [float(total) for total in np.median(np.cumsum(times[WARM_UP:], axis=1), axis=0) * 1e6]


def last_exit_us(network: ExitNetwork, spectra: Float32, *, threads: int = 1) -> float:
    """Median microseconds of the deepest exit alone, as one graph without any other exit; parameters as above."""
    session = open_session(last_exit_graph(network, spectra), threads)
    times = np.empty(WARM_UP + REPEATS)
    for repeat in range(len(times)):
        features = spectra[repeat % len(spectra)][np.newaxis, :, np.newaxis]
        begin = time.perf_counter()
        session.run(None, {"features": features})
        times[repeat] = time.perf_counter() - begin
    return float(np.median(times[WARM_UP:]) * 1e6)
