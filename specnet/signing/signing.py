"""Making a signature of a bundle, and holding a bundle against one."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from specnet.bundle import MAX_BUNDLE_BYTES, Bundle, parse_bundle
from specnet.errors import BundleError, SignatureError
from specnet.files import read_bounded
from specnet.signing.keys import key_id
from specnet.signing.signature import BundleSignature

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def read_limited(path: Path | str) -> bytes:
    """Bytes of a bundle file; `BundleError` when it is missing or larger than any bundle."""
    return read_bounded(path, MAX_BUNDLE_BYTES, "bundle", BundleError)


def describe_bundle(data: bytes, bundle: Bundle, signer: str) -> BundleSignature:
    """Claim of a bundle, not yet signed; `SignatureError` when it has a name or version that cannot be signed."""
    manifest = bundle.manifest
    try:
        return BundleSignature(
            name=manifest.name,
            version=manifest.version,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            key_id=signer,
        )
    except ValueError as error:
        raise SignatureError(str(error)) from error


def sign_bundle(path: Path | str, key: Ed25519PrivateKey) -> BundleSignature:
    """Sign a bundle file.

    Raises
    ------
    BundleError
        When it is no whole bundle: nobody should vouch for that.
    SignatureError
        When its name or version cannot be signed.
    """
    data = read_limited(path)
    claim = describe_bundle(data, parse_bundle(data, str(path)), key_id(key.public_key()))
    return msgspec.structs.replace(claim, signature=base64.b64encode(key.sign(claim.signed_bytes)).decode())


def check_bundle_bytes(data: bytes, signature: BundleSignature, name: str = "bundle") -> Bundle:
    """Hold a bundle against its signature, which `TrustedKeys.verify` has found genuine, and parse it.

    Raises
    ------
    SignatureError
        When size, hash, name or version are others.
    BundleError
        As `specnet.bundle.read_bundle`.
    """
    digest = hashlib.sha256(data).hexdigest()
    if (len(data), digest) != (signature.size, signature.sha256):
        raise SignatureError(
            f"{name} has {len(data)} bytes with sha256 {digest[:16]}..., "
            f"signed are {signature.size} with {signature.sha256[:16]}..."
        )
    bundle = parse_bundle(data, name)
    found = bundle.manifest.name, bundle.manifest.version
    if found != (signature.name, signature.version):
        raise SignatureError(
            f"{name} is {found[0]} version {found[1]}, signed is {signature.name} version {signature.version}"
        )
    return bundle
