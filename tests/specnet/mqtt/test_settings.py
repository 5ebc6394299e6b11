"""Settings that cannot work are refused with their name."""

from __future__ import annotations

import math
import ssl
from pathlib import Path

import pytest
from support_broker import make_certificates

from specnet.errors import BrokerError, ConfigurationError
from specnet.mqtt import BrokerSettings, Will


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"port": 0}, "port is from 1 to 65535, got 0"),
        ({"port": 65_536}, "got 65536"),
        ({"host": ""}, "host is a name"),
        ({"host": "a b"}, "'a b'"),
        ({"keepalive_s": 0}, "keepalive_s"),
        ({"reconnect_min_s": math.nan}, "reconnect_min_s"),
        ({"reconnect_min_s": 5.0, "reconnect_max_s": 1.0}, "reconnect_max_s is from 5 to"),
        ({"max_payload_bytes": 0}, "max_payload_bytes"),
        ({"protocol": "4"}, 'protocol is "auto", "5" or "3.1.1", got \'4\''),
        ({"password_file": "p"}, "without username"),
        ({"password_env": "P"}, "password_env is set without username"),
        ({"username": "u", "password_env": "P", "password_file": "p"}, "both set"),
        ({"username": "u", "password_env": "$ecret"}, "name of an environment variable"),
        ({"tls": True, "key_file": "k"}, "key_file is set without cert_file"),
        ({"ca_file": "c"}, "ca_file is set but tls is false"),
    ],
)
def test_values_out_of_range_or_in_contradiction(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        BrokerSettings(**changes)


def test_a_password_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = BrokerSettings(username="u", password_env="BROKER_PASSWORD")
    monkeypatch.setenv("BROKER_PASSWORD", "grün ")
    assert settings.password() == "grün "
    assert "grün" not in repr(settings)
    for bad, complaint in (("", "is not set or empty"), ("x" * 5000, "has 5000 characters")):
        monkeypatch.setenv("BROKER_PASSWORD", bad)
        with pytest.raises(ConfigurationError, match=complaint):
            settings.password()


def test_a_password_that_stands_where_a_variable_should_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        BrokerSettings(username="u", password_env="correct horse")
    assert "horse" not in str(caught.value)


def test_a_password_is_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes("grün \r\nnot this\n".encode())
    assert BrokerSettings(username="u", password_file=str(path)).password() == "grün "
    assert BrokerSettings(username="u").password() is None


@pytest.mark.parametrize("content", [b"", b"\nsecond line", b"x" * 5000, b"\xff\xfe"])
def test_a_file_without_a_password_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"password_file .*password"):
        BrokerSettings(username="u", password_file=str(path)).password()


def test_tls_verifies_and_is_at_least_1_2(tmp_path: Path) -> None:
    ca, certificate, key = make_certificates(tmp_path)
    settings = BrokerSettings(tls=True, ca_file=str(ca), cert_file=str(certificate), key_file=str(key))
    context = settings.tls_context()
    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert BrokerSettings().tls_context() is None


def test_certificate_and_key_must_fit(tmp_path: Path) -> None:
    ca, certificate, _ = make_certificates(tmp_path)
    with pytest.raises(ConfigurationError, match="cert_file"):
        BrokerSettings(tls=True, cert_file=str(certificate), key_file=str(tmp_path / "ca.key")).tls_context()
    (tmp_path / "text").write_text("no certificate")
    with pytest.raises(ConfigurationError, match="ca_file"):
        BrokerSettings(tls=True, ca_file=str(tmp_path / "text")).tls_context()
    assert ca.exists()


def test_a_will_has_a_topic_that_can_be_published_to() -> None:
    with pytest.raises(BrokerError, match="no wildcard"):
        Will("state/#", b"offline")
    with pytest.raises(BrokerError, match="qos"):
        Will("state", b"offline", qos=2)
