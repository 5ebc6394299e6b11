"""Each driver with its simulated board, so that one test serves them all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from support_device import counts, serving

from device.commands.simulate import make_board
from device.spectrometers import Spectrometer, SpectrometerLostError, SpectrometerSettings, create_spectrometer
from device.spectrometers.simulator import SimulatedBoard
from specnet.errors import SpectrometerError, SpectrumError

CSV_POINTS, CCD_POINTS = 288, 3648


@dataclass(frozen=True)
class Case:
    """A driver, the protocol of its board, and a number of points that both can have."""

    driver: str
    protocol: str
    n_points: int
    options: dict[str, Any] = field(default_factory=dict)

    def settings(self, port: str, **changes: Any) -> SpectrometerSettings:
        fields = {"driver": self.driver, "port": port, "timeout_s": 2.0, "integration_time_s": 0.003}
        return SpectrometerSettings(**{**fields, **self.options, **changes})

    def driver_at(self, port: str, **changes: Any) -> Spectrometer:
        """An open driver."""
        spectrometer = create_spectrometer(self.settings(port, **changes), self.n_points)
        spectrometer.open()
        return spectrometer

    def spectra(self, n: int = 5) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """Spectra that differ in every value, within the counts that the board can have."""
        return counts(n, self.n_points) % 4001


CASES = {
    "c12880ma": Case("c12880ma", "c12880ma", 16),
    "ocean-letter": Case("ocean-letter", "ocean-letter", 16),
    "ocean-binary": Case("ocean-binary", "ocean-binary", 16),
    "as7265x": Case("as7265x", "as7265x", 18),
    "csv-lines": Case("declarative", "declarative:csv-lines", CSV_POINTS, {"definition": "csv-lines"}),
    "binary-ccd": Case("declarative", "declarative:binary-ccd", CCD_POINTS, {"definition": "binary-ccd"}),
}


@contextmanager
def simulated(case: Case, spectra: np.ndarray[Any, Any], **options: Any) -> Iterator[SimulatedBoard]:
    """The board of a case, served from a thread."""
    with serving(SimulatedBoard(spectra, board=make_board(case.protocol, case.n_points), **options)) as board:
        yield board


def read_all(case: Case, port: str, n: int, **changes: Any) -> tuple[list[np.ndarray[Any, Any]], Spectrometer]:
    """Read n spectra whatever happens, as the service does."""
    spectra: list[np.ndarray[Any, Any]] = []
    spectrometer = create_spectrometer(case.settings(port, **changes), case.n_points)
    is_open, deadline = False, time.monotonic() + 60
    while len(spectra) < n:
        assert time.monotonic() < deadline, f"{len(spectra)} of {n} spectra; {dict(spectrometer.counters)}"
        try:
            if not is_open:
                spectrometer.open()
                is_open = True
            spectra.append(spectrometer.intensities())
        except SpectrometerLostError:
            spectrometer.close()
            is_open = False
            time.sleep(0.01)
        except (SpectrometerError, SpectrumError):
            continue
    spectrometer.close()
    return spectra, spectrometer
