"""A wire tap between a client and its broker: what was acknowledged, and what was published."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from specnet.demo.broker import Broker
from specnet.demo.framing import Frame, MqttFramer

PUBLISH, PUBACK, SUBSCRIBE, UNSUBSCRIBE = 3, 4, 8, 10


@dataclass(frozen=True)
class Packet:
    """A packet of MQTT 5: who sent it, its type, and of publishes and their acknowledgements the packet id."""

    from_client: bool
    kind: int
    packet_id: int = 0
    correlation: bytes = b""
    topic: str = ""


class Tap:
    """Passes TCP connections on to a broker and keeps the packets in order; a context manager."""

    def __init__(self, broker: Broker) -> None:
        self.host = broker.host
        self.packets: list[Packet] = []
        self._broker = broker
        self._lock = threading.Lock()
        self._listener = socket.create_server((broker.host, 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def of_kind(self, kind: int, *, from_client: bool) -> list[Packet]:
        """Packets of one type and direction so far."""
        with self._lock:
            return [packet for packet in self.packets if (packet.kind, packet.from_client) == (kind, from_client)]

    def acknowledged_without_a_result(self) -> set[bytes]:
        """Correlations of the requests that the client acknowledged although it published no result for them.

        In the end: a result may wait a moment for a place among those that the broker has not acknowledged yet.
        """
        requests: dict[int, bytes] = {}
        acknowledged: set[bytes] = set()
        with self._lock:
            for packet in self.packets:
                if packet.kind == PUBLISH and not packet.from_client:
                    requests[packet.packet_id] = packet.correlation
                elif packet.kind == PUBACK and packet.from_client:
                    acknowledged.add(requests[packet.packet_id])
        return acknowledged - {packet.correlation for packet in self.of_kind(PUBLISH, from_client=True)}

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection((self._broker.host, self._broker.port))
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for pair in ((near, far, True), (far, near, False)):
                self._threads.append(threading.Thread(target=self._pass, args=pair, daemon=True))
                self._threads[-1].start()

    def _pass(self, source: socket.socket, target: socket.socket, from_client: bool) -> None:
        framer = MqttFramer()
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                with self._lock:
                    self.packets += [_packet(frame, from_client) for frame in framer.feed(data)]
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            if end is source:
                end.close()


def _packet(frame: Frame, from_client: bool) -> Packet:
    kind = frame.data[0] >> 4
    start = 1 + next(place for place, byte in enumerate(frame.data[1:], start=1) if byte < 0x80)
    if kind == PUBLISH:
        start += 2 + int.from_bytes(frame.data[start : start + 2], "big")
    elif kind != PUBACK:
        return Packet(from_client, kind)
    packet_id = int.from_bytes(frame.data[start : start + 2], "big")
    return Packet(from_client, kind, packet_id, frame.correlation, frame.topic)
