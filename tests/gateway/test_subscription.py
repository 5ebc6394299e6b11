"""Sharing the subscription, or not, as the broker allows."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

from support_broker import wait_until
from support_gateway import GatewayProcess

SHARING_NOT_SUPPORTED = 0x9E


class BrokerWithoutSharing(threading.Thread):
    """Answers CONNECT, SUBSCRIBE and PINGREQ of MQTT 5 as its section 4.8.2 allows: shared subscriptions are refused.

    No broker that can be installed here behaves so.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()
        self.filters: list[str] = []

    def run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            # a client that is stopped may leave with a reset
            with client, client.makefile("rb") as stream, contextlib.suppress(ConnectionError):
                while packet := self._read(stream):
                    self._answer(client, *packet)

    def _read(self, stream) -> tuple[int, bytes] | None:
        head = stream.read(1)
        if not head:
            return None
        length = shift = 0
        while True:
            byte = stream.read(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return head[0] >> 4, stream.read(length)

    def _answer(self, client: socket.socket, kind: int, body: bytes) -> None:
        if kind == 1:  # CONNECT
            client.sendall(b"\x20\x03\x00\x00\x00")
        elif kind == 8:  # SUBSCRIBE: packet id, length of properties (0), filter
            size = int.from_bytes(body[3:5])
            self.filters.append(body[5 : 5 + size].decode())
            code = SHARING_NOT_SUPPORTED if self.filters[-1].startswith("$share/") else 1
            client.sendall(b"\x90\x04" + body[:2] + bytes([0, code]))
        elif kind == 12:  # PINGREQ
            client.sendall(b"\xd0\x00")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join(10)


def test_a_broker_that_refuses_to_share_gets_a_plain_subscription(store: Path) -> None:
    broker = BrokerWithoutSharing()
    broker.start()
    try:
        with GatewayProcess(store, broker) as gateway:
            wait_until(lambda: "specnet/v1/+/+/offload/+/+" in broker.filters, "a plain subscription")
            gateway.wait_healthy()
    finally:
        broker.close()
    assert broker.filters[0] == "$share/specnet/specnet/v1/+/+/offload/+/+"


def test_a_refused_subscription_is_a_reason_to_be_unhealthy(store: Path) -> None:
    broker = BrokerWithoutSharing()
    broker.start()
    try:
        with GatewayProcess(store, broker, SPECNET_GATEWAY_SHARED_SUBSCRIPTION="always") as gateway:
            gateway.wait_metric("mqtt_events_total", 1, event="refused")
            assert gateway.get("/healthz")[0] == 503
            assert "has not granted" in gateway.get("/healthz")[1]
    finally:
        broker.close()
    assert all(name.startswith("$share/") for name in broker.filters)


def test_group_and_site_are_in_the_filter(store: Path) -> None:
    broker = BrokerWithoutSharing()
    broker.start()
    try:
        with GatewayProcess(store, broker, "--group", "night", "--site", "lab-2"):
            wait_until(lambda: len(broker.filters) >= 2, "both filters")
    finally:
        broker.close()
    assert broker.filters[:2] == ["$share/night/specnet/v1/lab-2/+/offload/+/+", "specnet/v1/lab-2/+/offload/+/+"]
