"""What is wrong, or soon will be, with the certificates that this gateway shows and trusts.

A broker that does not like a certificate often just closes the connection, so the dates are looked at here.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from gateway.broker_config.certificates import read_certificate, read_key
from gateway.check import Check
from specnet.errors import ConfigurationError
from specnet.mqtt import BrokerSettings

SOON = datetime.timedelta(days=30)


def check_certificates(broker: BrokerSettings) -> list[Check]:
    """Look at every file of a TLS connection; a failure is a `Check`, not an error. Empty without TLS."""
    if not broker.tls:
        return []
    checks = [_check_dates("authority", broker.ca_file)] if broker.ca_file else []
    if broker.cert_file:
        checks += [_check_dates("own certificate", broker.cert_file), _check_key(broker)]
    return checks


def soon_over(broker: BrokerSettings, now: datetime.datetime | None = None) -> Iterator[str]:
    """Say which certificates end within 30 days, or have ended."""
    now = now or datetime.datetime.now(datetime.UTC)
    for path in filter(None, (broker.ca_file, broker.cert_file) if broker.tls else ()):
        try:
            ends = read_certificate(Path(path)).not_valid_after_utc
        except ConfigurationError:
            continue  # the session complains about it
        if ends - now < SOON:
            yield f"certificate {path} {'ended' if ends <= now else 'ends'} on {ends:%Y-%m-%d}"


def _check_dates(what: str, path: str) -> Check:
    try:
        certificate = read_certificate(Path(path))
    except ConfigurationError as error:
        return Check(what, False, str(error))
    now = datetime.datetime.now(datetime.UTC)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    who = f"{path}, {certificate.subject.rfc4514_string()}"
    if ends <= now:
        return Check(what, False, f"{who}, ended on {ends:%Y-%m-%d %H:%M} UTC, it is {now:%Y-%m-%d %H:%M}")
    if begins > now:
        return Check(what, False, f"{who}, begins on {begins:%Y-%m-%d %H:%M} UTC, it is {now:%Y-%m-%d %H:%M}")
    return Check(what, True, f"{who}, until {ends:%Y-%m-%d}")


def _check_key(broker: BrokerSettings) -> Check:
    what, path = "own key", broker.key_file or broker.cert_file
    try:
        key, certificate = read_key(Path(path)), read_certificate(Path(broker.cert_file))
    except ConfigurationError as error:
        return Check(what, False, str(error))
    if key.public_key() != certificate.public_key():
        return Check(what, False, f"key {path} does not belong to certificate {broker.cert_file}")
    return Check(what, True, path)
