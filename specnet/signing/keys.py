"""Ed25519 keys as PEM files: private ones that nobody else can read, public ones in a folder of trust."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from specnet.errors import SignatureError
from specnet.files import write_bytes
from specnet.signing.signature import BundleSignature

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_KEY_BYTES = 4096
MAX_KEYS = 64
PRIVATE_MODE = 0o600
MISSING = "signatures need the package cryptography: pip install cryptography (extras updates, gateway and train)"


def generate_key(private: Path, public: Path) -> str:
    """Make a key pair; neither file may exist yet.

    Parameters
    ----------
    private
        PEM (PKCS #8, not encrypted), mode 0600.
    public
        PEM, for the trust folders of devices and gateways.

    Returns
    -------
    str
        The key's id.

    Raises
    ------
    SignatureError
        When a file exists or cannot be written.
    """
    require_library()
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ed25519

    for path in (private, public):
        if path.exists():
            raise SignatureError(f"{path} exists already; a key is never overwritten")
    key = ed25519.Ed25519PrivateKey.generate()
    secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    known = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    try:
        private.parent.mkdir(parents=True, exist_ok=True)
        # private from its first byte on: a file made readable and closed afterwards was readable for a moment
        descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        write_bytes(public, known)
    except OSError as error:
        raise SignatureError(f"cannot write key {error.filename or private}: {error.strerror}") from error
    return key_id(key.public_key())


def read_private_key(path: Path | str) -> Ed25519PrivateKey:
    """Read a private key.

    Raises
    ------
    SignatureError
        When the file is missing, no unencrypted Ed25519 key, or readable for others than its owner.
    """
    require_library()
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    document, mode = _read(Path(path))
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SignatureError(f"private key {path} has mode {mode:04o}, expected {PRIVATE_MODE:04o}: chmod 600 it")
    key = _parse(lambda: load_pem_private_key(document, None), path)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise SignatureError(f"{path} holds a {type(key).__name__}, expected a private key of Ed25519")
    return key


def read_public_key(path: Path | str) -> Ed25519PublicKey:
    """Read a public key; `SignatureError` when it is none, or anybody may write the file."""
    require_library()
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    document, mode = _read(Path(path))
    if mode & stat.S_IWOTH:
        raise SignatureError(f"trusted key {path} can be written by anybody (mode {mode:04o}): chmod o-w it")
    key = _parse(lambda: load_pem_public_key(document), path)
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise SignatureError(f"{path} holds a {type(key).__name__}, expected a public key of Ed25519")
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the 32 bytes of a public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


class TrustedKeys:
    """Public keys, any of which may have signed a bundle; who is removed from the folder is trusted no more.

    Parameters
    ----------
    place
        A folder of at most 64 ``*.pem`` files, or one such file.

    Raises
    ------
    SignatureError
        When a key cannot be used: one that is silently left out would be a surprise on the day it is needed.
    """

    def __init__(self, place: Path | str) -> None:
        place = Path(place)
        paths = [place] if place.is_file() else sorted(place.glob("*.pem"))
        if len(paths) > MAX_KEYS:
            raise SignatureError(f"{place} has {len(paths)} keys, at most {MAX_KEYS} are accepted")
        self._place = place
        self._keys = {key_id(key): key for key in map(read_public_key, paths)}

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all keys."""
        return tuple(sorted(self._keys))

    def verify(self, signature: BundleSignature) -> None:
        """Check who signed; whether the bundle is the one that was signed is `check_bundle_bytes`.

        Raises
        ------
        SignatureError
            When the key is not trusted, or the signature is not its own.
        """
        from cryptography.exceptions import InvalidSignature

        key = self._keys.get(signature.key_id)
        if key is None:
            trusted = ", ".join(self.ids) or "none"
            raise SignatureError(f"signed with key {signature.key_id}, trusted in {self._place}: {trusted}")
        try:
            key.verify(signature.raw_signature, signature.signed_bytes)
        except InvalidSignature as error:
            raise SignatureError(
                f"the signature of {signature.name} version {signature.version} is not that of key {signature.key_id}"
            ) from error


def has_keys(place: Path | str) -> bool:
    """Whether anybody is trusted there; needs no cryptography."""
    place = Path(place)
    return place.is_file() or any(place.glob("*.pem"))


def require_library() -> None:
    """Raise `SignatureError` where ``cryptography`` is not installed."""
    if importlib.util.find_spec("cryptography") is None:
        raise SignatureError(MISSING)


def _read(path: Path) -> tuple[bytes, int]:
    """Content and permissions of a key file."""
    try:
        with path.open("rb") as file:
            return _limited(file.read(MAX_KEY_BYTES + 1), path), stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except OSError as error:
        raise SignatureError(f"cannot read key {path}: {error.strerror}") from error


def _limited(document: bytes, path: Path) -> bytes:
    if len(document) > MAX_KEY_BYTES:
        raise SignatureError(f"key {path} has over {MAX_KEY_BYTES} bytes")
    return document


def _parse(load: Callable[[], object], path: Path | str) -> object:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path} is no unencrypted key in PEM: {error}") from error
