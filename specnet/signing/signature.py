"""The signature file: what is claimed of a bundle, and the bytes that are signed."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

import msgspec

from specnet.bundle import MAX_BUNDLE_BYTES
from specnet.errors import SignatureError
from specnet.files import read_bounded, write_bytes

ALGORITHM = "ed25519"
DOMAIN = b"specnet bundle signature v1"
FORMAT_VERSION = 1
SIGNATURE_SUFFIX = ".sig"
SIGNATURE_BYTES = 64
MAX_SIGNATURE_BYTES = 2048
MAX_VERSION = 2**31 - 1
MODEL_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}\Z")
_HEX_64 = re.compile(r"[0-9a-f]{64}\Z")
_HEX_16 = re.compile(r"[0-9a-f]{16}\Z")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|\+00:00)\Z")


class BundleSignature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A detached signature.

    Parameters
    ----------
    name, version
        Of the model, as its manifest has them: a device decides from them before it has the bundle.
    size, sha256
        Of the bundle file, in bytes.
    created
        When it was signed, UTC, ISO 8601.
    key_id
        Which key: see `specnet.signing.keys.key_id`.
    signature
        64 bytes in base64 over `signed_bytes`.
    algorithm, format_version
        ``ed25519``, 1.
    """

    name: str
    version: int
    size: int
    sha256: str
    created: str
    key_id: str
    signature: str = ""
    algorithm: str = ALGORITHM
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        _require(self.format_version == FORMAT_VERSION, "format_version", self.format_version, FORMAT_VERSION)
        _require(self.algorithm == ALGORITHM, "algorithm", self.algorithm[:40], ALGORITHM)
        _require(MODEL_NAME.match(self.name) is not None, "name", self.name[:80], "a bundle's name")
        _require(1 <= self.version <= MAX_VERSION, "version", self.version, f"1 to {MAX_VERSION}")
        _require(1 <= self.size <= MAX_BUNDLE_BYTES, "size", self.size, f"1 to {MAX_BUNDLE_BYTES}")
        _require(_HEX_64.match(self.sha256) is not None, "sha256", self.sha256[:80], "64 hexadecimal digits")
        _require(_HEX_16.match(self.key_id) is not None, "key_id", self.key_id[:80], "16 hexadecimal digits")
        _require(_MOMENT.match(self.created) is not None, "created", self.created[:80], "a moment in UTC")
        if self.signature:
            _require(len(self.raw_signature) == SIGNATURE_BYTES, "signature", self.signature[:20], "64 bytes")

    @property
    def raw_signature(self) -> bytes:
        """The signature's bytes; empty when it is no base64."""
        try:
            return base64.b64decode(self.signature, validate=True)
        except (binascii.Error, ValueError):
            return b""

    @property
    def signed_bytes(self) -> bytes:
        """What the signature is over.

        A name of its own keeps a signature from being valid for anything else, and lengths before the fields keep two
        different claims from giving the same bytes, as in DSSE's pre-authentication encoding
        (https://github.com/secure-systems-lab/dsse/blob/master/protocol.md).
        """
        fields = (self.algorithm, self.key_id, self.name, self.version, self.size, self.sha256, self.created)
        parts = [DOMAIN, *(str(field).encode() for field in fields)]
        return b" ".join(b"%d %s" % (len(part), part) for part in parts)


def signature_path(bundle: Path | str) -> Path:
    """Where the signature of a bundle lies: beside it, with ``.sig`` after its name."""
    return Path(f"{bundle}{SIGNATURE_SUFFIX}")


def encode_signature(signature: BundleSignature) -> bytes:
    """JSON of a signature, as it is written to the file and announced."""
    return msgspec.json.format(msgspec.json.encode(signature), indent=1) + b"\n"


def decode_signature(document: bytes, name: str = "signature") -> BundleSignature:
    """Signature out of JSON.

    Raises
    ------
    SignatureError
        Over 2,048 bytes, no JSON, a field missing, unknown or impossible, or not signed. Nothing is verified here.
    """
    if len(document) > MAX_SIGNATURE_BYTES:
        raise SignatureError(f"{name} has {len(document)} bytes, at most {MAX_SIGNATURE_BYTES} are accepted")
    try:
        signature = msgspec.json.decode(document, type=BundleSignature)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SignatureError(f"{name} is no signature: {error}") from error
    if not signature.signature:
        raise SignatureError(f"{name} has an empty signature, expected {SIGNATURE_BYTES} bytes in base64")
    return signature


def read_signature(path: Path | str) -> BundleSignature:
    """Read a signature file; `SignatureError` when it is missing or as in `decode_signature`."""
    document = read_bounded(path, MAX_SIGNATURE_BYTES, "signature", SignatureError)
    return decode_signature(document, f"signature {path}")


def write_signature(path: Path | str, signature: BundleSignature) -> Path:
    """Write a signature file, whole or not at all."""
    return write_bytes(path, encode_signature(signature))


def _require(condition: bool, field: str, found: object, expected: object) -> None:
    """Raise ValueError, which msgspec turns into a ValidationError while decoding."""
    if not condition:
        raise ValueError(f"{field} of a signature is {found!r}, expected {expected}")
