"""The thread that looks after the journal: flushes, catches up after a full disk, keeps history bounded."""

from __future__ import annotations

import logging
import threading

from device.journal.journal import Journal
from device.journal.pruning import Pruner

logger = logging.getLogger(__name__)

IDLE_FLUSH_S = 3600.0
"""How often the age of an idle device is noted."""


class Keeper:
    """Calls `tend` every ``history.flush_s`` seconds."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._pruner = Pruner(journal)
        self._stopping = threading.Event()
        self._flushed = journal.age()
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and write what a full disk had refused, so that the last accounts have it; the journal stays open."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._journal.catch_up()

    def tend(self) -> None:
        """Do what is due now."""
        self._journal.catch_up()
        self._pruner.work()
        if self._journal.wants_flush or self._journal.age() - self._flushed >= IDLE_FLUSH_S:
            self._journal.flush()
            self._flushed = self._journal.age()

    def _work(self) -> None:
        while not self._stopping.wait(self._journal.history.flush_s):
            try:
                self.tend()
            except Exception:
                logger.exception("journal: unexpected error; trying again")
