"""A spectrometer that is not there: the protocol of a board on a real line, replaying recorded spectra."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.boards import Board, SpectrumWish
from device.spectrometers.boards.c12880ma import C12880MABoard
from device.spectrometers.endpoint import Endpoint, PtyEndpoint
from device.spectrometers.faults import FaultInjector, FaultPlan
from specnet.errors import ConfigurationError

logger = logging.getLogger(__name__)

WRITE_TIMEOUT_S = 5.0
UNPLUGGED_S = 0.2
STAMMER_BYTES = 7
STAMMER_PIECES = 40
STAMMER_S = 0.002
FULL_SCALE = 65_535


class SimulatedBoard:
    """Serves spectra in order; a spectrum counts as served only when its whole reply has been written.

    Parameters
    ----------
    spectra
        Counts ``(n, n_points)``.
    link
        Path of a symbolic link to the pseudo-terminal, renewed when the board is plugged in again; None for none.
    loop
        Start again at the end instead of saying that the replay is over.
    faults
        What goes wrong.
    seed
        Of the faults.
    board
        Protocol; that of a C12880MA board by default.
    endpoint
        Where the board is reached; a pseudo-terminal by default.
    recorded_us
        Exposure of the recording in microseconds: what is served is brighter or darker in proportion to the exposure
        that the host has set, up to 65,535 counts; 0 serves the recording as it is.

    Raises
    ------
    ConfigurationError
        When the link's path is taken by something that is no link, or a fault is none of this protocol.
    """

    def __init__(
        self,
        spectra: NDArray[np.uint32],
        *,
        link: Path | None = None,
        loop: bool = False,
        faults: FaultPlan | None = None,
        seed: int = 0,
        board: Board | None = None,
        endpoint: Endpoint | None = None,
        recorded_us: int = 0,
    ) -> None:
        plan = faults or FaultPlan()
        self._board = board or C12880MABoard()
        if not self._board.has_checksum and "checksum" in (*plan.probabilities, *plan.at.values()):
            raise ConfigurationError(f"the protocol {self._board.name} has no checksum that could be wrong")
        self._spectra = spectra
        self._loop = loop
        self._recorded_us = recorded_us
        self._generator = np.random.default_rng(seed)
        self._faults = FaultInjector(plan, self._generator)
        self._next = 0
        self._counters: Counter[str] = Counter()
        self._stopped = threading.Event()
        self._endpoint = endpoint or PtyEndpoint(link)

    @property
    def port(self) -> str:
        """What a device has to connect to."""
        return self._endpoint.address

    @property
    def counters(self) -> Mapping[str, int]:
        """Spectra served and faults made."""
        return MappingProxyType(self._counters)

    def serve(self) -> None:
        """Answer until `stop` is called from another thread or a signal handler."""
        try:
            while not self._stopped.is_set():
                data = self._endpoint.receive()
                if data and not self._at_the_same_speed():
                    # both sides sample the line at the wrong moments: what arrives is noise
                    self._counters["wrong_speed"] += 1
                    continue
                if data:
                    self._answer(data)
        finally:
            self._endpoint.unplug()

    def stop(self) -> None:
        """Let `serve` end; harmless when it has ended."""
        self._stopped.set()

    def _at_the_same_speed(self) -> bool:
        host = self._endpoint.host_baudrate
        return not host or not self._board.baudrate or host == self._board.baudrate

    def _answer(self, data: bytes) -> None:
        """Answer what has come; what follows an unplugging is lost with it."""
        for reply in self._board.feed(data):
            if not isinstance(reply, SpectrumWish):
                self._counters["other_replies"] += 1
                self._write(reply)
            elif not self._answer_read():
                return

    def _answer_read(self) -> bool:
        """Answer with the next spectrum or a fault; False when the board was unplugged instead."""
        if self._next >= len(self._spectra):
            if not self._loop:
                self._write(self._board.end_of_replay())
                return True
            self._next = 0
        fault = self._faults.next_fault(self._next)
        if fault:
            self._counters[fault] += 1
        if fault == "unplug":
            self._replug()
            return False
        counts = self._exposed(self._spectra[self._next])
        if fault == "garbage":
            self._write(self._board.garbage(self._faults.garbage()))
        elif fault == "half":
            reply = self._board.spectrum(counts)
            self._write(reply[: len(reply) // 2])
        elif fault == "refuse":
            self._write(self._board.refusal())
        elif fault == "checksum":
            self._write(self._board.spectrum(counts, wrong_checksum=True))
        elif fault != "silence" and self._deliver(self._board.spectrum(counts), fault):
            self._next += 1
            self._counters["served"] += 1
        return True

    def _deliver(self, reply: bytes, fault: str) -> bool:
        """Write a good spectrum, perhaps in small pieces or twice."""
        for _ in range(STAMMER_PIECES if fault == "stammer" else 0):
            if not self._write(reply[:STAMMER_BYTES]):
                return False
            reply = reply[STAMMER_BYTES:]
            self._stopped.wait(STAMMER_S)
        return self._write(reply)

    def _exposed(self, counts: NDArray[np.uint32]) -> NDArray[np.uint32]:
        if not self._recorded_us:
            return counts
        brighter = np.rint(counts * (self._board.integration_us / self._recorded_us))
        exposed: NDArray[np.uint32] = np.minimum(brighter, FULL_SCALE).astype(np.uint32)
        return exposed

    def _write(self, data: bytes) -> bool:
        """Write all; False when the host does not read."""
        deadline = time.monotonic() + WRITE_TIMEOUT_S
        while data and not self._stopped.is_set() and time.monotonic() < deadline:
            data = self._endpoint.send(data, WRITE_TIMEOUT_S)
            if data:
                self._counters["unread"] += 1
                return False
        return not data

    def _replug(self) -> None:
        self._endpoint.unplug()
        self._stopped.wait(UNPLUGGED_S)
        self._board.restart()
        self._endpoint.plug_in()
        logger.info("unplugged and plugged in again at %s", self.port)
