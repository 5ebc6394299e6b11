"""A C12880MA board that is not there: the line protocol on a real pseudo-terminal, replaying recorded spectra."""

from __future__ import annotations

import logging
import os
import select
import termios
import threading
import time
import tty
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.c12880ma import END_OF_REPLAY
from device.spectrometers.faults import FaultInjector, FaultPlan
from specnet.errors import ConfigurationError

logger = logging.getLogger(__name__)

MAX_COMMAND_BYTES = 256
WRITE_TIMEOUT_S = 5.0
UNPLUGGED_S = 0.2
POLL_S = 0.2
READOUT_US = 2_500


class SimulatedBoard:
    """Serves spectra in order; a spectrum counts as served only when its whole line has been written.

    Parameters
    ----------
    spectra
        Counts ``(n, n_points)``.
    link
        Path of a symbolic link to the pseudo-terminal, renewed when the board is plugged in again; None for none.
    loop
        Start again at the end instead of answering ``ERROR end of replay``.
    faults
        What goes wrong.
    seed
        Of the faults.

    Raises
    ------
    ConfigurationError
        When the link's path is taken by something that is no link.
    """

    def __init__(
        self,
        spectra: NDArray[np.uint32],
        *,
        link: Path | None = None,
        loop: bool = False,
        faults: FaultPlan | None = None,
        seed: int = 0,
    ) -> None:
        self._spectra = spectra
        self._link = link
        self._loop = loop
        self._faults = FaultInjector(faults or FaultPlan(), np.random.default_rng(seed))
        self._integration_us = 10_000
        self._next = 0
        self._counters: Counter[str] = Counter()
        self._stopped = threading.Event()
        self._master, self._slave = -1, -1
        if link is not None and link.exists() and not link.is_symlink():
            raise ConfigurationError(f"{link} exists and is no symbolic link; choose another path for the link")
        self.port = self._plug_in()

    @property
    def counters(self) -> Mapping[str, int]:
        """Spectra served and faults made."""
        return MappingProxyType(self._counters)

    def serve(self) -> None:
        """Answer commands until `stop` is called from another thread or a signal handler."""
        pending = b""
        try:
            while not self._stopped.is_set():
                pending += self._receive()
                *commands, pending = pending.split(b"\n")
                if len(pending) > MAX_COMMAND_BYTES:
                    pending = b""
                for command in commands:
                    if not self._answer(command.strip()):
                        pending = b""
                        break
        finally:
            self._unplug()

    def stop(self) -> None:
        """Let `serve` end; harmless when it has ended."""
        self._stopped.set()

    def _receive(self) -> bytes:
        ready, _, _ = select.select([self._master], [], [], POLL_S)
        return os.read(self._master, 4096) if ready else b""

    def _answer(self, command: bytes) -> bool:
        """Answer one command; False when the board was unplugged instead."""
        if command == b"SPEC.READ?":
            return self._answer_read()
        if command == b"SPEC.TIMING?":
            self._write(b"%d,%d\n" % (self._integration_us, READOUT_US))
        elif command.startswith(b"SPEC.INTEG "):
            self._set_integration(command)
        elif command:
            self._counters["unknown_commands"] += 1
            self._write(b"ERROR unknown command\n")
        return True

    def _set_integration(self, command: bytes) -> None:
        try:
            seconds = float(command.split(b" ", 1)[1])
        except ValueError:
            seconds = -1.0
        if 0 < seconds < 3600:
            self._integration_us = round(seconds * 1e6)
        else:
            self._counters["unknown_commands"] += 1
            self._write(b"ERROR integration time\n")

    def _answer_read(self) -> bool:
        if self._next >= len(self._spectra):
            if not self._loop:
                self._write(f"ERROR {END_OF_REPLAY}\n".encode())
                return True
            self._next = 0
        line = ",".join(map(str, self._spectra[self._next].tolist())).encode()
        fault = self._faults.next_fault(self._next)
        if fault:
            self._counters[fault] += 1
        if fault == "unplug":
            self._replug()
            return False
        if fault == "garbage":
            self._write(self._faults.garbage() + b"\n")
        elif fault == "half":
            self._write(line[: len(line) // 2])
        elif self._write(line + b"\n"):
            self._next += 1
            self._counters["served"] += 1
        return True

    def _write(self, data: bytes) -> bool:
        """Write all; False when the host does not read."""
        deadline = time.monotonic() + WRITE_TIMEOUT_S
        while data and not self._stopped.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                self._counters["unread"] += 1
                termios.tcflush(self._slave, termios.TCIFLUSH)
                return False
            if select.select([], [self._master], [], min(left, POLL_S))[1]:
                try:
                    data = data[os.write(self._master, data) :]
                except BlockingIOError:
                    # select may promise room that the line discipline then does not have
                    self._stopped.wait(0.001)
        return not data

    def _plug_in(self) -> str:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        port = os.ttyname(self._slave)
        if self._link is not None:
            self._link.parent.mkdir(parents=True, exist_ok=True)
            # renamed into place, so that whoever follows the link finds the old port or the new one
            temporary = self._link.with_name(f".{self._link.name}.{os.getpid()}")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(port)
            temporary.replace(self._link)
        return port

    def _unplug(self) -> None:
        if self._link is not None:
            self._link.unlink(missing_ok=True)
        for descriptor in (self._master, self._slave):
            os.close(descriptor)

    def _replug(self) -> None:
        self._unplug()
        self._stopped.wait(UNPLUGGED_S)
        self.port = self._plug_in()
        logger.info("unplugged and plugged in again at %s", self.port)
