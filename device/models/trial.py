"""The model in use, as the service sees it: confirmed after enough answers, replaced when the store says so."""

from __future__ import annotations

import logging
import time

from device.models.starting import OpenedModel
from device.models.store import ModelStore
from specnet.errors import ModelStoreError

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5


class ModelTrial:
    """Counts good answers of a model, and looks whether another one was activated.

    Parameters
    ----------
    store
        The device's models.
    opened
        The model of this start.
    confirm_after
        Spectra that a model on trial must judge.
    """

    def __init__(self, store: ModelStore, opened: OpenedModel, confirm_after: int) -> None:
        self._store = store
        self._record = opened.record
        trial = store.state.trial if opened.on_trial else None
        self._on_trial = trial is not None
        self._good = 0
        self._needed = confirm_after - (0 if trial is None else trial.good)
        self._stamp = store.stamp
        self._look_at = 0.0

    @property
    def on_trial(self) -> bool:
        """Whether the model still has to prove itself."""
        return self._on_trial

    def judged(self) -> bool:
        """Count a spectrum that was judged; True when that has confirmed the model."""
        if not self._on_trial or self._record is None:
            return False
        self._good += 1
        if self._good < self._needed:
            return False
        try:
            self._store.confirm(self._record)
        except ModelStoreError as error:
            logger.error("the model cannot be confirmed, trying again later: %s", error)
            self._needed += self._good
            return False
        self._on_trial = False
        return True

    def replaced(self) -> bool:
        """Whether another model is active now; looks at the disk twice a second at most."""
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY_S
        stamp = self._store.stamp
        if stamp == self._stamp:
            return False
        try:
            active = self._store.state.active
        except ModelStoreError as error:
            logger.error("%s", error)
            return False
        self._stamp = stamp
        return active != self._record

    def ended(self) -> None:
        """Note an orderly end: this start does not count against the model."""
        if not self._on_trial or self._record is None:
            return
        try:
            self._store.note_end(self._record, self._good)
        except ModelStoreError as error:
            logger.error("%s", error)
