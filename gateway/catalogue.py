"""What lies in a model store, checked, whether it is loaded or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.residency import estimated_bytes
from specnet.bundle import Bundle, parse_bundle
from specnet.errors import BundleIntegrityError, ConfigurationError, SpecnetError
from specnet.signing import TrustedKeys, check_bundle_bytes, read_limited, read_signature, signature_path

Stamp = tuple[object, ...]


@dataclass(frozen=True)
class StoredBundle:
    """A whole bundle in the store; `signer` is the id of the trusted key, empty where nobody has to sign."""

    path: Path
    bundle_id: str
    name: str
    version: int
    size_bytes: int
    signer: str


@dataclass(frozen=True)
class BadBundle:
    """A file of the store that is not served, and why."""

    path: Path
    reason: str


class Catalogue:
    """Bundles of a store's folder by id; a file is read again only when it, its signature or the trust has changed.

    A good bundle whose file is replaced by a bad one keeps its entry: it is not what was removed. One thread looks.

    Parameters
    ----------
    root
        The folder, ``<name>/<version>/*.specnet``.
    trust_dir
        Public keys, one of which must have signed a bundle (``<bundle>.sig``); None trusts every whole bundle.

    Raises
    ------
    ConfigurationError
        When a folder is not there, or nobody is trusted; `SignatureError` when a key cannot be used.
    """

    def __init__(self, root: Path, trust_dir: Path | None = None) -> None:
        if not root.is_dir():
            raise ConfigurationError(f"model store {str(root)!r} is no folder; `specnet-gateway models add` makes one")
        self._root = root
        self._trust_dir = trust_dir
        self._keys = self._read_keys()
        if self._keys is not None and not len(self._keys):
            raise ConfigurationError(f"trust_dir {str(trust_dir)!r} has no *.pem: no bundle could be served")
        self._seen: dict[Path, Stamp] = {}
        self._files: dict[Path, StoredBundle] = {}

    @property
    def bundles(self) -> Mapping[str, StoredBundle]:
        """What can be loaded, by id."""
        return {stored.bundle_id: stored for stored in self._files.values()}

    def trusts(self, signer: str) -> bool:
        """Whether what this key has signed may be served."""
        return self._keys is None or signer in self._keys.ids

    def look(self) -> list[BadBundle]:
        """Take in what has changed since the last look.

        Raises
        ------
        SignatureError, ConfigurationError
            When a key cannot be used, or the folder of keys is gone; everything is then as it was.
        """
        self._keys = self._read_keys()
        paths = bundle_files(self._root)
        for path in set(self._seen) - set(paths):
            del self._seen[path]
            self._files.pop(path, None)
        bad: list[BadBundle] = []
        for path in paths:
            stamp = self._stamp(path)
            if stamp is None or self._seen.get(path) == stamp:
                continue
            self._seen[path] = stamp
            try:
                self._files[path] = self._stored(path, *self._read(path))
            # a damaged array can fail in a library in ways that have no common base
            except Exception as error:
                bad.append(BadBundle(path, reason_of(error)))
                if path in self._files and not self.trusts(self._files[path].signer):
                    del self._files[path]
        return bad

    def read(self, stored: StoredBundle) -> Bundle:
        """Read a bundle to load it, with all checks again.

        Raises
        ------
        BundleError
            When it is not whole any more, or another one.
        """
        bundle, _ = self._read(stored.path)
        if bundle.bundle_id != stored.bundle_id:
            raise BundleIntegrityError(f"{stored.path} was {stored.bundle_id}, it is now {bundle.bundle_id}")
        return bundle

    def reject(self, stored: StoredBundle) -> None:
        """Leave a bundle out until its file changes."""
        self._files.pop(stored.path, None)

    def _read(self, path: Path) -> tuple[Bundle, str]:
        data = read_limited(path)
        if self._keys is None:
            return parse_bundle(data, str(path)), ""
        signature = read_signature(signature_path(path))
        self._keys.verify(signature)
        return check_bundle_bytes(data, signature, str(path)), signature.key_id

    def _stored(self, path: Path, bundle: Bundle, signer: str) -> StoredBundle:
        manifest = bundle.manifest
        size = estimated_bytes(manifest)
        return StoredBundle(path, bundle.bundle_id, manifest.name, manifest.version, size, signer)

    def _read_keys(self) -> TrustedKeys | None:
        if self._trust_dir is None:
            return None
        if not self._trust_dir.exists():
            raise ConfigurationError(f"trust_dir {str(self._trust_dir)!r} is not there")
        return TrustedKeys(self._trust_dir)

    def _stamp(self, path: Path) -> Stamp | None:
        """Give what changes when the file has to be read again; None when it is gone."""
        own = _file_stamp(path)
        if own is None or self._keys is None:
            return own
        return own, _file_stamp(signature_path(path)), self._keys.ids


def bundle_files(root: Path) -> list[Path]:
    """Bundles of a store in a fixed order; hidden files are somebody's unfinished copies."""
    return sorted(path for path in root.glob("*/*/*.specnet") if not path.name.startswith("."))


def reason_of(error: Exception) -> str:
    """Words for the log."""
    return str(error) if isinstance(error, SpecnetError) else f"{type(error).__name__}: {error}"


def _file_stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
