"""What a node knows of its link, its outbox and its energy at one moment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

FEW = 3
"""Round trips, or requests under way, below which nothing is concluded from them."""


@dataclass(frozen=True)
class Measurements:
    """Figures of a sliding window.

    Parameters
    ----------
    away_s
        Seconds since the broker went away; 0 while it is there.
    trips
        Requests whose result came, audit samples among them.
    trip_p50_ms, trip_p95_ms
        From sending to result, in milliseconds; 0 without `trips`.
    strain
        The quantile 0.95 of round trips over what the link was tuned to take for as many bytes; 0 without `trips`.
    waiting_ms, waiting_strain
        Age of the oldest request under way, 0 when none is; and the strain of the third oldest, because a single one
        may have been lost.
    overdue_share
        Share of the requests of the window that missed the deadline.
    delivered_bytes_s
        Payload of answered requests, bytes a second.
    spectra_s
        Spectra a second.
    outbox, outbox_growth_s
        Requests in the outbox, and by how many a second it grows.
    since_result_s
        Seconds since the last result; None before the first.
    energy_left_j, energy_left_s
        Joules left of the day's budget, and seconds left of the day; None without a budget.
    mj_per_spectrum
        What a spectrum took since the last change of the point; 0 where it is not known.
    """

    away_s: float = 0.0
    trips: int = 0
    trip_p50_ms: float = 0.0
    trip_p95_ms: float = 0.0
    strain: float = 0.0
    waiting_ms: float = 0.0
    waiting_strain: float = 0.0
    overdue_share: float = 0.0
    delivered_bytes_s: float = 0.0
    spectra_s: float = 0.0
    outbox: int = 0
    outbox_growth_s: float = 0.0
    since_result_s: float | None = None
    energy_left_j: float | None = None
    energy_left_s: float = 0.0
    mj_per_spectrum: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain form for records, to three decimals."""
        plain = asdict(self)
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in plain.items()}


def quantile(values: list[float], share: float) -> float:
    """Nearest-rank quantile; 0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
