"""What tuning says of a deployment on given spectra: the same machinery that chose it.

Legend: n spectra, m moments, E exits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.calibration import read_calibration
from specnet.errors import ConfigurationError
from specnet.training.run import CachedRun, Run
from specnet.tuning.latency import Conditions, cost_of, draw_times, latencies_ms
from specnet.tuning.options import Placed, place
from specnet.tuning.points import Point

MOMENTS = 200_000
"""Tuning compares candidates on the same few draws; here it is the value that counts. A request that is lost holds up
those behind it, so that the tail of 2,048 moments is off by a fifth."""


@dataclass(frozen=True)
class Prediction:
    """An operating point on some spectra under some conditions.

    Parameters
    ----------
    placed
        Split point, codec, scores, bytes.
    exit_index
        ``(n,)``.
    sent
        ``(n,)`` whether the gateway is asked.
    accuracy
        Share of right answers of these spectra.
    latency_ms, moment_sent
        ``(m,)`` latencies, and which of them are of requests.
    link_share, link_bytes
        Share of time that the link is busy; bytes of requests and answers a spectrum, overhead counted.
    """

    placed: Placed
    exit_index: NDArray[np.int64]
    sent: NDArray[np.bool_]
    accuracy: float
    latency_ms: NDArray[np.float64]
    moment_sent: NDArray[np.bool_]
    link_share: float
    link_bytes: float

    @property
    def exit_shares(self) -> NDArray[np.float64]:
        """Share of the spectra that leave at each exit, ``(E,)``."""
        return np.bincount(self.exit_index, minlength=self.placed.table.n_exits) / len(self.exit_index)

    @property
    def request_bytes(self) -> NDArray[np.int64]:
        """Payload of each request."""
        return self.placed.n_bytes[self.sent]


def predict(
    run: Run,
    held: CachedRun,
    raw: NDArray[Any],
    point: Point,
    conditions: Conditions,
    sequences: NDArray[np.int64] | None = None,
) -> Prediction:
    """Predict.

    Parameters
    ----------
    run, held, raw
        Calibrated; what it says of the spectra; ``(n, n_points)`` the spectra as they are measured.
    point, conditions
        What is deployed, and on what.
    sequences
        As in `specnet.tuning.options.place`.

    Raises
    ------
    ConfigurationError
        When the run lacks the codec, a profile lacks a time, or the link cannot carry what would have to be sent.
    """
    policy = read_calibration(run.calibration_path).policy
    placed = place(run, policy, held, raw, point.split, point.codec, sequences)
    outcome = placed.table.outcome(point.thresholds)
    times = draw_times(placed, conditions, MOMENTS)
    cost = cost_of(placed, times, outcome.exit_index, conditions)
    if cost.link_share >= 1:
        raise ConfigurationError(
            f"link {conditions.link.name} cannot carry {conditions.spectra_per_hour:g} spectra an hour: it would be "
            f"busy {cost.link_share:.1f} times the time that there is; ask for fewer with --spectra-per-hour"
        )
    return Prediction(
        placed=placed,
        exit_index=outcome.exit_index,
        sent=outcome.exit_index > point.split,
        accuracy=outcome.accuracy,
        latency_ms=latencies_ms(placed, times, outcome.exit_index, conditions),
        moment_sent=outcome.exit_index[times.rows] > point.split,
        link_share=cost.link_share,
        link_bytes=cost.link_bytes,
    )
