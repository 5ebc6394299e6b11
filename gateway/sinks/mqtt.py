"""Results on a topic of the broker, for other programs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

import msgspec

from specnet.errors import BrokerError, MessageTooLargeError, SinkDownError, SinkRefusedError
from specnet.mqtt import BrokerSettings, MqttSession
from specnet.wire.records import ResultRecord

_LOGGER = logging.getLogger(__name__)
CONNECT_S = 5.0
FLUSH_S = 10.0
FLUSH_STEP_S = 0.2
CONGESTION_PAUSE_S = 0.01
_encoder = msgspec.json.Encoder()


class MqttSink:
    """Publishes each record as a JSON document, QoS 1, over a connection of its own.

    A record counts as kept when the broker has acknowledged it. A broker passes it on to those who subscribe now or
    have a session that lasts; it keeps nothing for others. After a lost connection records are sent again, so a
    subscriber may get one more than once and knows it by its id (`ResultRecord.id`).

    Parameters
    ----------
    broker
        Where to.
    topic
        Of all records.
    client_id
        Unique name at the broker.

    Raises
    ------
    ConfigurationError
        When password or certificate files are unusable.
    """

    only_examples = False

    def __init__(self, broker: BrokerSettings, topic: str, client_id: str) -> None:
        self._topic = topic
        self._limit = broker.max_payload_bytes
        self._up = threading.Event()
        self._session = MqttSession(
            broker,
            client_id,
            on_message=lambda _: None,
            on_up=self._up.set,
            on_down=lambda _: self._up.clear(),
            logger=_LOGGER,
        )
        self._started = False

    def write(self, records: Sequence[ResultRecord]) -> None:
        """Publish records and wait for the broker's acknowledgements; errors as `Sink.write`."""
        payloads = [_encoder.encode(record) for record in records]
        longest = max(map(len, payloads), default=0)
        if longest > self._limit:
            raise SinkRefusedError(f"a result has {longest} bytes, broker.max_payload_bytes is {self._limit}")
        if not self._started:
            self._session.start()
            self._started = True
        if not self._up.wait(CONNECT_S):
            raise SinkDownError("no connection to the broker")
        before = self._faults()
        deadline = time.monotonic() + FLUSH_S
        for payload in payloads:
            self._publish(payload, deadline)
        # in slices: what went with a lost connection is never acknowledged
        while not self._session.flush(FLUSH_STEP_S) and self._faults() == before and time.monotonic() < deadline:
            pass
        if not self._session.flush(0.0) or self._faults() != before:
            raise SinkDownError(f"the broker has not taken {len(records)} results on {self._topic!r}")

    def tend(self) -> None:
        """Nothing falls due."""

    def close(self) -> None:
        """Disconnect."""
        if self._started:
            self._session.stop()

    def _publish(self, payload: bytes, deadline: float) -> None:
        try:
            while not self._session.publish(self._topic, payload):
                if not self._session.connected or time.monotonic() >= deadline:
                    raise SinkDownError("the connection to the broker is lost, or too much is under way")
                time.sleep(CONGESTION_PAUSE_S)
        except MessageTooLargeError as error:
            raise SinkRefusedError(str(error)) from error
        except BrokerError as error:
            raise SinkDownError(str(error)) from error

    def _faults(self) -> tuple[int, ...]:
        # a flush says nothing of messages that went with an earlier connection, or that the broker refused
        return tuple(self._session.counters[name] for name in ("connects", "disconnects", "refused", "lost_in_flight"))
