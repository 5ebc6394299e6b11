"""Releases of the device's test model: other versions of the same network, good and bad ones, signed."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from specnet.bundle import read_bundle, write_bundle
from specnet.manifest import SELFTEST
from specnet.signing import (
    BundleSignature,
    encode_signature,
    generate_key,
    read_private_key,
    sign_bundle,
    signature_path,
    write_signature,
)

TINY = Path(__file__).parent.parent / "device" / "fixtures" / "tiny.specnet"


def make_version(
    path: Path, version: int, *, name: str = "tiny", selftest_error: float = 0.0, **changes: object
) -> Path:
    """Write the test model as another version.

    `selftest_error` shifts its expected logits so that it must fail, `changes` are fields of the manifest.
    """
    bundle = read_bundle(TINY)
    manifest = msgspec.structs.replace(bundle.manifest, name=name, version=version, **changes)
    files = dict(bundle.files)
    if selftest_error:
        vectors = bundle.selftest()
        content = io.BytesIO()
        np.savez(content, **{**vectors, "logits": vectors["logits"] + np.float32(selftest_error)})
        files[SELFTEST] = content.getvalue()
    write_bundle(path, manifest, files)
    return path


@dataclass(frozen=True)
class Release:
    """A signed bundle."""

    path: Path
    signature: BundleSignature

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()

    @property
    def signature_document(self) -> bytes:
        return encode_signature(self.signature)


class Releaser:
    """Somebody with a key who releases versions of the test model.

    Parameters
    ----------
    folder
        Gets the bundles, and the trust folder ``trust`` with the public key.
    """

    def __init__(self, folder: Path, name: str = "release") -> None:
        self.folder = folder
        self.trust = folder / "trust"
        self.key = folder / f"{name}.key"
        self.public = self.trust / f"{name}.pem"
        self.key_id = generate_key(self.key, self.public)

    def release(self, version: int, *, name: str = "tiny", selftest_error: float = 0.0, **changes: object) -> Release:
        """Make a version and sign it; options as those of `make_version`."""
        path = self.folder / f"{name}-{version}.specnet"
        make_version(path, version, name=name, selftest_error=selftest_error, **changes)
        return self.sign(path)

    def sign(self, path: Path) -> Release:
        """Sign a bundle that is there."""
        signature = sign_bundle(path, read_private_key(self.key))
        write_signature(signature_path(path), signature)
        return Release(path, signature)
