"""The way to the gateway and back: sends what waits in the outbox until its result has come."""

from __future__ import annotations

import heapq
import logging
import math
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from device.choosing.link_watch import LinkWatch
from device.config import UplinkSettings
from device.outbox import Outbox, PendingRequest
from device.results import ResultChecker
from device.schedule import SendSchedule
from specnet.errors import MessageTooLargeError, WireError
from specnet.mqtt import BrokerSettings, Incoming, MqttSession, Will
from specnet.wire import Answer, Birth, Command, Result, State, Topics, decode, encode

logger = logging.getLogger(__name__)

MAX_INCOMING_BYTES = 16_384
MAX_INBOX = 1000
MAX_BEST_EFFORT = 1000
CONGESTED_S = 0.02
AFTER_ERROR_S = 0.5


class Listener(Protocol):
    """Who wants to know what became of the requests.

    Called in the uplink's thread; `dropped` also in the one that submits.
    """

    def answered(self, request: PendingRequest, result: Result) -> None:
        """Take the final result; `result.error` says that there will be none."""

    def overdue(self, request: PendingRequest) -> None:
        """Note that the deadline has passed without a result."""

    def dropped(self, request: PendingRequest, reason: str) -> None:
        """Note that a request was given up: the device's own answer stands."""

    def commanded(self, command: Command) -> None:
        """Obey a command."""


@dataclass(frozen=True)
class _Message:
    topic: str
    payload: bytes
    qos: int
    key: tuple[int, int] | None = None


class Uplink:
    """Session with the broker and the thread that serves outbox, results and deadlines.

    Nothing that the acquisition calls waits for the network; `submit` waits for the disk.

    Parameters
    ----------
    settings, broker, topics
        Configuration.
    outbox
        Pending requests; those of earlier boots are sent again.
    birth
        Published, retained, with each connect.
    checker
        Decides whether a result belongs to a request of this device.
    listener
        Called with results, missed deadlines and commands.
    generator
        Jitter of retries.
    """

    def __init__(
        self,
        settings: UplinkSettings,
        broker: BrokerSettings,
        topics: Topics,
        outbox: Outbox,
        birth: Birth,
        checker: ResultChecker,
        listener: Listener,
        generator: random.Random,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._outbox = outbox
        self._birth = birth
        self._checker = checker
        self._listener = listener
        self._schedule = SendSchedule(settings.window, settings.retry_s, settings.retry_max_s, generator)
        self._deadlines: list[tuple[float, tuple[int, int]]] = []
        self._at_hand: dict[tuple[int, int], tuple[str, bytes]] = {}
        self._inbox: deque[Incoming] = deque()
        self._best_effort: deque[_Message] = deque()
        self._counters: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._renewed = self._wake = self._stopping = self._restated = False
        self._standing = ""
        self.link = LinkWatch()
        self._routes: dict[str, Callable[[Incoming], None]] = {}
        self._introductions: list[Callable[[], None]] = []
        offline = encode(State(device=topics.device, status="offline", boot=outbox.boot, reason="connection lost"))
        self._session = MqttSession(
            broker,
            f"specnet-{topics.site}-{topics.device}",
            will=Will(topics.state, offline),
            on_message=self._receive,
            on_up=self._connected,
        )
        self._thread = threading.Thread(target=self._work, name="uplink", daemon=True)

    @property
    def counters(self) -> Mapping[str, int]:
        """What was sent, sent again, received and refused, and the session's own counters."""
        with self._changed:
            own = dict(self._counters)
        return MappingProxyType({**own, **{f"mqtt_{name}": n for name, n in self._session.counters.items()}})

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""
        return self._session.connected

    def route(self, topic: str, handler: Callable[[Incoming], None]) -> None:
        """Subscribe to one more topic; `handler` is called in the session's thread and must not wait. Before `start`.

        The bound of its messages is the handler's concern; `BrokerSettings.max_payload_bytes` holds for all.
        """
        self._routes[topic] = handler

    def when_connected(self, introduce: Callable[[], None]) -> None:
        """Call `introduce` after each connect, in the uplink's thread. Before `start`."""
        self._introductions.append(introduce)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Publish now, from any thread; False when that is not possible, and nothing is kept."""
        try:
            return self._session.publish(topic, payload, retain=retain)
        except MessageTooLargeError as error:
            logger.error("a message cannot be sent: %s", error)
            return False

    def start(self) -> None:
        """Begin to connect and to send what is pending; returns at once."""
        for request in self._outbox.pending():
            self._schedule.add(request.key)
        self._session.subscribe(self._topics.result)
        self._session.subscribe(self._topics.command)
        for topic in self._routes:
            self._session.subscribe(topic)
        self._session.start()
        self._thread.start()

    def submit(self, request: PendingRequest, topic: str, payload: bytes) -> None:
        """Store a request, and send it as soon as the window has room; older ones may have to go for it.

        It may be on its way while the disk still writes: a crash in between loses a spectrum of which nothing was said
        yet, as a crash a moment earlier would have. Its result waits for the end of the transaction.
        """
        try:
            with self._outbox.transaction():
                dropped = self._outbox.put(request, topic, payload)
                for victim in dropped:
                    self._listener.dropped(victim, "outbox full")
                self._schedule_new(request, dropped, (topic, payload))
        except BaseException:
            self._forget(request.key)
            raise

    def _schedule_new(self, request: PendingRequest, dropped: list[PendingRequest], message: tuple[str, bytes]) -> None:
        with self._changed:
            self._schedule.add(request.key)
            heapq.heappush(self._deadlines, (request.acquired + self._settings.deadline_s, request.key))
            # what waits behind the window is read from the disk later
            if len(self._at_hand) < self._settings.window:
                self._at_hand[request.key] = message
            for victim in dropped:
                self._forget(victim.key)
                self._counters["dropped"] += 1
            self._notify()

    def _forget(self, key: tuple[int, int]) -> None:
        with self._changed:
            self._schedule.remove(key)
            self._at_hand.pop(key, None)
        self.link.forgotten(key)

    def audit(self, key: tuple[int, int], label: int, topic: str, payload: bytes) -> None:
        """Send a sample whose result is only compared; it may be lost."""
        self._checker.expect_audit(key, label)
        self._enqueue(_Message(topic, payload, 1, key))

    def announce(self, answer: Answer) -> None:
        """Publish an answer for whoever wants to know; it may be lost."""
        self._enqueue(_Message(self._topics.answer, encode(answer), 1))

    def stand(self, reason: str) -> None:
        """Publish the state anew with these words, now or with the next connection."""
        with self._changed:
            self._standing, self._restated = reason, True
            self._notify()

    def wait_until_empty(self, timeout: float, interrupted: Callable[[], bool]) -> bool:
        """Wait until no request is pending; False when time is up or `interrupted` says so."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while len(self._outbox) or (self._best_effort and self._session.connected):
                left = deadline - time.monotonic()
                if left <= 0 or interrupted():
                    return not len(self._outbox)
                self._changed.wait(min(left, 0.1))
        return True

    def stop(self, timeout: float = 3.0) -> None:
        """Say goodbye and end; what is pending stays in the outbox."""
        with self._changed:
            self._stopping = True
            self._notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        offline = encode(State(device=self._topics.device, status="offline", boot=self._outbox.boot, reason="stopped"))
        self._session.stop(timeout, Will(self._topics.state, offline))

    def _notify(self) -> None:
        """Wake the uplink's thread; the lock is held."""
        self._wake = True
        self._changed.notify_all()

    def _count(self, what: str) -> None:
        with self._changed:
            self._counters[what] += 1

    # ---- called in the session's thread: take note and return

    def _connected(self) -> None:
        with self._changed:
            self._renewed = True
            self._notify()

    def _receive(self, incoming: Incoming) -> None:
        if (handler := self._routes.get(incoming.topic)) is not None:
            handler(incoming)
            return
        with self._changed:
            if len(incoming.payload) > MAX_INCOMING_BYTES:
                self._counters["oversize"] += 1
            elif len(self._inbox) >= MAX_INBOX:
                # the request stays pending and is sent again, so nothing is lost by this
                self._counters["inbox_full"] += 1
            else:
                self._inbox.append(incoming)
                self._notify()

    def _enqueue(self, message: _Message) -> None:
        with self._changed:
            if len(self._best_effort) >= MAX_BEST_EFFORT:
                self._best_effort.popleft()
                self._counters["best_effort_dropped"] += 1
            self._best_effort.append(message)
            self._notify()

    # ---- the uplink's own thread

    def _work(self) -> None:
        pause = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wake, pause)
                stopping, renewed, restated = self._stopping, self._renewed, self._restated
                self._renewed = self._wake = self._restated = False
                inbox, self._inbox = self._inbox, deque()
            try:
                self._handle(inbox)
                self._check_deadlines()
                if renewed:
                    self._introduce()
                elif restated:
                    self._state()
                pause = self._send()
            except Exception:
                logger.exception("uplink: unexpected error; what was not finished is sent again")
                self._count("worker_errors")
                pause = AFTER_ERROR_S
                time.sleep(AFTER_ERROR_S)
            if stopping:
                return

    def _introduce(self) -> None:
        """Say who is there, and send again what the old connection may have lost."""
        self.link.renewed()
        self._state()
        self._session.publish(self._topics.birth, encode(self._birth), retain=True)
        with self._changed:
            self._schedule.connection_renewed()
        for introduce in self._introductions:
            introduce()

    def _state(self) -> None:
        state = State(device=self._topics.device, status="online", boot=self._outbox.boot, reason=self._standing)
        self._session.publish(self._topics.state, encode(state), retain=True)

    def _handle(self, inbox: deque[Incoming]) -> None:
        """Process what has come; all results in one transaction, because each would cost a flush to disk."""
        if not inbox:
            return
        with self._outbox.transaction():
            for incoming in inbox:
                try:
                    self._handle_one(incoming)
                except WireError as error:
                    self._count("undecodable")
                    logger.warning("message on %s refused: %s", incoming.topic, error)
        with self._changed:
            self._changed.notify_all()

    def _handle_one(self, incoming: Incoming) -> None:
        if incoming.topic == self._topics.command:
            self._listener.commanded(decode(Command, incoming.payload))
            return
        result = decode(Result, incoming.payload)
        key = (result.boot, result.sequence)
        request = self._outbox.get(key)
        verdict = self._checker.judge(result, request)
        self._count(verdict)
        if verdict == "answered" or verdict.startswith("audit_"):
            self.link.answered(key, time.monotonic())
        if verdict == "answered" and request is not None:
            self._outbox.finish(key)
            self._forget(key)
            self._listener.answered(request, result)

    def _check_deadlines(self) -> None:
        while True:
            with self._changed:
                if not self._deadlines or self._deadlines[0][0] > time.monotonic():
                    return
                _, key = heapq.heappop(self._deadlines)
            request = self._outbox.get(key)
            if request is not None:
                self._count("overdue")
                self.link.overdue(key)
                self._listener.overdue(request)

    def _send(self) -> float:
        """Send what is due; returns how long there is nothing to do, in seconds."""
        now = time.monotonic()
        with self._changed:
            due = self._schedule.due(now) if self._session.connected else []
        for key in due:
            if not self._send_request(key, now):
                return CONGESTED_S
        if not self._send_best_effort():
            return CONGESTED_S
        with self._changed:
            retry = self._schedule.next_time() if self._session.connected else None
            times = [time for time in (retry, self._deadlines[0][0] if self._deadlines else None) if time is not None]
        # an hour: there is always something that wakes this thread earlier
        return max(0.0, min(times, default=now + 3600.0) - time.monotonic())

    def _send_request(self, key: tuple[int, int], now: float) -> bool:
        with self._changed:
            message = self._at_hand.get(key)
        message = message or self._outbox.message(key)
        if message is None:
            self._forget(key)
            return True
        topic, payload = message
        try:
            sent = self._session.publish(
                topic,
                payload,
                # after this long it has been sent again; older copies need not wait at the broker
                expiry_s=math.ceil(self._settings.retry_max_s),
                response_topic=self._topics.result,
                correlation=f"{self._topics.device}-{key[0]}-{key[1]}".encode(),
            )
        except MessageTooLargeError as error:
            self._give_up(key, f"too large for the broker: {error}")
            return True
        if sent:
            self.link.sent(key, len(payload), now)
            with self._changed:
                self._at_hand.pop(key, None)
                self._counters["sent" if self._schedule.sent(key, now) else "sent_again"] += 1
        return sent

    def _give_up(self, key: tuple[int, int], reason: str) -> None:
        self._count("dropped")
        with self._outbox.transaction():
            request = self._outbox.get(key)
            if request is not None:
                self._outbox.finish(key)
                self._listener.dropped(request, reason)
        self._forget(key)

    def _send_best_effort(self) -> bool:
        while self._session.connected:
            with self._changed:
                if not self._best_effort:
                    return True
                message = self._best_effort.popleft()
            if not self._session.publish(message.topic, message.payload, qos=message.qos):
                with self._changed:
                    self._best_effort.appendleft(message)
                return False
            self.link.sent(message.key, len(message.payload), time.monotonic(), audit=message.key is not None)
        return True
