"""The way of a bundle into the store: staged, verified, tried, installed."""

from __future__ import annotations

import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path

from device.config import DeviceConfiguration
from device.models.candidate import Verdict
from device.models.checking import Checker
from device.models.folders import Staged
from device.models.state import Installed
from device.models.store import ModelStore
from specnet.bundle import MAX_BUNDLE_BYTES, read_bundle
from specnet.errors import BundleError, ModelStoreError

logger = logging.getLogger(__name__)

SPARE_BYTES = 1 << 20


class Installer:
    """Checks bundles and puts them into the store of one device.

    Parameters
    ----------
    configuration
        Of the device.
    store
        Its models.
    """

    def __init__(self, configuration: DeviceConfiguration, store: ModelStore) -> None:
        self._factory = Path(configuration.bundle)
        self._store = store
        self.checker = Checker(configuration)

    def install_copy(self, source: Path, signature: bytes, *, force: bool = False) -> Installed:
        """Install a copy of a file; errors as `install_file`, and `force` accepts an older version."""
        with self._store.staging() as staged:
            staged.copy(source)
            return self._install(staged, signature, force=force)

    def install_file(self, source: Path, signature: bytes) -> Installed:
        """Install a file that was fetched into the store's folder; it is moved.

        Raises
        ------
        BundleError
            When signature, content, fit or self-test are not as they should be; the bundle is refused from now on.
        ModelStoreError
            When it is older than what was in use, or the disk does not take it.
        """
        with self._store.staging() as staged:
            staged.take(source)
            return self._install(staged, signature, force=False)

    def check_room(self, size: int) -> None:
        """Refuse what the disk has no room for; `ModelStoreError` with both numbers."""
        try:
            self._store.root.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._store.root).free
        except OSError as error:
            raise ModelStoreError(f"the models' folder {self._store.root} cannot be used: {error.strerror}") from error
        if free < size + SPARE_BYTES:
            raise ModelStoreError(f"the bundle needs {size} bytes and {SPARE_BYTES} to spare, the disk has {free} free")

    def _install(self, staged: Staged, signature: bytes, *, force: bool) -> Installed:
        self._note_factory()
        verdict = self.checker.check(staged.bundle, signature, self._current())
        if not force:
            self._store.check_acceptable(verdict.name, verdict.version, verdict.sha256)
        record = _record(verdict)
        try:
            staged.commit(self._store.root, record, signature)
        except OSError as error:
            raise ModelStoreError(f"{record.label} cannot be installed: {error.strerror}") from error
        logger.info("model %s is installed, self-test deviates by %.1e", record.label, verdict.deviation)
        return self._store.find(record.name, record.version)

    def _current(self) -> Path | None:
        active = self._store.state.active
        if active is not None:
            return self._store.bundle_path(active)
        return self._factory if self._factory.is_file() else None

    def _note_factory(self) -> None:
        """Make the version of the configuration's bundle count, also before the first start."""
        if not self._factory.is_file() or self._factory.stat().st_size > MAX_BUNDLE_BYTES:
            return
        try:
            manifest = read_bundle(self._factory).manifest
        except BundleError as error:
            logger.warning("the bundle of the configuration cannot be read: %s", error)
            return
        self._store.note_factory(manifest.name, manifest.version)


def _record(verdict: Verdict) -> Installed:
    try:
        return Installed(
            name=verdict.name,
            version=verdict.version,
            bundle_id=verdict.bundle_id,
            sha256=verdict.sha256,
            size=verdict.size,
            key_id=verdict.key_id,
            installed_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
    except ValueError as error:
        raise BundleError(str(error)) from error
