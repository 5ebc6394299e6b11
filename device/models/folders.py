"""Versions on disk: ``<root>/<name>/<version>/`` with bundle, signature and record, there as a whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import msgspec

from device.models.state import Installed
from specnet.bundle import MAX_BUNDLE_BYTES
from specnet.errors import ModelStoreError
from specnet.files import write_bytes

BUNDLE = "model.specnet"
SIGNATURE = "model.specnet.sig"
RECORD = "record.json"
STAGING = "staging-"
MAX_RECORD_BYTES = 4096
MAX_VERSIONS = 1000
COPY_BYTES = 1 << 20


class Staged:
    """A bundle on its way into the store: checked here, where nobody else changes it, then renamed into place.

    Parameters
    ----------
    root
        The store.

    Raises
    ------
    ModelStoreError
        When the disk does not take it.
    """

    def __init__(self, root: Path) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(dir=root, prefix=STAGING))
        except OSError as error:
            raise ModelStoreError(f"the models' folder {root} cannot be used: {error.strerror}") from error

    @property
    def bundle(self) -> Path:
        """The bundle."""
        return self.folder / BUNDLE

    def copy(self, source: Path, max_bytes: int = MAX_BUNDLE_BYTES) -> None:
        """Take a copy of a file of at most `max_bytes` bytes."""
        done = 0
        try:
            with source.open("rb") as file, self.bundle.open("wb") as target:
                while block := file.read(COPY_BYTES):
                    done += len(block)
                    if done > max_bytes:
                        raise ModelStoreError(f"{source} has over {max_bytes} bytes, more are not accepted")
                    target.write(block)
        except OSError as error:
            raise ModelStoreError(f"{error.filename or source} cannot be copied: {error.strerror}") from error

    def take(self, source: Path) -> None:
        """Take the file itself, which is on the same disk."""
        try:
            source.replace(self.bundle)
        except OSError as error:
            raise ModelStoreError(f"{source} cannot be moved: {error.strerror}") from error

    def commit(self, root: Path, record: Installed, signature: bytes) -> None:
        """Rename it to its place; a version that is there already must be the same.

        Raises
        ------
        ModelStoreError
            When the store has another bundle of this name and version.
        """
        target = version_folder(root, record)
        if found := read_record(target):
            if found.sha256 != record.sha256:
                raise ModelStoreError(
                    f"{record.label} is there with sha256 {found.sha256[:16]}..., this one has "
                    f"{record.sha256[:16]}...: export it with a higher version"
                )
            if file_sha256(target / BUNDLE) == record.sha256:
                return
        # a folder without a readable record, or with another content than that says, is a damaged one
        shutil.rmtree(target, ignore_errors=True)
        if signature:
            write_bytes(self.folder / SIGNATURE, signature)
        write_bytes(self.folder / RECORD, msgspec.json.encode(record))
        _sync(self.bundle)
        _sync(self.folder)
        self.folder.chmod(0o755)
        target.parent.mkdir(exist_ok=True)
        self.folder.rename(target)
        _sync(target.parent)
        _sync(root)

    def discard(self) -> None:
        """Remove what is left; harmless after `commit`."""
        shutil.rmtree(self.folder, ignore_errors=True)


def version_folder(root: Path, record: Installed) -> Path:
    """Folder of a version."""
    return root / record.name / str(record.version)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; empty when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def read_record(folder: Path) -> Installed | None:
    """Record of a version's folder; None when there is no readable one."""
    try:
        with (folder / RECORD).open("rb") as file:
            content = file.read(MAX_RECORD_BYTES + 1)
        if len(content) > MAX_RECORD_BYTES:
            return None
        return msgspec.json.decode(content, type=Installed)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def installed_versions(root: Path) -> list[Installed]:
    """All versions on disk, by name and version."""
    records = [read_record(path.parent) for path in sorted(root.glob(f"*/*/{RECORD}"))[:MAX_VERSIONS]]
    # a folder that was copied by hand under another name is none of ours
    whole = [r for r in records if r is not None and (version_folder(root, r) / BUNDLE).is_file()]
    return sorted(whole, key=lambda record: (record.name, record.version))


def remove_version(root: Path, record: Installed) -> None:
    """Remove a version; its record goes first, so that half of a folder counts as nothing."""
    folder = version_folder(root, record)
    (folder / RECORD).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(root: Path) -> None:
    """Remove what processes that were killed have left; only while nobody else installs."""
    for path in root.glob(f"{STAGING}*"):
        shutil.rmtree(path, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
