"""The authority and its certificates, as OpenSSL and Python see them."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.broker_config.certificates import (
    AUTHORITY_DAYS,
    Authority,
    is_issued_by,
    names_of_server,
    new_authority,
    read_authority,
    read_certificate,
)
from specnet.errors import ConfigurationError


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    issued = new_authority()
    (tmp_path / "ca.pem").write_bytes(issued.certificate)
    (tmp_path / "ca.key").write_bytes(issued.key)
    return read_authority(tmp_path / "ca.pem", tmp_path / "ca.key")


def test_a_clients_name_is_its_common_name_and_openssl_takes_it_for_a_client_only(
    authority: Authority, tmp_path: Path
) -> None:
    issued = authority.issue_client("lab/node-1", 10)
    path = tmp_path / "client.pem"
    path.write_bytes(issued.certificate)
    certificate = read_certificate(path)
    assert certificate.subject.rfc4514_string() == "CN=lab/node-1"
    assert is_issued_by(certificate, authority.certificate)
    for purpose, code in (("sslclient", 0), ("sslserver", 2)):
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", tmp_path / "ca.pem", path]
        assert subprocess.run(command, capture_output=True, check=False).returncode == code, purpose


def test_the_brokers_certificate_is_for_names_and_addresses(authority: Authority) -> None:
    issued = authority.issue_server(["gateway.local", "10.0.0.7", "::1"], 10)
    certificate = x509.load_pem_x509_certificate(issued.certificate)
    assert names_of_server(certificate) == {"gateway.local", "10.0.0.7", "::1"}
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_no_certificate_outlives_its_authority(authority: Authority) -> None:
    ends = authority.certificate.not_valid_after_utc
    assert authority.issue_client("a", AUTHORITY_DAYS + 100).expires == ends
    soon = authority.issue_client("a", 10).expires - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=9.9) < soon <= datetime.timedelta(days=10)


def test_a_name_that_is_too_long_for_a_certificate_is_refused(authority: Authority) -> None:
    with pytest.raises(ConfigurationError, match="has 65 characters, a certificate's common name has at most 64"):
        authority.issue_client("s" * 32 + "/" + "d" * 32, 10)


def test_an_authority_that_is_damaged_or_not_whole_is_named(authority: Authority, tmp_path: Path) -> None:
    other = new_authority()
    (tmp_path / "other.key").write_bytes(other.key)
    with pytest.raises(ConfigurationError, match=r"other\.key does not belong to"):
        read_authority(tmp_path / "ca.pem", tmp_path / "other.key")
    with pytest.raises(ConfigurationError, match=r"cannot read key .*missing: No such file"):
        read_authority(tmp_path / "ca.pem", tmp_path / "missing")
    with pytest.raises(ConfigurationError, match="is no certificate in PEM"):
        read_authority(tmp_path / "ca.key", tmp_path / "ca.key")
    with pytest.raises(ConfigurationError, match="is no unencrypted private key in PEM"):
        read_authority(tmp_path / "ca.pem", tmp_path / "ca.pem")
