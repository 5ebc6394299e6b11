"""The way to the gateway and back: sends what waits in the outbox until its result has come."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

from device.best_effort import BestEffort, Message
from device.choosing.link_watch import LinkWatch
from device.config import UplinkSettings
from device.deadlines import Deadlines
from device.inbox import Inbox
from device.listening import Listener
from device.orders import Orders
from device.outbox import Dropped, Outbox, PendingRequest
from device.presence import Presence
from device.request_sender import RequestSender
from device.results import ResultChecker
from device.schedule import SendSchedule
from specnet.errors import MessageTooLargeError, WireError
from specnet.mqtt import BrokerSettings, Incoming, MqttSession
from specnet.wire import Answer, Birth, Result, Topics, Unanswered, decode, encode

logger = logging.getLogger(__name__)

CONGESTED_S = 0.02
AFTER_ERROR_S = 0.5
MAX_EXPIRY_CHECK_S = 60.0
AUDIT_ATTEMPTS = 5
UNANSWERED = "unanswered"


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
        self._settings, self._topics, self._outbox = settings, topics, outbox
        self._checker = checker
        self._listener = listener
        self._schedule = SendSchedule(settings.window, settings.retry_s, settings.retry_max_s, generator)
        self._audits = SendSchedule(max(1, settings.window // 4), settings.retry_s, settings.retry_max_s, generator)
        self._deadlines = Deadlines()
        self._next_expiry = 0.0
        self._orders = Orders(listener)
        self._presence = Presence(topics, birth, outbox.boot, self._orders)
        self.link = LinkWatch()
        self._sender = RequestSender(outbox, topics.device, topics.result, settings.retry_max_s, settings.window)
        self._inbox = Inbox()
        self._best_effort = BestEffort()
        self._counters: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._renewed = self._wake = self._stopping = False
        self._session = MqttSession(
            broker,
            f"specnet-{topics.site}-{topics.device}",
            will=self._presence.offline("connection lost"),
            on_message=self._receive,
            on_up=self._connected,
        )
        self._thread = threading.Thread(target=self._work, name="uplink", daemon=True)

    @property
    def counters(self) -> Mapping[str, int]:
        """What was sent, sent again, received and refused, and the session's own counters."""
        with self._changed:
            own = {**self._counters, **self._inbox.counters}
        own["best_effort_dropped"] = self._best_effort.dropped
        return MappingProxyType({**own, **{f"mqtt_{name}": n for name, n in self._session.counters.items()}})

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""
        return self._session.connected

    def route(self, topic: str, handler: Callable[[Incoming], None]) -> None:
        """Subscribe to one more topic; `handler` is called in the session's thread and must not wait. Before `start`.

        The bound of its messages is the handler's concern; `BrokerSettings.max_payload_bytes` holds for all.
        """
        self._inbox.route(topic, handler)

    def when_connected(self, introduce: Callable[[], None]) -> None:
        """Call `introduce` after each connect, in the uplink's thread. Before `start`."""
        self._presence.also(introduce)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Publish now, from any thread; False when that is not possible, and nothing is kept."""
        try:
            return self._session.publish(topic, payload, retain=retain)
        except MessageTooLargeError as error:
            logger.error("a message cannot be sent: %s", error)
            return False

    def stand(self, reason: str) -> None:
        """Publish the state anew with these words, now or with the next connection."""
        with self._changed:
            self._presence.stand(reason)
            self._notify()

    def start(self) -> None:
        """Begin to connect and to send what is pending; returns at once."""
        for schedule, audits in ((self._schedule, False), (self._audits, True)):
            for request in self._outbox.pending(audits=audits):
                schedule.add(request.key)
        for topic in (self._topics.result, self._topics.command, *self._inbox.routes):
            self._session.subscribe(topic)
        self._session.start()
        self._thread.start()

    def submit(self, request: PendingRequest, topic: str, payload: bytes) -> None:
        """Store a request, and send it as soon as the window has room; older ones may have to go for it.

        Before it is sent it survives the death of the process; it is on its way while the disk makes it safe from a
        power cut too, which is when this returns.

        Raises
        ------
        sqlite3.Error
            When it cannot be stored; then it is not sent either.
        """
        dropped = self._outbox.put(request, topic, payload)
        gone = {victim.request.key for victim in dropped}
        with self._changed:
            if request.key not in gone:
                self._schedule.add(request.key)
                self._deadlines.add(request.acquired + self._settings.deadline_s, request.key)
                self._sender.keep(request.key, topic, payload)
            self._notify()
        for victim in dropped:
            self._tell_dropped(victim)
        self._outbox.flush()

    def _tell_dropped(self, dropped: Dropped) -> None:
        self._forget(dropped.request.key)
        self._count("dropped")
        self._listener.dropped(dropped)

    def _forget(self, key: tuple[int, int]) -> None:
        with self._changed:
            self._schedule.remove(key)
            self._audits.remove(key)
        self._sender.forget(key)
        self.link.forgotten(key)

    def audit(self, request: PendingRequest, topic: str, payload: bytes) -> None:
        """Store a sample whose result is only compared, and send it when no request waits; there may be no room."""
        try:
            if not self._outbox.put_audit(request, topic, payload):
                return
        except sqlite3.Error:
            self._count("audits_not_stored")
            return
        with self._changed:
            self._audits.add(request.key)
            self._notify()

    def announce(self, answer: Answer | Unanswered) -> None:
        """Publish an answer, or that there is none, for whoever wants to know; it may be lost."""
        topic = self._topics.answer if isinstance(answer, Answer) else self._topics.unanswered
        self._best_effort.add(Message(topic, encode(answer)))
        with self._changed:
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
        self._session.stop(timeout, self._presence.offline("stopped"))

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
        if self._inbox.passed_on(incoming):
            return
        with self._changed:
            if self._inbox.put(incoming):
                self._notify()

    # ---- the uplink's own thread

    def _work(self) -> None:
        pause = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wake, pause)
                stopping, renewed = self._stopping, self._renewed
                self._renewed = self._wake = False
                inbox = self._inbox.take()
            try:
                self._handle(inbox)
                self._check_deadlines()
                self._check_ages()
                if renewed:
                    self._introduce()
                self._presence.keep_up(self._session)
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
        self._presence.introduce(self._session)
        with self._changed:
            self._schedule.connection_renewed()
            self._audits.connection_renewed()

    def _handle(self, inbox: list[Incoming]) -> None:
        """Process what has come; all results in one transaction of the journal."""
        answers: dict[tuple[int, int], tuple[PendingRequest, Result]] = {}
        for incoming in inbox:
            if incoming.topic == self._topics.command:
                if not self._orders.take(incoming.payload):
                    self._count("undecodable")
                continue
            try:
                result = decode(Result, incoming.payload)
            except WireError as error:
                self._count("undecodable")
                logger.warning("message on %s refused: %s", incoming.topic, error)
                continue
            key = (result.boot, result.sequence)
            request = None if key in answers else self._outbox.get(key)
            verdict = self._checker.judge(result, request)
            self._count(verdict)
            if verdict == "answered" or verdict.startswith("audit_"):
                self.link.answered(key, time.monotonic())
            if verdict == "answered" and request is not None:
                answers[key] = (request, result)
            elif verdict.startswith("audit_"):
                self._forget_audit(key)
        if answers:
            self._listener.answered(list(answers.values()))
            for key in answers:
                self._forget(key)
        if inbox:
            with self._changed:
                self._changed.notify_all()

    def _forget_audit(self, key: tuple[int, int], reason: str = "") -> None:
        self._forget(key)
        try:
            self._outbox.forget_audit(key, reason)
        except sqlite3.Error:
            self._count("audits_not_forgotten")

    def _check_deadlines(self) -> None:
        while True:
            with self._changed:
                key = self._deadlines.pop(time.monotonic())
            if key is None:
                break
            request = self._outbox.get(key)
            if request is not None:
                self._count("overdue")
                self.link.overdue(key)
                self._listener.overdue(request)
        with self._changed:
            self._deadlines.sweep(lambda key: key in self._schedule)

    def _check_ages(self) -> None:
        """Give up what is too old."""
        if time.monotonic() < self._next_expiry:
            return
        self._next_expiry = time.monotonic() + min(MAX_EXPIRY_CHECK_S, self._outbox.max_age_s / 4)
        while dropped := self._outbox.expire():
            for victim in dropped:
                self._tell_dropped(victim)

    def _send(self) -> float:
        """Send what is due; returns how long there is nothing to do, in seconds."""
        now = time.monotonic()
        with self._changed:
            due = self._schedule.due(now) if self._session.connected else []
        for key in due:
            if not self._send_request(key, now, self._schedule):
                return CONGESTED_S
        if not self._announce_all() or not self._send_audits(now):
            return CONGESTED_S
        with self._changed:
            up = self._session.connected
            times = [
                self._next_expiry,
                self._deadlines.next_time(),
                self._schedule.next_time() if up else None,
                self._audits.next_time() if up else None,
            ]
        return max(0.0, min(moment for moment in times if moment is not None) - time.monotonic())

    def _announce_all(self) -> bool:
        def publish(topic: str, payload: bytes) -> bool:
            sent = self._session.publish(topic, payload)
            if sent:
                self.link.sent(None, len(payload), time.monotonic())
            return sent

        return self._best_effort.send(publish, lambda: self._session.connected)

    def _send_audits(self, now: float) -> bool:
        with self._changed:
            # a sample can wait until the window has room for all requests
            idle = self._session.connected and not self._schedule.is_waiting
            due = self._audits.due(now) if idle else []
            hopeless = [key for key in due if self._audits.attempts(key) >= AUDIT_ATTEMPTS]
        for key in hopeless:
            self._forget_audit(key, UNANSWERED)
        return all(self._send_request(key, now, self._audits) for key in due if key not in hopeless)

    def _send_request(self, key: tuple[int, int], now: float, schedule: SendSchedule) -> bool:
        try:
            n_bytes = self._sender.send(key, self._session)
        except MessageTooLargeError as error:
            self._give_up(key, f"too large for the broker: {error}")
            return True
        if n_bytes is None:
            self._forget(key)
            return True
        if n_bytes:
            self.link.sent(key, n_bytes, now, audit=schedule is self._audits)
            with self._changed:
                kind = "sent" if schedule.sent(key, now) else "sent_again"
                self._counters[kind if schedule is self._schedule else f"audits_{kind}"] += 1
        return n_bytes > 0

    def _give_up(self, key: tuple[int, int], reason: str) -> None:
        request = self._outbox.get(key)
        if request is not None and request.audit:
            self._forget_audit(key, reason.partition(":")[0])
        elif (dropped := self._outbox.give_up(key, reason)) is not None:
            self._tell_dropped(dropped)
        else:
            self._forget(key)
