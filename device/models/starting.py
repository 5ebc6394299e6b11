"""Which model a start works with: the active one, or the one before it when the active one does not hold."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from device.models.state import Installed, Trial
from device.models.store import MAX_STARTS, ModelStore
from specnet.bundle import Bundle, parse_bundle, read_bundle
from specnet.errors import BundleError, BundleIntegrityError, ModelStoreError
from specnet.signing import read_limited

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenedModel:
    """A model to work with.

    Parameters
    ----------
    bundle
        Checked.
    record
        Its version in the store; None for the bundle of the configuration.
    on_trial
        Whether it still has to prove itself.
    rolled_back
        Why another model was taken back at this start; empty when none was.
    """

    bundle: Bundle
    record: Installed | None
    on_trial: bool
    rolled_back: str = ""


def open_model(store: ModelStore, factory: Path) -> OpenedModel:
    """Choose, check and read the model for this start.

    A model on trial has its start written down before it is read: whatever it does to the process afterwards, the
    next start knows. After two starts without an orderly end the one before it is taken. A damaged file counts as a
    failure at once, also of a model that was good.

    Parameters
    ----------
    store
        The device's models.
    factory
        The bundle of the configuration, which is used when the store has no active one.

    Raises
    ------
    BundleError
        When the factory's bundle is needed and cannot be used.
    """
    reason = ""
    # each turn goes one step back: active, previous, factory
    for _ in range(3):
        state = store.state
        record = state.active
        if record is None:
            break
        failure, damaged = _too_many_starts(state.trial) or _count_start(store, state.trial), False
        if not failure:
            try:
                return OpenedModel(_read(store, record), record, state.trial is not None, reason)
            except BundleError as error:
                # one that was good is so still, where it can be had again
                failure, damaged = f"it cannot be read: {error}", state.trial is None
        reason = reason or f"{record.label}: {failure}"
        try:
            store.rollback(failure, expected=record, damaged=damaged)
        except ModelStoreError as error:
            # a disk that takes nothing: this start can do without the note, the next one finds the same
            logger.error("%s", error)
            if state.previous is not None:
                return OpenedModel(_read(store, state.previous), state.previous, on_trial=False, rolled_back=reason)
            break
    bundle = read_bundle(factory)
    try:
        store.note_factory(bundle.manifest.name, bundle.manifest.version)
    except ModelStoreError as error:
        logger.error("%s", error)
    return OpenedModel(bundle, None, on_trial=False, rolled_back=reason)


def bundle_in_use(store: ModelStore, factory: Path) -> Path:
    """Path of the bundle that the next start would use, for commands that only look at it."""
    active = store.state.active
    return factory if active is None else store.bundle_path(active)


def _too_many_starts(trial: Trial | None) -> str:
    if trial is None or trial.starts < MAX_STARTS:
        return ""
    return f"{trial.starts} starts did not end in order before it was confirmed"


def _count_start(store: ModelStore, trial: Trial | None) -> str:
    """Write down that a model on trial starts; what cannot be counted is not tried."""
    if trial is None:
        return ""
    try:
        store.note_start(trial)
    except ModelStoreError as error:
        return f"its start cannot be written down: {error}"
    return ""


def _read(store: ModelStore, record: Installed) -> Bundle:
    path = store.bundle_path(record)
    data = read_limited(path)
    digest = hashlib.sha256(data).hexdigest()
    if digest != record.sha256:
        raise BundleIntegrityError(f"{path} has sha256 {digest[:16]}..., it was installed with {record.sha256[:16]}...")
    return parse_bundle(data, str(path))
