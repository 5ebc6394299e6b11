"""What each operating point of a bundle stands, as a table: derived from what tuning predicted, one row a point."""

from __future__ import annotations

import math
from dataclasses import dataclass

from device.choosing.measurements import FEW, Measurements
from specnet.errors import ConfigurationError
from specnet.handover import CHOSEN
from specnet.manifest import Manifest
from specnet.placement import LinkFigures, Prediction

SLACK = math.sqrt(10.0)
"""How much slower than predicted round trips may be: tuning looks at links ten times slower, this is half-way there."""
RETURN = 0.5
"""Share of a limit that must be kept to before a point is taken again: the second threshold of the hysteresis."""
OVERDUE, OVERDUE_AGAIN = 0.2, 0.05
"""Share of overdue requests that a point stands, and that it is taken again with."""
BACKLOG_WINDOWS = 4
"""Windows of requests that may wait in the outbox while it grows."""
CARRIED = 0.8
"""Share of what the link delivers that a point may ask of it."""
SCALE = 10.0
"""Factor by which the energy of a spectrum is believed to differ from its prediction, at most."""


@dataclass(frozen=True)
class Row:
    """One operating point.

    Parameters
    ----------
    name, split, codec, expected
        As the bundle has it.
    limit_ms
        Round trips (95 %) of its requests that it stands; infinite where nothing is sent.
    """

    name: str
    split: int
    codec: str
    expected: Prediction
    limit_ms: float

    @property
    def sends(self) -> bool:
        """Whether any spectrum is sent."""
        return self.expected.request_bytes > 0


@dataclass(frozen=True)
class DecisionTable:
    """Operating points, the most wanted first, and what speaks against each at some moment.

    Parameters
    ----------
    rows
        The chosen point, then the others by accuracy.
    window
        Requests that are under way at once.
    deadline_ms
        When a request is overdue.
    away_s
        For so long the broker, or every result, may stay away: somebody starts a broker anew now and then.
    """

    rows: tuple[Row, ...]
    window: int
    deadline_ms: float
    away_s: float

    @property
    def link(self) -> LinkFigures:
        """The link that the chosen point was tuned for."""
        return self.rows[0].expected.link

    def choose(self, in_force: Row, now: Measurements) -> tuple[Row, str]:
        """Find the point for this moment, and say why the one in force is left; '' when it stays.

        The first row that nothing speaks against; when something speaks against all of them, the one that the link
        allows and that takes the least.
        """
        place = self.rows.index(in_force)
        against = [
            (self.link_objection(row, in_force, now, better=index < place), self.energy_objection(row, in_force, now))
            for index, row in enumerate(self.rows)
        ]
        fine = [index for index, objections in enumerate(against) if not any(objections)]
        target = fine[0] if fine else min(range(len(self.rows)), key=lambda i: self._need(i, against[i], in_force, now))
        if target == place:
            return in_force, ""
        why = " and ".join(filter(None, against[place])) or _recovered(now)
        return self.rows[target], why

    def link_objection(self, row: Row, in_force: Row, now: Measurements, *, better: bool) -> str:
        """Say what of link and outbox speaks against a point; '' for nothing. `better`: it would be a return."""
        if not row.sends:
            return ""
        if now.away_s > (0.0 if better else self.away_s):
            return f"the broker is away for {now.away_s:.0f} s"
        if now.waiting_ms > max(1e3 * self.away_s, row.limit_ms):
            return f"no result for {now.waiting_ms / 1e3:.0f} s"
        if better and now.trips < FEW:
            return f"only {now.trips} round trips of {FEW} are known"
        strain = max(now.strain if now.trips >= FEW else 0.0, now.waiting_strain)
        trip_ms, limit_ms = strain * self.link.trip_ms(row.expected.request_bytes), row.limit_ms
        limit_ms *= RETURN if better else 1.0
        if trip_ms > limit_ms:
            return f"round trips of {trip_ms:.0f} ms, at most {limit_ms:.0f} ms"
        if better or row is in_force:
            share = OVERDUE_AGAIN if better else OVERDUE
            if now.trips >= FEW and row.expected.trip_ms < self.deadline_ms and now.overdue_share > share:
                return f"{100 * now.overdue_share:.0f} % of the requests overdue, at most {100 * share:.0f} %"
        return self._backlog(row, in_force, now, better)

    def _backlog(self, row: Row, in_force: Row, now: Measurements, better: bool) -> str:
        if better:
            full = now.outbox > self.window
            return f"{now.outbox} requests in the outbox, at most {self.window}" if full else ""
        if now.outbox <= BACKLOG_WINDOWS * self.window or now.outbox_growth_s <= 0:
            return ""
        if row is in_force:
            return f"{now.outbox} requests in the outbox, {now.outbox_growth_s:.2g} more a second"
        asked, carried = row.expected.mean_bytes * now.spectra_s, CARRIED * now.delivered_bytes_s
        return f"{asked:.0f} bytes a second asked, {carried:.0f} carried" if asked > carried else ""

    def energy_objection(self, row: Row, in_force: Row, now: Measurements) -> str:
        """Say whether a point would use up the day's energy too early; '' when it would not."""
        if now.energy_left_j is None:
            return ""
        needs = energy_mj(row, in_force, now)
        to_come = now.spectra_s * now.energy_left_s
        left_mj = 1e3 * max(0.0, now.energy_left_j)
        allowed = left_mj / to_come if to_come > 0 else (math.inf if left_mj > 0 else 0.0)
        if row is not in_force:
            # a point that is taken for its energy must save some, else it would be left again
            allowed *= RETURN if needs >= energy_mj(in_force, in_force, now) else 1.0
        return f"{needs:.3g} mJ a spectrum, {allowed:.3g} mJ are left for each" if needs > allowed else ""

    def _need(
        self, index: int, objections: tuple[str, str], in_force: Row, now: Measurements
    ) -> tuple[bool, bool, float, float, int]:
        row, (link, energy) = self.rows[index], objections
        needs = energy_mj(row, in_force, now) if energy else 0.0
        return bool(link), bool(energy), needs, row.expected.mean_bytes, index


def energy_mj(row: Row, in_force: Row, now: Measurements) -> float:
    """Millijoules of a spectrum at a point: as predicted, in proportion to what is measured at the one in force."""
    predicted, measured = in_force.expected.energy_mj, now.mj_per_spectrum
    if predicted <= 0 or measured <= 0:
        return row.expected.energy_mj
    return row.expected.energy_mj * min(SCALE, max(1 / SCALE, measured / predicted))


def table_of(
    manifest: Manifest, deepest: int, window: int, deadline_s: float, patience_ms: float, away_s: float
) -> DecisionTable:
    """Make the table of a bundle.

    Parameters
    ----------
    manifest
        Of a bundle that was exported with a deployment.
    deepest
        Last segment that is loaded: points that need more are left out.
    window, deadline_s
        As under ``[uplink]``.
    patience_ms
        Round trips that are never slow.
    away_s
        Absence of the broker that is nothing yet.

    Raises
    ------
    ConfigurationError
        When the bundle does not say what its chosen point takes.
    """
    rows: list[Row] = []
    seen: set[tuple[int, str, tuple[float, ...]]] = set()
    names = sorted(manifest.placements, key=lambda name: (name != CHOSEN, *_wanted(manifest, name)))
    for name in names:
        placement = manifest.placements[name]
        same = (placement.split, placement.codec, manifest.operating_points[name].thresholds)
        if placement.predicted is None or placement.split > deepest or same in seen:
            continue
        seen.add(same)
        expected = placement.predicted
        sends = expected.request_bytes > 0
        limit_ms = max(patience_ms, SLACK * expected.trip_ms) if sends else math.inf
        rows.append(Row(name, placement.split, placement.codec, expected, limit_ms))
    if not rows or rows[0].name != CHOSEN:
        raise ConfigurationError(
            f"bundle {manifest.name} ({manifest.bundle_id}) does not say what its point {CHOSEN!r} takes, or its "
            "segments are over choosing.max_model_bytes: export it again with --deployment, or name an operating point"
        )
    return DecisionTable(tuple(rows), window, 1e3 * deadline_s, away_s)


def deepest_split(manifest: Manifest, max_bytes: int) -> int:
    """Find the last segment that any point of a bundle needs, as far as segments of `max_bytes` together go."""
    most = max((placement.split for placement in manifest.placements.values()), default=0)
    size = 0
    for index, segment in enumerate(manifest.segments[: most + 1]):
        size += manifest.files[segment.file].size
        if size > max_bytes:
            return max(0, index - 1)
    return most


def _wanted(manifest: Manifest, name: str) -> tuple[float, float, str]:
    expected = manifest.placements[name].predicted
    return (0.0, 0.0, name) if expected is None else (-expected.accuracy, expected.mean_bytes, name)


def _recovered(now: Measurements) -> str:
    parts = [f"round trips of {now.trip_p95_ms:.0f} ms, {now.outbox} requests in the outbox"]
    if now.energy_left_j is not None:
        parts.append(f"{now.energy_left_j:.3g} J left")
    return f"nothing speaks against it any more: {', '.join(parts)}"
