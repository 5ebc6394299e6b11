"""Operating points: an option with thresholds, and all that it costs.

Legend: n spectra, E exits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.calibration.candidates import CAUTION, generate_candidates
from specnet.calibration.exit_table import ExitTable
from specnet.tuning.latency import Conditions, PathTimes, cost_of, draw_times
from specnet.tuning.options import Option
from specnet.tuning.risk import risk_threshold

MEASURES = ("p50_ms", "p95_ms", "mean_bytes", "energy_mj")
"""What is to be small; `estimate` is to be large."""


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A deployment that could be chosen, judged on calibration spectra.

    Parameters
    ----------
    split, codec, thresholds
        The device runs segments 0 to `split` and sends by `codec` (empty: nothing is sent) what no exit up to there was
        sure of; E thresholds, of which those behind the split are the gateway's.
    accuracy
        Share of right answers, 0..1.
    estimate
        Cross-fitted estimate of it, by which points are compared.
    uncertainty
        Standard error of the difference to the best point of all.
    exit_shares, offload_share
        Share of spectra that leave at each exit, and that are sent.
    p50_ms, p95_ms, mean_ms
        From counts to the final answer.
    bytes_per_spectrum, largest_bytes
        Payload of a request, mean and largest; 0 where nothing is sent.
    mean_bytes
        Payload a spectrum, those that are answered on the device counted as 0.
    link_bytes
        The same with all overhead.
    bytes_per_hour
        On the link.
    energy_mj
        Of device and radio a spectrum; what is not known (0 W in a profile) is not in it.
    mean_macs
        Multiply-accumulates a spectrum, on both machines together.
    link_share
        Share of time that the link is taken.
    """

    split: int
    codec: str
    thresholds: tuple[float, ...]
    accuracy: float
    estimate: float
    uncertainty: float = 0.0
    exit_shares: tuple[float, ...]
    offload_share: float
    p50_ms: float
    p95_ms: float
    mean_ms: float
    bytes_per_spectrum: float
    largest_bytes: int
    mean_bytes: float
    link_bytes: float
    bytes_per_hour: float
    energy_mj: float
    mean_macs: float
    link_share: float

    @property
    def cautious_estimate(self) -> float:
        """The estimate, marked down by what of it may be luck."""
        return self.estimate - CAUTION * self.uncertainty

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def all_points(
    options: Sequence[Option],
    conditions: Conditions,
    whole: ExitTable,
    *,
    max_risk: float | None = None,
    confidence: float = 0.95,
    among: Sequence[Point] | None = None,
    advance: Callable[[str], None] = lambda text: None,
) -> list[Point]:
    """Judge every candidate of every option under some conditions; what the link cannot carry is left out.

    Parameters
    ----------
    options, conditions
        What can be deployed, and what it runs on.
    whole
        What the whole network says on one machine: a risk is measured against its last exit.
    max_risk, confidence
        Accuracy that may be lost and the probability of keeping to that; then each option has one point, the cheapest
        for which that is shown, and options for which it cannot be shown have none.
    among
        Points whose thresholds alone are tried, as found under other conditions; None for all candidates.
    advance
        Called with the name of each option.
    """
    found: list[tuple[Point, NDArray[np.float32]]] = []
    for option in options:
        advance(f"split {option.split} {option.codec}")
        times = draw_times(option, conditions)
        if among is None:
            tried = _thresholds(option, whole, max_risk, confidence)
        else:
            tried = iter([one.thresholds for one in among if (one.split, one.codec) == (option.split, option.codec)])
        found += list(_points(option, times, conditions, tried))
    if not found:
        return []
    best = max(found, key=lambda one: one[0].estimate)[1]
    return [
        msgspec.structs.replace(point, uncertainty=float((merit - best).std(dtype=np.float64) / np.sqrt(len(best))))
        for point, merit in found
    ]


def front(points: Sequence[Point]) -> list[Point]:
    """Keep the points that no other beats in estimate and all of `MEASURES` together, quickest first."""
    ordered = sorted(points, key=lambda p: (p.p95_ms, p.p50_ms, p.mean_bytes, p.energy_mj, -p.estimate))
    kept: list[Point] = []
    costs = np.empty((len(ordered), len(MEASURES) + 1))
    for point in ordered:
        cost = np.array([*(getattr(point, name) for name in MEASURES), -point.estimate])
        known = costs[: len(kept)]
        if not ((known <= cost).all(axis=1)).any():
            costs[len(kept)] = cost
            kept.append(point)
    return kept


def worth_trying(points: Sequence[Point]) -> list[Point]:
    """Keep of each option what no other point of it beats in estimate, share of spectra sent, and computation.

    Whatever the link, the others send and compute more for less: they need not be judged again under other conditions.
    """
    kept: list[Point] = []
    groups: dict[tuple[int, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.split, point.codec), []).append(point)
    for group in groups.values():
        ordered = sorted(group, key=lambda p: (p.offload_share, p.mean_macs, -p.estimate))
        costs = np.array([(p.offload_share, p.mean_macs, -p.estimate) for p in ordered])
        for index, point in enumerate(ordered):
            if not (costs[:index] <= costs[index]).all(axis=1).any():
                kept.append(point)
    return kept


def _points(
    option: Option,
    times: PathTimes,
    conditions: Conditions,
    tried: Iterator[tuple[float, ...]],
) -> Iterator[tuple[Point, NDArray[np.float32]]]:
    for thresholds in tried:
        outcome = option.table.outcome(thresholds)
        cost = cost_of(option, times, outcome.exit_index, conditions)
        if not np.isfinite(cost.p95_ms):
            continue
        sent = outcome.exit_index > option.split
        merit = option.merit.taken(thresholds)
        yield (
            Point(
                split=option.split,
                codec=option.codec,
                thresholds=thresholds,
                accuracy=outcome.accuracy,
                estimate=float(merit.mean(dtype=np.float64)),
                exit_shares=outcome.exit_shares,
                offload_share=float(sent.mean()),
                p50_ms=cost.p50_ms,
                p95_ms=cost.p95_ms,
                mean_ms=cost.mean_ms,
                bytes_per_spectrum=float(option.n_bytes[sent].mean()) if sent.any() else 0.0,
                largest_bytes=int(option.n_bytes[sent].max()) if sent.any() else 0,
                mean_bytes=float((option.n_bytes * sent).mean()),
                link_bytes=cost.link_bytes,
                bytes_per_hour=cost.link_bytes * conditions.spectra_per_hour,
                energy_mj=cost.energy_mj,
                mean_macs=outcome.mean_macs,
                link_share=cost.link_share,
            ),
            merit,
        )


def _thresholds(
    option: Option, whole: ExitTable, max_risk: float | None, confidence: float
) -> Iterator[tuple[float, ...]]:
    if max_risk is None:
        # the same thresholds come out of several families
        yield from dict.fromkeys(candidate.thresholds for candidate in generate_candidates(option.table))
        return
    threshold = risk_threshold(option.table, whole, max_risk, confidence)
    if threshold is not None:
        yield (*(threshold,) * option.n_stages, 0.0)
