"""Signatures of bundles: who made a model, proven by Ed25519 (RFC 8032) and a folder of trusted public keys.

The signature is a file of its own beside the bundle, whose bytes stay as they are. It needs the package
``cryptography``, which is imported only when a key is used.
"""

from specnet.signing.keys import TrustedKeys, generate_key, has_keys, read_private_key, require_library
from specnet.signing.signature import (
    MAX_SIGNATURE_BYTES,
    SIGNATURE_SUFFIX,
    BundleSignature,
    decode_signature,
    encode_signature,
    read_signature,
    signature_path,
    write_signature,
)
from specnet.signing.signing import check_bundle_bytes, read_limited, sign_bundle

__all__ = [
    "MAX_SIGNATURE_BYTES",
    "SIGNATURE_SUFFIX",
    "BundleSignature",
    "TrustedKeys",
    "check_bundle_bytes",
    "decode_signature",
    "encode_signature",
    "generate_key",
    "has_keys",
    "read_limited",
    "read_private_key",
    "read_signature",
    "require_library",
    "sign_bundle",
    "signature_path",
    "write_signature",
]
