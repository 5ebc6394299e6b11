"""One connection to a broker for many small messages, without a client library in between.

paho takes some 300 us of processor time for a request and its result: four packets, each read and written on its own,
and all of them under the interpreter's lock that the computing thread needs too. Here one call of the kernel brings or
takes many packets. Devices, which have a message in seconds, use paho (`specnet.mqtt.connection`); so does whoever
meets a broker of version 3.1.1.
"""

from __future__ import annotations

import math
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from specnet.errors import BrokerError, SpecnetError
from specnet.mqtt.frames import Frame, Frames, read_publish
from specnet.mqtt.link import CONNECT_TIMEOUT_S, PACKET_OVERHEAD_BYTES, WINDOW, Course, End, Receipt, Terms
from specnet.mqtt.messages import Incoming
from specnet.mqtt.packets import (
    CONNACK,
    DISCONNECT,
    FAILURE,
    FAREWELL,
    PING,
    PINGRESP,
    PUBACK,
    PUBLISH,
    SUBACK,
    UNSUBACK,
    read_answer,
    words,
    write_connect,
    write_puback,
    write_publish,
    write_subscribe,
    write_unsubscribe,
)
from specnet.mqtt.protocol import Version
from specnet.mqtt.window import MAX_WAITING, Admission, Outgoing, SendWindow

READ_BYTES = 65_536
LOOK_S = 0.1
IDLE_S = 1.0
LARGEST_ID = 65_535
LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class DirectConnection:
    """A connection of MQTT 5; see `specnet.mqtt.link.Link`, and `Terms` there.

    Raises
    ------
    BrokerError
        When another version is asked for, or a probe.
    """

    def __init__(self, terms: Terms) -> None:
        if terms.version != "5" or terms.probe:
            found = f"{terms.version!r}, probe {terms.probe}"
            raise BrokerError(f"a direct connection speaks MQTT 5 and is no probe, got {found}")
        self.version: Version = terms.version
        self.packet_limit: int | None = None
        self._terms = terms
        self._listener = terms.listener
        self._window = SendWindow(WINDOW)
        self._course = Course()
        self._frames = Frames(terms.settings.max_payload_bytes + PACKET_OVERHEAD_BYTES)
        self._socket: socket.socket | None = None
        self._outbox: deque[bytes] = deque()
        self._unsent = memoryview(b"")
        self._numbers = count()
        self._in_flight: set[int] = set()
        self._keepalive_s = float(terms.settings.keepalive_s)
        self._sent_at = self._heard_at = 0.0
        self._pinged_at: float | None = None
        self._asleep = False
        self._sending = threading.Lock()
        self._gathering = threading.local()
        self._waker, self._bell = socket.socketpair()
        self._waker.setblocking(False)
        self._bell.setblocking(False)

    # ------------------------------------------------------------------ from any thread

    def close(self) -> None:
        """Send a DISCONNECT, so that the broker drops the will."""
        # before the mark, or the thread could end without it, and the broker would send the will
        self._outbox.append(FAREWELL)
        self._course.close()
        self._push()

    def send(self, message: Outgoing) -> bool:
        """Send a message or let it wait for a place in the window; False when there is no room or no connection."""
        if self._course.over:
            return False
        if message.qos == 0:
            if len(self._outbox) >= MAX_WAITING:
                return False
            self._write(write_publish(message, 0))
            return True
        admission = self._window.admit(message)
        if admission is Admission.SEND:
            self._transmit(message)
        else:
            # what is gathered makes room only once it has left
            self._push()
        return admission is not Admission.REFUSED

    def flush(self, timeout: float) -> bool:
        """Wait until the broker has acknowledged everything."""
        return self._window.wait_until_empty(timeout)

    def subscribe(self, topic_filter: str, qos: int) -> None:
        """Send a SUBSCRIBE."""
        self._write(write_subscribe(self._number(), topic_filter, qos))

    def unsubscribe(self, topic_filter: str) -> None:
        """Send an UNSUBSCRIBE."""
        self._write(write_unsubscribe(self._number(), topic_filter))

    def acknowledge(self, packet_id: int, qos: int) -> bool:
        """Acknowledge a message that came on this connection; False when the connection is over."""
        if self._course.over:
            return False
        self._write(write_puback(packet_id))
        return True

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let what this thread sends meanwhile leave at once in the end."""
        self._gathering.on = True
        try:
            yield
        finally:
            self._gathering.on = False
            if self._outbox:
                self._push()

    def _write(self, packet: bytes) -> None:
        """Queue a packet, and see that it leaves."""
        self._outbox.append(packet)
        if not getattr(self._gathering, "on", False):
            self._push()

    def _push(self) -> None:
        """Send from here what a plain socket takes, while the network thread sleeps; otherwise let that thread do it.

        It looks for packets after it has said that it falls asleep. To wake it costs both threads more than to send.
        """
        if not self._asleep:
            return
        sock = self._socket
        if sock is not None and not isinstance(sock, ssl.SSLSocket) and self._sending.acquire(blocking=False):
            try:
                self._send_outbox(sock)
            except OSError:  # the network thread will see it too
                return
            finally:
                self._sending.release()
            if not self._unsent and not self._course.closing.is_set():
                return
        self._asleep = False
        try:
            self._bell.send(b"\0")
        except OSError:  # full, so it will wake; or closed, and nobody sleeps any more
            return

    def _transmit(self, message: Outgoing) -> None:
        number = self._number()
        self._in_flight.add(number)
        self._write(write_publish(message, number))

    def _number(self) -> int:
        """Choose a packet identifier that is not under way."""
        while (number := next(self._numbers) % LARGEST_ID + 1) in self._in_flight:
            pass
        return number

    # ------------------------------------------------------------------ in the thread that runs it

    def run(self, stopping: threading.Event) -> End:
        """Connect and serve the connection until it ends or `stopping` is set before the broker has answered."""
        try:
            self._socket = self._open()
            self._serve(self._socket, stopping)
        except Exception as error:
            # whatever a foreign peer provokes ends one connection, not the service
            expected = isinstance(error, (OSError, SpecnetError))
            self._course.end(str(error) if expected else f"{type(error).__name__}: {error}")
        finally:
            self._course.over = True
            lost = self._window.outstanding()
            for one in (self._socket, self._waker, self._bell):
                if one is not None:
                    one.close()
        return self._course.summary(lost)

    def _open(self) -> socket.socket:
        settings = self._terms.settings
        context = settings.tls_context()
        sock = socket.create_connection((settings.host, settings.port), CONNECT_TIMEOUT_S)
        try:
            # Nagle's algorithm with delayed acknowledgements costs 44 ms a message; see tests/specnet/mqtt
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                sock = context.wrap_socket(sock, server_hostname=settings.host)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        self._outbox.append(
            write_connect(
                self._terms.client_id,
                username=settings.username,
                password=settings.password(),
                will=self._terms.will,
                keepalive_s=settings.keepalive_s,
                receive_maximum=self._terms.receive_maximum,
                packet_limit=settings.max_payload_bytes + PACKET_OVERHEAD_BYTES,
            )
        )
        self._course.asked()
        self._sent_at = self._heard_at = time.monotonic()
        return sock

    def _serve(self, sock: socket.socket, stopping: threading.Event) -> None:
        poll = select.poll()
        poll.register(self._waker, select.POLLIN)
        poll.register(sock, select.POLLIN)
        while True:
            self._course.look_at_the_clock(stopping)
            with self._sending:
                self._send_outbox(sock)
            if self._course.closing.is_set() and not self._outbox and not self._unsent:
                self._course.end("closed by us")
            if self._course.over:
                return
            self._keep_alive()
            poll.modify(sock, select.POLLIN | (select.POLLOUT if self._unsent else 0))
            self._asleep = True
            soon = self._outbox and not self._unsent
            ready = dict(poll.poll(0 if soon else 1e3 * self._patience()))
            self._asleep = False
            if self._waker.fileno() in ready:
                _empty(self._waker)
            if ready.get(sock.fileno(), 0) & ~select.POLLOUT:
                self._receive(sock)

    def _patience(self) -> float:
        """How long to sleep at most, in seconds."""
        hurried = self._course.waiting or self._course.closing.is_set()
        return LOOK_S if hurried else min(IDLE_S, 0.25 * self._keepalive_s)

    def _send_outbox(self, sock: socket.socket) -> None:
        """Send what the socket takes, as many packets at a time as there are; `_sending` is held."""
        while self._unsent or self._outbox:
            if not self._unsent:
                packets = [self._outbox.popleft() for _ in range(len(self._outbox))]
                self._unsent = memoryview(b"".join(packets))
            try:
                sent = sock.send(self._unsent)
            except LATER:
                return
            self._unsent = self._unsent[sent:]
            self._sent_at = time.monotonic()

    def _receive(self, sock: socket.socket) -> None:
        while True:
            try:
                data = sock.recv(READ_BYTES)
            except LATER:
                return
            if not data:
                self._course.end("connection lost")
                return
            self._heard_at, self._pinged_at = time.monotonic(), None
            for frame in self._frames.feed(data):
                self._take(frame)
                if self._course.over:
                    return
            # what TLS has decrypted already, poll does not see
            if not isinstance(sock, ssl.SSLSocket) or not sock.pending():
                return

    def _keep_alive(self) -> None:
        """Ask a silent broker whether it is there."""
        now = time.monotonic()
        if self._course.waiting:
            return
        if self._pinged_at is not None and now - self._pinged_at > self._keepalive_s:
            self._course.end("the broker does not answer")
        elif self._pinged_at is None and now - min(self._sent_at, self._heard_at) >= self._keepalive_s:
            self._pinged_at = now
            self._outbox.append(PING)

    def _take(self, frame: Frame) -> None:
        if self._course.waiting:
            self._connected(frame)
        elif frame.kind == PUBLISH:
            self._take_message(frame)
        elif frame.kind == PUBACK:
            self._take_acknowledgement(frame)
        else:
            self._take_other(frame)

    def _connected(self, frame: Frame) -> None:
        if frame.kind != CONNACK:
            raise BrokerError(f"the broker answers CONNECT with a packet of type {frame.kind}, expected {CONNACK}")
        answer = read_answer(frame)
        if answer.codes[0] >= FAILURE:
            self._course.refuse(answer.codes[0], words(CONNACK, answer.codes[0]))
            return
        self._course.accept()
        self.packet_limit = getattr(answer.properties, "MaximumPacketSize", None)
        self._keepalive_s = float(getattr(answer.properties, "ServerKeepAlive", self._keepalive_s)) or math.inf
        self._window.limit(getattr(answer.properties, "ReceiveMaximum", WINDOW))
        self._listener.accepted(self)

    def _take_message(self, frame: Frame) -> None:
        message = read_publish(frame)
        try:
            topic = message.topic.decode()
        except UnicodeDecodeError:
            self._listener.refused("to be read: a message whose topic is not UTF-8")
            self._acknowledge_by_itself(message.qos, message.packet_id)
            return
        receipt = Receipt(self, message.packet_id)
        self._listener.received(
            Incoming(
                topic,
                message.payload,
                message.qos,
                message.retain,
                message.response_topic,
                message.correlation,
                receipt,
            )
        )
        if not self._terms.manual_ack:
            self._acknowledge_by_itself(message.qos, message.packet_id)

    def _acknowledge_by_itself(self, qos: int, packet_id: int) -> None:
        if qos:
            self.acknowledge(packet_id, qos)

    def _take_acknowledgement(self, frame: Frame) -> None:
        answer = read_answer(frame)
        for failure in answer.failures(PUBACK):
            self._listener.refused(f"a publish: {failure}")
        if answer.packet_id not in self._in_flight:
            return
        self._in_flight.discard(answer.packet_id)
        waiting = self._window.release()
        if waiting is not None:
            self._transmit(waiting)

    def _take_other(self, frame: Frame) -> None:
        if frame.kind == SUBACK:
            answer = read_answer(frame)
            for failure in answer.failures(SUBACK):
                self._listener.refused(f"a subscription: {failure}")
            for _ in range(sum(code < FAILURE for code in answer.codes)):
                self._listener.granted()
        elif frame.kind == UNSUBACK:
            self._listener.released()
        elif frame.kind == DISCONNECT:
            self._course.end(f"the broker disconnected: {words(DISCONNECT, read_answer(frame).codes[0])}")
        elif frame.kind != PINGRESP:
            raise BrokerError(f"the broker sends a packet of type {frame.kind}, which nobody asked for")


def _empty(sock: socket.socket) -> None:
    try:
        while sock.recv(READ_BYTES):
            pass
    except BlockingIOError:
        return
