"""The model store: ``<store>/<name>/<version>/*.specnet``.

Bundles stay in service until the process ends, even when their file is replaced or removed: devices in the field may
still ask for them.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.engine import Engine, check_bundle, warm_up
from specnet.bundle import Bundle, read_bundle
from specnet.codec import Codec
from specnet.errors import BundleError, BundleIntegrityError, ConfigurationError, SpecnetError, WireError
from specnet.files import write_atomically
from specnet.manifest import Manifest
from specnet.preprocessing import BoundPipeline
from specnet.wire.topics import check_name

MAX_BUNDLES = 64
FILE_NAME = "model.specnet"


@dataclass(frozen=True)
class ServedModel:
    """A bundle in service: what the gateway needs to know beside the engine's segments.

    `codecs` decode features, `preprocess` takes raw spectra on the axis of the training spectra.
    """

    manifest: Manifest
    path: Path
    deviation: float
    codecs: Mapping[str, Codec]
    preprocess: BoundPipeline

    @property
    def bundle_id(self) -> str:
        """Hash over the content."""
        return self.manifest.bundle_id


@dataclass(frozen=True)
class BadBundle:
    """A file of the store that is not served, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Scan:
    """What a scan changed: bundles that are served now, files that were found bad."""

    added: tuple[ServedModel, ...]
    bad: tuple[BadBundle, ...]


class ModelStore:
    """Loads and checks the bundles of a folder; a bad one is skipped and never displaces a good one.

    One thread scans; any thread looks up.

    Parameters
    ----------
    root
        The store's folder.
    engine
        Runs the self-tests, and the requests later.
    max_batch
        Batch to warm the engine up with.

    Raises
    ------
    ConfigurationError
        When the folder is not there.
    """

    def __init__(self, root: Path | str, engine: Engine, *, max_batch: int = 1) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise ConfigurationError(
                f"model store {str(self.root)!r} is no folder; `specnet-gateway models add` makes one"
            )
        self._engine = engine
        self._max_batch = max_batch
        self._models: dict[str, ServedModel] = {}
        self._seen: dict[Path, tuple[int, int]] = {}

    @property
    def models(self) -> list[ServedModel]:
        """All bundles in service, by name and version."""
        return sorted(self._models.values(), key=lambda model: (model.manifest.name, model.manifest.version))

    def get(self, bundle_id: str) -> ServedModel | None:
        """Return the served bundle of this id, or None."""
        return self._models.get(bundle_id)

    def rescan(self) -> Scan:
        """Load what is new or changed since the last scan; a bad file is read again only when it has changed."""
        added: list[ServedModel] = []
        bad: list[BadBundle] = []
        for path in bundle_files(self.root):
            try:
                status = path.stat()
            except OSError:  # removed between listing and now
                continue
            stamp = (status.st_mtime_ns, status.st_size)
            if self._seen.get(path) == stamp:
                continue
            self._seen[path] = stamp
            try:
                model = self._load(path)
            # a damaged graph or array can fail in a library in ways that have no common base
            except Exception as error:
                reason = str(error) if isinstance(error, SpecnetError) else f"{type(error).__name__}: {error}"
                bad.append(BadBundle(path, reason))
            else:
                if model is not None:
                    added.append(model)
        return Scan(tuple(added), tuple(bad))

    def _load(self, path: Path) -> ServedModel | None:
        bundle = read_bundle(path)
        if bundle.bundle_id in self._models:
            return None
        if len(self._models) >= MAX_BUNDLES:
            raise BundleError(f"{MAX_BUNDLES} bundles are served already, {path} is not loaded")
        model = prepare(self._engine, bundle, path, self._max_batch)
        self._models[bundle.bundle_id] = model
        return model


def prepare(engine: Engine, bundle: Bundle, path: Path, max_batch: int = 1) -> ServedModel:
    """Load a bundle into an engine and check it there; when it fails the engine has forgotten it.

    Raises
    ------
    BundleError
        When it does not load or its self-test fails; `ModelError` when its weights do not fit its architecture.
    """
    try:
        engine.load(bundle)
        deviation = check_bundle(engine, bundle)
        warm_up(engine, bundle, max_batch)
    except BaseException:
        engine.unload(bundle.bundle_id)
        raise
    preprocess = bundle.pipeline.bind(bundle.source_axis)
    return ServedModel(bundle.manifest, path, deviation, bundle.codecs, preprocess)


def bundle_files(root: Path) -> list[Path]:
    """Bundles of a store in a fixed order; hidden files are somebody's unfinished copies."""
    return sorted(path for path in root.glob("*/*/*.specnet") if not path.name.startswith("."))


def add_bundle(store: Path | str, bundle_path: Path | str, engine: Engine) -> Path:
    """Check a bundle and copy it into the store, whole or not at all.

    Returns
    -------
    Path
        ``<store>/<name>/<version>/model.specnet``.

    Raises
    ------
    BundleError
        When the bundle is bad, its name is no folder name, or the store has another bundle of this name and version.
    """
    bundle = read_bundle(bundle_path)
    manifest = bundle.manifest
    try:
        name = check_name(manifest.name, "the bundle's name")
    except WireError as error:
        raise BundleError(str(error)) from error
    if name.startswith("."):  # "..": a name must not lead out of the store
        raise BundleError(f"the bundle's name must not begin with a dot, got {name!r}")
    prepare(engine, bundle, Path(bundle_path))
    target = Path(store) / name / str(manifest.version) / FILE_NAME
    found = _id_of(target)
    if found == bundle.bundle_id:
        return target
    if found is not None:
        raise BundleError(
            f"the store has bundle {found} as {name} version {manifest.version}, got {bundle.bundle_id}: "
            "export it with a higher version"
        )

    def copy(temporary: Path) -> None:
        shutil.copyfile(bundle_path, temporary)
        copied = read_bundle(temporary).bundle_id
        if copied != bundle.bundle_id:
            raise BundleIntegrityError(f"{bundle_path} changed from {bundle.bundle_id} to {copied} while it was copied")

    return write_atomically(target, copy)


def _id_of(path: Path) -> str | None:
    """Id of a bundle in the store; None when there is none or a damaged one, which may be replaced."""
    try:
        return read_bundle(path).bundle_id
    except BundleError:
        return None
