"""The conversation over MQTT: requests in, results out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from gateway.answers import Answers, Claim
from gateway.config import GatewaySettings
from gateway.intake import RefusedRequest, check_request, read_request, request_key
from gateway.logs import RateLimitedLog, fields
from gateway.models import ServedModel, UnloadedModel
from gateway.monitoring import Metrics
from gateway.replay import ReplayGuard
from gateway.scheduling import Admission, Refusal
from gateway.work import Work
from specnet.errors import SpecnetError
from specnet.mqtt import Incoming, MqttSession
from specnet.mqtt.direct import DirectConnection
from specnet.wire import OffloadRequest, Result, encode, result_topic, shared_offload_filter
from specnet.wire.messages import MAX_TEXT

_LOGGER = logging.getLogger(__name__)
CONGESTION_PATIENCE_S = 5.0
CONGESTION_PAUSE_S = 0.005
QUIET_S = 0.25
BUSY_QUIET_S = 1.0
"""How long nothing may come and nothing be answered before it is over; longer while there is something to answer."""
LOOK_S = 0.01


class OffloadSession:
    """Receives requests, answers those that it knows already, queues the others, publishes results.

    A message is acknowledged to the broker when its result has been published or when there will be none, so a broker
    of version 5 never has more than `receive_maximum` of them under way here. What a device relies on is the result,
    not this acknowledgement: a request that was shed has no result, and the device sends it again.

    Parameters
    ----------
    settings
        Broker, group, limits.
    find_model
        Looks a bundle up; raises `UnloadedModel` for one that has to be loaded first.
    submit
        Puts a request into the queue.
    answers, metrics
        What was answered before; what is counted.
    record
        Told every request that was computed and its result, in the worker's thread; it must not wait.
    client_id
        Unique name at the broker.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        find_model: Callable[[str], ServedModel | None],
        submit: Callable[[Work], Admission],
        answers: Answers,
        metrics: Metrics,
        client_id: str,
        record: Callable[[Work, Result], None] | None = None,
    ) -> None:
        self._settings = settings
        self._find_model = find_model
        self._submit = submit
        self._answers = answers
        self._replays = ReplayGuard(settings.replay_window, settings.replay_devices, settings.replay_quiet_s)
        self._metrics = metrics
        self._record = record
        self._log = RateLimitedLog(_LOGGER)
        self._closed = threading.Event()
        self._leaving = threading.Event()
        self._shared = False
        self.replies = 0
        """Results that were handed on so far; repeated ones, and errors about messages, are not among them."""
        # counters of the MQTT session when the present connection began
        self._granted_before = self._refused_before = 0
        self.mqtt = MqttSession(
            settings.broker,
            client_id,
            on_message=self.handle,
            on_up=self._subscribe,
            manual_ack=True,
            receive_maximum=settings.receive_maximum,
            logger=_LOGGER,
            link=DirectConnection,
        )

    def start(self) -> None:
        """Begin to connect; an absent broker is waited for."""
        self.mqtt.start()

    @property
    def subscribed(self) -> bool:
        """Whether the broker is there and has granted the subscription."""
        return self.mqtt.connected and self.mqtt.counters["subscribed"] > self._granted_before

    def tend(self) -> None:
        """Subscribe without sharing where the broker has refused to share; called from time to time."""
        refused = self.mqtt.counters["refused"] > self._refused_before
        if not (self.mqtt.connected and self._shared and refused) or self.subscribed:
            return
        if self._settings.shared_subscription == "auto":
            _LOGGER.warning(
                "the broker refused the shared subscription; subscribing alone",
                extra=fields(group=self._settings.group),
            )
            self._shared = False
            self.mqtt.subscribe(self._filter())

    def leave(self, timeout_s: float) -> None:
        """Ask the broker for no more requests, and go on taking those that were on their way here already.

        Replicas get the new ones at once. What the broker has queued for this member of the group nobody else would
        get; it comes as other messages are acknowledged. It is over when nothing has come, and nothing was answered,
        for a moment, and after `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        confirmed = self.mqtt.counters["unsubscribed"] + 1
        self._leaving.set()
        self.mqtt.unsubscribe(self._filter())
        before, changed = self._movement(), time.monotonic()
        while self.mqtt.connected and time.monotonic() < deadline:
            time.sleep(LOOK_S)
            found = self._movement()
            if found != before:
                before, changed = found, time.monotonic()
            idle = self.mqtt.counters["unsubscribed"] >= confirmed and not self._answers.under_way
            if time.monotonic() - changed >= (QUIET_S if idle else BUSY_QUIET_S):
                return

    def _movement(self) -> tuple[int, int]:
        return self.mqtt.counters["received"], self.replies

    def close_intake(self) -> None:
        """Handle no more messages. They stay unacknowledged: a replica or the device's next attempt takes them."""
        self._closed.set()

    def stop(self, timeout_s: float) -> None:
        """Publish what is under way and disconnect."""
        self._closed.set()
        self.mqtt.stop(timeout_s)

    # ------------------------------------------------------------------ in the MQTT thread

    def handle(self, incoming: Incoming) -> None:
        """Take a message; whatever it contains, it ends in an answer, a queue place or a count."""
        if self._closed.is_set():
            return
        try:
            request = read_request(incoming, self._settings.max_request_bytes)
            self._note_response_topic(incoming, request)
            self._take(request, incoming)
        except RefusedRequest as refusal:
            self._refuse(refusal, incoming)

    def _take(self, request: OffloadRequest, incoming: Incoming) -> None:
        key = request_key(request)
        self._trace("a request has come", request, split=request.split, audit=request.audit)
        known = self._answers.claim(key, audit=request.audit)
        if known is Claim.NEW:
            try:
                work = check_request(request, incoming, self._find_model, key)
                self._replays.refuse_old(request, key)
                self._queue(work)
            except UnloadedModel as unloaded:
                # no answer at all: an error would be the device's last word, and it sends again what has none
                self._answers.release(key)
                self._metrics.shed.labels("loading").inc()
                self._log.warning("a request was shed", reason="loading", request=request.request_id, error=unloaded)
                self.mqtt.acknowledge(incoming)
            except BaseException:
                self._answers.release(key)
                raise
            return
        self._metrics.duplicates.inc()
        self._trace("the request is a repeated one", request, answered=isinstance(known, Result))
        if isinstance(known, Result):
            self._metrics.resent.inc()
            self._publish(result_topic(request.site, request.device), known, incoming.correlation)
        self.mqtt.acknowledge(incoming)

    def _queue(self, work: Work) -> None:
        self._metrics.requests.labels(work.model.bundle_id, work.request.split).inc()
        # before the worker can have it, or its answer might be in the log first
        self._trace("the request is queued", work.request)
        admission = self._submit(work)
        if admission.shed is not None:
            unwanted = admission.victim or work
            self._shed(unwanted, admission.shed.value)
            # what comes too late to be computed here is left to others
            if admission.shed is not Refusal.CLOSED:
                self.mqtt.acknowledge(unwanted.incoming)

    def _shed(self, work: Work, reason: str) -> None:
        self._answers.release(work.key)
        self._metrics.shed.labels(reason).inc()
        self._log.warning("a request was shed", reason=reason, **_who(work.request))

    def _refuse(self, refusal: RefusedRequest, incoming: Incoming) -> None:
        self._metrics.errors.labels(refusal.reason).inc()
        request = refusal.request
        self._log.warning(
            "a message was refused",
            reason=refusal.reason,
            topic=incoming.topic,
            **({"request": ""} if request is None else _who(request)),
            error=refusal,
        )
        if request is not None:
            result = Result(
                device=request.device,
                boot=request.boot,
                sequence=request.sequence,
                bundle=request.bundle,
                gateway=self._settings.name,
                error=str(refusal)[:MAX_TEXT],
            )
            self._publish(result_topic(request.site, request.device), result, incoming.correlation)
        self.mqtt.acknowledge(incoming)

    def _note_response_topic(self, incoming: Incoming, request: OffloadRequest) -> None:
        """Count a wish to be answered elsewhere; messages must not choose where a gateway publishes."""
        expected = result_topic(request.site, request.device)
        if incoming.response_topic not in (None, expected):
            self._metrics.errors.labels("response_topic").inc()
            self._log.warning(
                "answered on the device's own topic instead",
                reason="response_topic",
                wanted=incoming.response_topic,
                **_who(request),
            )

    def _subscribe(self) -> None:
        """Subscribe for the protocol just agreed on.

        Shared subscriptions are part of MQTT 5. A broker of version 3.1.1 may know them too, but one that does not
        takes the filter for a literal topic and delivers nothing, so the plain filter is the safe one there.
        """
        if self._leaving.is_set():
            return
        self._granted_before = self.mqtt.counters["subscribed"]
        self._refused_before = self.mqtt.counters["refused"]
        choice = self._settings.shared_subscription
        self._shared = choice == "always" or (choice == "auto" and self.mqtt.protocol == "5")
        self.mqtt.subscribe(self._filter())

    def _filter(self) -> str:
        shared = shared_offload_filter(self._settings.group, self._settings.site)
        return shared if self._shared else shared.split("/", 2)[2]

    # ------------------------------------------------------------------ in the worker's thread

    def reply(self, work: Work, result: Result) -> None:
        """Remember a result, publish it, then acknowledge the request."""
        if result.error:
            self._answers.release(work.key)  # what failed may succeed the next time
        else:
            self._answers.finish(work.key, result)
        self._publish(work.topic, result, work.incoming.correlation, patience_s=CONGESTION_PATIENCE_S)
        self.mqtt.acknowledge(work.incoming)
        self.replies += 1
        took = time.monotonic() - work.arrived
        self._metrics.request_seconds[work.request.audit].observe(took)
        self._trace(
            "a request is answered",
            work.request,
            exit=result.exit_index,
            queue_ms=result.queue_ms,
            compute_ms=result.compute_ms,
            ms=1e3 * took,
            error=result.error,
        )
        if self._record is not None:
            self._record(work, result)

    def lose(self, works: list[Work], reason: str = "internal") -> None:
        """Shed requests that a fault of this process has stopped; their devices send them again.

        They are acknowledged: the broker would keep a place for each as long as the connection lasts.
        """
        for work in works:
            self._shed(work, reason)
            self.mqtt.acknowledge(work.incoming)

    def give_up(self, works: list[Work]) -> None:
        """Shed requests that will not be computed any more here.

        They stay unacknowledged: some brokers hand such messages of a member that leaves to another one, and behind
        the others the device sends them again.
        """
        for work in works:
            self._shed(work, "stopping")

    def _publish(self, topic: str, result: Result, correlation: bytes | None, patience_s: float = 0.0) -> None:
        """Publish; when that is not possible the device asks again and gets the remembered result.

        `patience_s` is how long to wait when more results are under way than the broker takes. That slows the worker
        down to what the broker can carry. The MQTT thread must not wait: it is the one that makes room.
        """
        deadline = time.monotonic() + patience_s
        problem: object = "no connection, or too much under way"
        try:
            payload = encode(result)
            while not self.mqtt.publish(topic, payload, correlation=correlation):
                if not self.mqtt.connected or time.monotonic() >= deadline:
                    break
                time.sleep(CONGESTION_PAUSE_S)
            else:
                return
        except SpecnetError as error:
            problem = error
        self._metrics.errors.labels("unpublished").inc()
        self._log.warning(
            "a result was not sent",
            reason="unpublished",
            request=result.request_id,
            topic=topic,
            bundle=result.bundle,
            error=problem,
        )

    def _trace(self, event: str, request: OffloadRequest, **values: Any) -> None:
        """Log a step of one request, at the level debug."""
        if _LOGGER.isEnabledFor(logging.DEBUG):
            _LOGGER.debug(event, extra=fields(**_who(request), **values))


def _who(request: OffloadRequest) -> dict[str, Any]:
    """Fields of a log line about a request."""
    return {"request": request.request_id, "site": request.site, "device": request.device, "bundle": request.bundle}
