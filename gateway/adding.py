"""Copying a bundle into a model store."""

from __future__ import annotations

import shutil
from pathlib import Path

from gateway.engine import Engine
from gateway.models import prepare
from specnet.bundle import Bundle, read_bundle
from specnet.errors import BundleError, BundleIntegrityError, WireError
from specnet.files import write_atomically
from specnet.signing import (
    TrustedKeys,
    check_bundle_bytes,
    read_limited,
    read_signature,
    signature_path,
    write_signature,
)
from specnet.wire.topics import check_name

FILE_NAME = "model.specnet"


def add_bundle(
    store: Path | str, bundle_path: Path | str, engine: Engine, *, trust_dir: Path | str | None = None
) -> Path:
    """Check a bundle and copy it into the store, whole or not at all; its signature, where it has one, goes first.

    Parameters
    ----------
    store
        The folder; it is made when it is not there.
    bundle_path
        The bundle; its signature lies beside it.
    engine
        Runs the self-test.
    trust_dir
        Keys, one of which must have signed it; None for no signatures.

    Returns
    -------
    Path
        ``<store>/<name>/<version>/model.specnet``.

    Raises
    ------
    BundleError
        When the bundle is bad, its name is no folder name, or the store has another bundle of this name and version.
    SignatureError
        When it is not signed as it should be.
    """
    bundle = _trusted(bundle_path, trust_dir) if trust_dir else read_bundle(bundle_path)
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
    if found not in (None, bundle.bundle_id):
        raise BundleError(
            f"the store has bundle {found} as {name} version {manifest.version}, got {bundle.bundle_id}: "
            "export it with a higher version"
        )
    signature = signature_path(bundle_path)
    if signature.exists():
        # before the bundle: a gateway that looks in between must not find one without
        write_signature(signature_path(target), read_signature(signature))
    if found is not None:
        return target

    def copy(temporary: Path) -> None:
        shutil.copyfile(bundle_path, temporary)
        copied = read_bundle(temporary).bundle_id
        if copied != bundle.bundle_id:
            raise BundleIntegrityError(f"{bundle_path} changed from {bundle.bundle_id} to {copied} while it was copied")

    return write_atomically(target, copy)


def _trusted(bundle_path: Path | str, trust_dir: Path | str) -> Bundle:
    signature = read_signature(signature_path(bundle_path))
    TrustedKeys(trust_dir).verify(signature)
    return check_bundle_bytes(read_limited(bundle_path), signature, str(bundle_path))


def _id_of(path: Path) -> str | None:
    """Id of a bundle in the store; None when there is none or a damaged one, which may be replaced."""
    try:
        return read_bundle(path).bundle_id
    except BundleError:
        return None
