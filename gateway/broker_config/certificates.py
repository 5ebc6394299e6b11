"""A small certificate authority: one for one broker, its certificate, and one certificate for each client.

Keys are ECDSA on P-256. OpenSSL 1.1.1 and newer (mosquitto, Python) take Ed25519 as well, but the TLS libraries of
small boards often do not, and an authority cannot be exchanged in the field.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from specnet.errors import ConfigurationError
from specnet.files import read_bounded

AUTHORITY_NAME = "specnet authority"
AUTHORITY_DAYS = 7300
MAX_DAYS = 3650
MAX_COMMON_NAME = 64
"""Characters of a common name (RFC 5280, ub-common-name)."""
MAX_PEM_BYTES = 65_536
BACKDATED = datetime.timedelta(days=1)
"""Clocks of devices may be late by this."""


@dataclass(frozen=True)
class Issued:
    """A certificate with its private key, both PEM, and when it ends."""

    certificate: bytes
    key: bytes
    expires: datetime.datetime


class Authority:
    """Who says who clients are.

    Parameters
    ----------
    certificate, key
        Its own; made by `new_authority`.
    """

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    def issue_client(self, user: str, days: float) -> Issued:
        """Make a certificate whose common name is the user's.

        Raises
        ------
        ConfigurationError
            When the name is too long for a certificate.
        """
        return self._issue(user, days, ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def issue_server(self, names: Sequence[str], days: float) -> Issued:
        """Make the broker's certificate for host names and addresses; the first is its common name."""
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        # clients compare the alternative names only; the common name is for people
        return self._issue(names[0][:MAX_COMMON_NAME], days, ExtendedKeyUsageOID.SERVER_AUTH, [alternatives])

    def _issue(
        self, name: str, days: float, usage: x509.ObjectIdentifier, more: Sequence[x509.ExtensionType]
    ) -> Issued:
        check_common_name(name)
        key = ec.generate_private_key(ec.SECP256R1())
        now = _now()
        # a certificate that outlives its authority would end before its date
        expires = min(now + datetime.timedelta(days=days), self.certificate.not_valid_after_utc)
        builder = (
            _builder(name, self.certificate.subject, key.public_key(), now, expires)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for extension in more:
            builder = builder.add_extension(extension, critical=False)
        return Issued(_pem(builder.sign(self._key, hashes.SHA256())), _private_pem(key), expires)


def check_common_name(name: str) -> None:
    """Refuse a name that is too long for a certificate with `ConfigurationError`."""
    if len(name) > MAX_COMMON_NAME:
        raise ConfigurationError(
            f"{name!r} has {len(name)} characters, a certificate's common name has at most {MAX_COMMON_NAME}"
        )


def new_authority() -> Issued:
    """Make the certificate and key of an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = _now()
    expires = now + datetime.timedelta(days=AUTHORITY_DAYS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY_NAME)])
    builder = (
        _builder(AUTHORITY_NAME, name, key.public_key(), now, expires)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    return Issued(_pem(builder.sign(key, hashes.SHA256())), _private_pem(key), expires)


def read_authority(certificate: Path, key: Path) -> Authority:
    """Read an authority.

    Raises
    ------
    ConfigurationError
        When a file is missing or damaged, or one does not belong to the other.
    """
    found = read_certificate(certificate)
    secret = read_key(key)
    if not isinstance(secret, ec.EllipticCurvePrivateKey) or secret.public_key() != found.public_key():
        raise ConfigurationError(f"key {key} does not belong to certificate {certificate}")
    if found.not_valid_after_utc <= _now():
        raise ConfigurationError(f"authority {certificate} ended on {found.not_valid_after_utc:%Y-%m-%d}")
    return Authority(found, secret)


def read_certificate(path: Path) -> x509.Certificate:
    """Read the first certificate of a PEM file; `ConfigurationError` when there is none."""
    document = read_bounded(path, MAX_PEM_BYTES, "certificate", ConfigurationError)
    try:
        return x509.load_pem_x509_certificate(document)
    except ValueError as error:
        raise ConfigurationError(f"{path} is no certificate in PEM: {error}") from error


def read_key(path: Path) -> PrivateKeyTypes:
    """Read an unencrypted private key in PEM; `ConfigurationError` when it is none."""
    document = read_bounded(path, MAX_PEM_BYTES, "key", ConfigurationError)
    try:
        return form.load_pem_private_key(document, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{path} is no unencrypted private key in PEM: {error}") from error


def is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether the one has signed the other."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def names_of_server(certificate: x509.Certificate) -> set[str]:
    """Host names and addresses that a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def _builder(
    name: str,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    expires: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, expires) - BACKDATED)
        .not_valid_after(expires)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(form.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)
