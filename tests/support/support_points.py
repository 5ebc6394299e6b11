"""Operating points made by hand, and a link in simulated time that is as slow as a test says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from device.choosing.chooser import PointChooser
from device.choosing.link_watch import LinkWatch
from device.choosing.measurements import Measurements
from device.choosing.table import DecisionTable, table_of
from specnet.manifest import Manifest
from specnet.placement import LinkFigures, Placement, Prediction

LINK = LinkFigures("wifi", 20.0, 1e6, 100)
SLOWER = LinkFigures("wifi", 200.0, 1e5, 100)
WINDOW, DEADLINE_S, PATIENCE_MS, DWELL_S, DWELL_MAX_S, PROBE_S, WINDOW_S = 4, 2.0, 100.0, 10.0, 640.0, 5.0, 60.0


def prediction(
    accuracy: float, request_bytes: float, *, link: LinkFigures = LINK, energy_mj: float = 0.0
) -> Prediction:
    """A third of the spectra is sent, where something is."""
    return Prediction(
        accuracy=accuracy,
        offload_share=1 / 3 if request_bytes else 0.0,
        p95_ms=50.0,
        request_bytes=request_bytes,
        mean_bytes=request_bytes / 3,
        energy_mj=energy_mj,
        link=link,
    )


PLACEMENTS = {
    "local": Placement(3, "", prediction(0.85, 0.0, energy_mj=2.0)),
    "chosen": Placement(1, "int8", prediction(0.95, 4000.0, energy_mj=10.0)),
    "slow-link": Placement(2, "int8", prediction(0.90, 500.0, link=SLOWER, energy_mj=5.0)),
}


def with_points(manifest: Manifest, placements: dict[str, Placement] = PLACEMENTS) -> Manifest:
    """The manifest with these points; their thresholds are its own."""
    points = dict.fromkeys(placements, manifest.policy)
    return msgspec.structs.replace(manifest, placements=placements, operating_points=manifest.operating_points | points)


def make_table(manifest: Manifest, placements: dict[str, Placement] = PLACEMENTS, deepest: int = 3) -> DecisionTable:
    """The table of a node with these points."""
    return table_of(with_points(manifest, placements), deepest, WINDOW, DEADLINE_S, PATIENCE_MS, DWELL_S)


@dataclass
class World:
    """A node that takes a spectrum every half second, in simulated time.

    Parameters
    ----------
    chooser, table
        Under test.
    round_trip_s
        Of a request sent at a moment; None while the link is gone.
    """

    chooser: PointChooser
    table: DecisionTable
    round_trip_s: Callable[[float], float | None]
    now: float = 0.0
    watch: LinkWatch = field(default_factory=LinkWatch)
    changes: list[tuple[float, str, str]] = field(default_factory=list)
    seen: list[Measurements] = field(default_factory=list)
    _coming: dict[tuple[int, int], float] = field(default_factory=dict)
    _probed: float = 0.0
    _n: int = 0

    def run(self, until: float) -> None:
        """Go on until a moment, in seconds."""
        while self.now < until:
            self.now += 0.5
            self._n += 1
            self._receive()
            self._decide()
            self.watch.spectrum(self.now)
            row = next(row for row in self.table.rows if row.name == self.chooser.point)
            if row.sends and self._n % 3 == 0:
                self._send(int(row.expected.request_bytes), audit=False)
            elif self.chooser.probed is not None and self.now - self._probed >= PROBE_S and not self._coming:
                self._probed = self.now
                self._send(int(self.chooser.probed.expected.request_bytes), audit=True)

    def _decide(self) -> None:
        connected = self.round_trip_s(self.now) is not None
        measured = self.watch.measure(self.now, WINDOW_S, len(self._coming), connected, self.table.link.trip_ms)
        self.seen.append(measured)
        if why := self.chooser.decide(self.now, measured):
            self.changes.append((self.now, self.chooser.point, why))
            self.watch.start_anew()

    def _send(self, n_bytes: int, *, audit: bool) -> None:
        trip = self.round_trip_s(self.now)
        if trip is None and audit:
            return
        key = (1, self._n)
        self._coming[key] = float("inf") if trip is None else self.now + trip
        if trip is not None:
            self.watch.sent(key, n_bytes, self.now, audit=audit)

    def _receive(self) -> None:
        if self.round_trip_s(self.now) is None:
            self._coming = dict.fromkeys(self._coming, float("inf"))
            self.watch.renewed()
            return
        for key, due in list(self._coming.items()):
            if due == float("inf"):
                # sent again over the new connection
                self._coming[key] = self.now + (self.round_trip_s(self.now) or 0.0)
                self.watch.sent(key, 500, self.now)
            elif due <= self.now:
                self.watch.answered(key, due)
                del self._coming[key]

    @property
    def points(self) -> list[str]:
        """Points in the order in which they came into force."""
        return [point for _, point, _ in self.changes]
