"""The models of a device: which is in use, which was before, and the rules by which that changes."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from device.models.folders import BUNDLE, Staged, installed_versions, remove_leftovers, remove_version, version_folder
from device.models.state import Installed, StoreState, Trial, read_state, write_state
from specnet.errors import ModelStoreError

logger = logging.getLogger(__name__)

FOLDER = "models"
STATE = "state.json"
LOCK = ".lock"
INSTALL_LOCK = ".install-lock"
MAX_STARTS = 2
"""So many starts without an orderly end, before a model is confirmed, bring the one before it back."""


class RefusedModelError(ModelStoreError):
    """A model that this device does not take, now or later: an older version, or one that has failed."""


class ModelStore:
    """Models under ``<state_dir>/models``; the service and commands may use it at the same time.

    Parameters
    ----------
    state_dir
        The device's folder.
    keep
        Versions that stay on disk.
    """

    def __init__(self, state_dir: Path | str, *, keep: int = 3) -> None:
        self.root = Path(state_dir) / FOLDER
        self._keep = keep

    @property
    def state(self) -> StoreState:
        """What is on disk now; after damage the versions on disk tell what may not come back."""
        return self._with_versions_on_disk(read_state(self.root / STATE))

    @property
    def stamp(self) -> tuple[int, int] | None:
        """Changes whenever the state is written, by whichever process; costs one look at the disk."""
        try:
            status = (self.root / STATE).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def installed(self) -> list[Installed]:
        """All versions on disk, by name and version."""
        return installed_versions(self.root)

    def bundle_path(self, record: Installed) -> Path:
        """Path of a version's bundle."""
        return version_folder(self.root, record) / BUNDLE

    def find(self, name: str, version: int) -> Installed:
        """Look a version up; `ModelStoreError` when it is not installed."""
        installed = self.installed()
        for record in installed:
            if (record.name, record.version) == (name, version):
                return record
        known = ", ".join(record.label for record in installed) or "none"
        raise ModelStoreError(f"{name}/{version} is not installed; installed are: {known}")

    def check_acceptable(self, name: str, version: int, sha256: str) -> None:
        """Refuse to go back, and what has failed before.

        Raises
        ------
        RefusedModelError
            Naming both versions, or what went wrong with this bundle.
        """
        state = self.state
        highest = state.highest.get(name, 0)
        if version < highest:
            raise RefusedModelError(f"{name} version {version} is older than {highest}, which was in use already")
        if refused := state.is_refused(sha256):
            raise RefusedModelError(f"{refused.label} was refused before: {refused.reason}")

    def activate(self, record: Installed, *, force: bool = False) -> None:
        """Use a version from the next start on; it is on trial until it is confirmed.

        Parameters
        ----------
        record
            An installed version.
        force
            Go back to an older one, or to one that failed; for somebody at the device alone.

        Raises
        ------
        RefusedModelError
            When the version is older than one that was in use, or was refused.
        """
        with self._changing() as change:
            state = change.state
            if state.active == record:
                return
            if not force:
                self.check_acceptable(record.name, record.version, record.sha256)
            elif state.active is not None and state.active.name == record.name:
                # an announcement that still stands must not undo what somebody wanted
                state = state.refusing(state.active.label, state.active.sha256, f"replaced by {record.label} by hand")
            # a model on trial has not earned to be what a rollback goes to
            previous = state.active if state.trial is None else state.previous
            state = state.accepting(record.sha256).having_seen(record.name, record.version)
            change.state = msgspec.structs.replace(state, active=record, previous=previous, trial=Trial())
        logger.info("model %s is active, on trial", record.label)
        self.prune()

    def confirm(self, record: Installed) -> None:
        """End the trial of a model, if it is still the active one: it is good."""
        with self._changing() as change:
            if change.state.active == record:
                change.state = msgspec.structs.replace(change.state, trial=None)

    def note_start(self, trial: Trial) -> None:
        """Write down, before the model on trial is loaded, that it will be."""
        with self._changing() as change:
            if change.state.trial == trial:
                started = msgspec.structs.replace(trial, starts=trial.starts + 1)
                change.state = msgspec.structs.replace(change.state, trial=started)

    def note_end(self, record: Installed, good: int) -> None:
        """Write down an orderly end, after which the last start counts no more, and `good` spectra judged."""
        with self._changing() as change:
            trial = change.state.trial
            if trial is not None and change.state.active == record:
                ended = Trial(starts=max(0, trial.starts - 1), good=trial.good + good)
                change.state = msgspec.structs.replace(change.state, trial=ended)

    def note_factory(self, name: str, version: int) -> None:
        """Write down the version of the configuration's bundle: nothing older is accepted."""
        if self.state.highest.get(name, -1) < version:
            with self._changing() as change:
                change.state = change.state.having_seen(name, version)

    def rollback(self, reason: str, *, expected: Installed | None = None, damaged: bool = False) -> Installed | None:
        """Go back to the model before the active one, which is refused from now on.

        Parameters
        ----------
        reason
            Kept with the refusal.
        expected
            Only when this one is still active.
        damaged
            Its file is at fault and not the model: it is removed, and may be installed again.

        Returns
        -------
        Installed or None
            What is active now; None for the factory's bundle.

        Raises
        ------
        ModelStoreError
            When the factory's bundle is active already.
        """
        with self._changing() as change:
            state = change.state
            if expected is not None and state.active != expected:
                return state.active
            if state.active is None:
                raise ModelStoreError("the bundle of the configuration is in use, there is none before it")
            logger.error("model %s is taken back: %s", state.active.label, reason)
            if damaged:
                remove_version(self.root, state.active)
            else:
                state = state.refusing(state.active.label, state.active.sha256, reason)
            # what was in use before it is known to be good; only the factory's is known to be good besides
            change.state = msgspec.structs.replace(state, active=state.previous, previous=None, trial=None)
            return state.previous

    def refuse(self, label: str, sha256: str, reason: str) -> None:
        """Remember that a bundle failed its checks, so that it is not fetched again."""
        with self._changing() as change:
            change.state = change.state.refusing(label, sha256, reason)

    def remove(self, record: Installed) -> None:
        """Remove a version from disk; `ModelStoreError` when it is the active or the previous one."""
        with self._changing() as change:
            if record in (change.state.active, change.state.previous):
                raise ModelStoreError(f"{record.label} is in use, or is what a rollback goes to: it stays")
            remove_version(self.root, record)

    def prune(self) -> list[Installed]:
        """Remove the oldest versions beyond `keep`, never the active or the previous one."""
        with self._changing() as change:
            fixed = [r for r in (change.state.active, change.state.previous) if r is not None]
            others = [record for record in self.installed() if record not in fixed]
            others.sort(key=lambda record: (record.installed_at, record.version))
            surplus = others[: max(0, len(others) + len(fixed) - self._keep)]
            for record in surplus:
                remove_version(self.root, record)
        return surplus

    @contextmanager
    def staging(self) -> Iterator[Staged]:
        """Give a place for a bundle that is to be installed; one process at a time has one.

        Raises
        ------
        ModelStoreError
            When another process installs just now, or the folder cannot be used.
        """
        with self._locked(INSTALL_LOCK, wait=False):
            remove_leftovers(self.root)
            staged = Staged(self.root)
            try:
                yield staged
            finally:
                staged.discard()

    @contextmanager
    def _changing(self) -> Iterator[_Change]:
        with self._locked(LOCK, wait=True):
            before = self.state
            change = _Change(before)
            yield change
            if change.state != before:
                try:
                    write_state(self.root / STATE, change.state)
                except OSError as error:
                    raise ModelStoreError(f"{self.root / STATE} cannot be written: {error.strerror}") from error

    @contextmanager
    def _locked(self, name: str, *, wait: bool) -> Iterator[None]:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            file = (self.root / name).open("wb")
        except OSError as error:
            raise ModelStoreError(f"the models' folder {self.root} cannot be used: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise ModelStoreError(f"another process installs a model into {self.root} just now") from error
            yield

    def _with_versions_on_disk(self, state: StoreState) -> StoreState:
        if state != StoreState():
            return state
        for record in self.installed():
            state = state.having_seen(record.name, record.version)
        return state


class _Change:
    """The state while it is being changed."""

    def __init__(self, state: StoreState) -> None:
        self.state = state
