"""Predicted against measured, measure by measure.

Legend: n spectra, m moments, E exits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.demo.deployed import Deployed
from specnet.demo.prediction import Prediction
from specnet.tuning.points import Point

LATENCY_TARGET, BYTES_TARGET, SHARE_TARGET = 15.0, 2.0, 2.0
"""Per cent, per cent, points."""
RESAMPLES = 400


@dataclass(frozen=True)
class Row:
    """One measure.

    Parameters
    ----------
    measure, unit
        Its name.
    predicted, measured
        None where nothing was sent, or nothing stayed.
    difference
        Measured over predicted: per cent of the predicted, or points where `unit` is ``%``.
    target
        Largest difference that is wanted; None where none is.
    low, high
        Between these the measured value would lie in 19 of 20 repetitions, by resampling; None where not known.
    """

    measure: str
    unit: str
    predicted: float | None
    measured: float | None
    difference: float | None
    target: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the target is met; None without."""
        if self.target is None or self.difference is None:
            return None
        return abs(self.difference) <= self.target

    @property
    def may_be_luck(self) -> bool:
        """Whether the prediction lies where the measured value would lie in 19 of 20 repetitions."""
        return (
            self.predicted is not None
            and self.low is not None
            and self.high is not None
            and self.low <= self.predicted <= self.high
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain form."""
        return {**asdict(self), "holds": self.holds, "may_be_luck": self.may_be_luck}


@dataclass(frozen=True)
class Measured:
    """Final answers of n spectra: latencies in ms, exits, bytes (0 for local ones), right or not."""

    latency_ms: NDArray[np.float64]
    exit_index: NDArray[np.int64]
    n_bytes: NDArray[np.int64]
    right: NDArray[np.bool_]
    queue_ms: float | None
    compute_ms: float | None

    @classmethod
    def of(cls, deployed: Deployed, first: int) -> Measured:
        """Collect the answers from sequence number `first` on."""
        tally = deployed.tally
        answers = [(s, a) for s, a in sorted(tally.answers.items()) if s >= first]
        remote = [a for _, a in answers if a["source"] == "gateway"]
        return cls(
            latency_ms=np.array([a["latency_ms"] for _, a in answers], dtype=np.float64),
            exit_index=np.array([a["exit"] for _, a in answers], dtype=np.int64),
            n_bytes=np.array([a["bytes"] for _, a in answers], dtype=np.int64),
            right=np.array([tally.is_right(s) for s, _ in answers], dtype=np.bool_),
            queue_ms=float(np.median([a["queue_ms"] for a in remote])) if remote else None,
            compute_ms=float(np.median([a["compute_ms"] for a in remote])) if remote else None,
        )


def compare(point: Point, predicted: Prediction, measured: Measured, link_bytes: float) -> list[Row]:
    """Set what was predicted beside what was measured.

    Parameters
    ----------
    point
        As tuning chose it, on calibration spectra.
    predicted, measured
        Of the same deployment.
    link_bytes
        Bytes of requests and answers a spectrum, as the link counted them.
    """
    remote = measured.n_bytes > 0
    rows = []
    for name, mine, theirs, target in (
        ("all", predicted.latency_ms, measured.latency_ms, LATENCY_TARGET),
        ("local", predicted.latency_ms[~predicted.moment_sent], measured.latency_ms[~remote], None),
        ("offloaded", predicted.latency_ms[predicted.moment_sent], measured.latency_ms[remote], None),
    ):
        rows += [_latency(f"p{q} {name}", q, mine, theirs, target) for q in (50, 95)]
    rows.append(_relative("bytes of a request", "B", predicted.request_bytes, measured.n_bytes[remote], BYTES_TARGET))
    rows.append(_relative("bytes a spectrum on the link", "B", [predicted.link_bytes], [link_bytes], BYTES_TARGET))
    rows.append(_points("sent", float(predicted.sent.mean()), float(remote.mean()), SHARE_TARGET))
    shares = np.bincount(measured.exit_index, minlength=len(predicted.exit_shares)) / max(1, len(measured.exit_index))
    for index, (mine, theirs) in enumerate(zip(predicted.exit_shares, shares, strict=True)):
        rows.append(_points(f"leave at exit {index}", float(mine), float(theirs), SHARE_TARGET))
    right = float(measured.right.mean())
    rows.append(_points("accuracy, as tuning estimated", point.estimate, right, None))
    rows.append(_points("accuracy, of the predicted spectra", predicted.accuracy, right, None))
    return rows


def _latency(
    name: str, q: int, predicted: NDArray[np.float64], measured: NDArray[np.float64], target: float | None
) -> Row:
    if not len(predicted) or not len(measured):
        return Row(name, "ms", None, None, None, target)
    mine, theirs = float(np.percentile(predicted, q)), float(np.percentile(measured, q))
    rng = np.random.default_rng(0)
    again = np.percentile(measured[rng.integers(0, len(measured), (RESAMPLES, len(measured)))], q, axis=1)
    low, high = np.percentile(again, (2.5, 97.5))
    return Row(name, "ms", mine, theirs, 100 * (theirs / mine - 1), target, float(low), float(high))


def _relative(
    name: str, unit: str, predicted: Sequence[float] | NDArray[Any], measured: Any, target: float | None
) -> Row:
    if not len(predicted) or not len(measured) or not np.mean(predicted):
        return Row(name, unit, None, None, None, target)
    mine, theirs = float(np.mean(predicted)), float(np.mean(measured))
    return Row(name, unit, mine, theirs, 100 * (theirs / mine - 1), target)


def _points(name: str, predicted: float, measured: float, target: float | None) -> Row:
    return Row(name, "%", 100 * predicted, 100 * measured, 100 * (measured - predicted), target)
