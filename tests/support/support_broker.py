"""Real brokers for tests, and what tests need around them."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from specnet.demo.broker import Broker
from specnet.mqtt import BrokerSettings, Incoming, MqttSession
from specnet.mqtt.mosquitto import mosquitto_path

__all__ = [
    "Broker",
    "Inbox",
    "connected_session",
    "make_certificates",
    "missing",
    "mosquitto_path",
    "require",
    "settings_for",
    "wait_until",
    "write_mosquitto_password",
]

PATIENCE_S = 15.0


def wait_until(condition: Callable[[], object], what: str, timeout: float = PATIENCE_S) -> None:
    """Wait for a condition that nobody announces; AssertionError naming `what` when it does not come true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout:g} s in vain: {what}"
        time.sleep(0.005)


class Inbox:
    """An `on_message` that collects."""

    def __init__(self) -> None:
        self.messages: list[Incoming] = []
        self._arrived = threading.Condition()

    def __call__(self, incoming: Incoming) -> None:
        with self._arrived:
            self.messages.append(incoming)
            self._arrived.notify_all()

    def wait(self, count: int, timeout: float = PATIENCE_S) -> list[Incoming]:
        """Wait until `count` messages are here, and return all."""
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(self.messages) >= count, timeout)
            assert arrived, f"expected {count} messages in {timeout:g} s, got {len(self.messages)}"
            return list(self.messages)

    @property
    def payloads(self) -> list[bytes]:
        with self._arrived:
            return [message.payload for message in self.messages]


def settings_for(broker: Broker, **changes: object) -> BrokerSettings:
    """Settings that reach the broker and try again quickly."""
    return BrokerSettings(
        **{"host": broker.host, "port": broker.port, "reconnect_min_s": 0.02, "reconnect_max_s": 0.1, **changes}
    )


def connected_session(
    broker: Broker,
    client_id: str,
    *topic_filters: str,
    on_message: Callable[[Incoming], None] | None = None,
    **more: object,
) -> MqttSession:
    """Start a session, subscribe, and wait until the broker has taken the subscriptions; the caller stops it."""
    changes = {name: more.pop(name) for name in list(more) if name in BrokerSettings.__struct_fields__}
    session = MqttSession(settings_for(broker, **changes), client_id, on_message=on_message or Inbox(), **more)
    for topic_filter in topic_filters:
        session.subscribe(topic_filter)
    session.start()
    wait_until(lambda: session.connected, f"{client_id} connects to {broker.kind}")
    wait_until(lambda: session.counters["subscribed"] >= len(topic_filters), f"{broker.kind} takes the subscriptions")
    return session


def write_mosquitto_password(path: Path, user: str, password: str) -> Path:
    """Write a password file in mosquitto's own format (PBKDF2 with SHA-512, as mosquitto_passwd makes it)."""
    salt, iterations = os.urandom(12), 101
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
    encoded = "$".join(base64.b64encode(part).decode() for part in (salt, digest))
    path.write_text(f"{user}:$7${iterations}${encoded}\n")
    return path


def missing(reason: str) -> NoReturn:
    """Skip a test loudly; where the build machine is our own, fail: a build that tests nothing is worse."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(reason)
    pytest.skip(reason)


def require(kind: str) -> None:
    """Go on only where a broker of this kind is installed."""
    reason = f"{kind} IS NOT INSTALLED: nothing of MQTT was tested against it"
    if kind == "mosquitto" and mosquitto_path() is None:
        missing(reason)
    # a Python package of the extra `demo`, which the device's own environment rightly does not have
    if kind == "amqtt" and importlib.util.find_spec("amqtt") is None:
        pytest.skip(reason)


def make_certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Make a certificate authority and a certificate for 127.0.0.1 with openssl: ca, certificate, key."""
    if shutil.which("openssl") is None:
        missing("openssl IS NOT INSTALLED: nothing of TLS was tested")
    ca, ca_key, certificate, key, request = (folder / name for name in ("ca.pem", "ca.key", "b.pem", "b.key", "b.csr"))
    extensions = folder / "extensions"
    extensions.write_text("subjectAltName=IP:127.0.0.1\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    signed = ["-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-extfile", extensions, "-days", "2"]
    for command in (
        ["req", "-x509", *new_key, "-keyout", ca_key, "-out", ca, "-days", "2", "-subj", "/CN=test authority"],
        ["req", "-new", *new_key, "-keyout", key, "-out", request, "-subj", "/CN=broker"],
        ["x509", "-req", "-in", request, "-out", certificate, *signed],
    ):
        subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)
    return ca, certificate, key
