"""Results on a topic of a real mosquitto."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from support_broker import Broker, Inbox, connected_session, settings_for, wait_until
from support_sinks import record, records, sample, sequences

from gateway.sinks.metrics import SinkMetrics
from gateway.sinks.mqtt import MqttSink
from gateway.sinks.recorder import ResultRecorder
from gateway.sinks.settings import SinkSettings, SpoolSettings
from gateway.sinks.spool import Spool
from specnet.errors import SinkDownError, SinkRefusedError
from specnet.wire.records import ResultRecord

TOPIC = "plant/results"


class Reader:
    """A program that listens to the topic."""

    def __init__(self, broker: Broker, name: str = "reader") -> None:
        self.inbox = Inbox()
        self.session = connected_session(broker, name, TOPIC, on_message=self.inbox)

    @property
    def records(self) -> list[ResultRecord]:
        return [msgspec.json.decode(payload, type=ResultRecord) for payload in self.inbox.payloads]


@pytest.fixture
def reader(broker: Broker) -> Iterator[Reader]:
    reader = Reader(broker)
    yield reader
    reader.session.stop()


@pytest.fixture
def sink(broker: Broker) -> Iterator[MqttSink]:
    sink = MqttSink(settings_for(broker), TOPIC, "sink")
    yield sink
    sink.close()


def test_a_reader_gets_whole_records_with_spectrum_and_axis(sink: MqttSink, reader: Reader) -> None:
    put = [record(1), record(2, source=None)]
    sink.write(put)
    reader.inbox.wait(2)
    assert reader.records == put


def test_a_batch_larger_than_the_window_arrives_whole(sink: MqttSink, reader: Reader) -> None:
    sink.write(records(1500, source=None))
    reader.inbox.wait(1500)
    assert sequences(reader.records) == list(range(1500))


def test_an_absent_broker_is_down_and_the_records_can_be_written_when_it_is_back(
    broker: Broker, sink: MqttSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sinks.mqtt.CONNECT_S", 0.3)
    broker.stop()
    with pytest.raises(SinkDownError, match="no connection"):
        sink.write(records(3))
    broker.start()
    monkeypatch.undo()
    reader = Reader(broker)
    sink.write(records(3))
    reader.inbox.wait(3)
    reader.session.stop()


def test_a_record_over_the_limit_is_refused(broker: Broker) -> None:
    sink = MqttSink(settings_for(broker, max_payload_bytes=900), TOPIC, "narrow")
    with pytest.raises(SinkRefusedError, match=r"bytes, broker\.max_payload_bytes is 900"):
        sink.write([record(1)])
    sink.write([record(1, source=None)])
    sink.close()


def test_a_killed_broker_loses_nothing_that_was_to_be_published(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sinks.mqtt.CONNECT_S", 0.3)
    registry = CollectorRegistry()
    settings = SinkSettings(
        kind="mqtt", batch=20, retry_min_s=0.01, retry_max_s=0.05, spool=SpoolSettings(gather_s=0.01)
    )
    spool = Spool(tmp_path / "spool-1.sqlite", 100_000, 1 << 28)
    recorder = ResultRecorder(settings, MqttSink(settings_for(broker), TOPIC, "sink"), spool, SinkMetrics(registry))
    first = Reader(broker, "first")
    recorder.start()
    spool.put(records(300))
    first.inbox.wait(30)
    broker.kill()
    wait_until(lambda: sample(registry, "sink_failures_total", sink="mqtt") >= 1, "it is noticed")
    waiting = spool.rows
    spool.put(records(50, first=300))
    broker.start()
    # mosquitto keeps nothing for those who are not there, so the reader must be back before the rest is published
    wait_until(lambda: first.session.connected, "the reader is back")
    wait_until(lambda: spool.rows == 0, "everything is published")
    recorder.stop(5)
    first.session.stop()
    assert waiting > 0
    written = sample(registry, "sink_records_total", sink="mqtt")
    assert written >= 350


def test_a_connection_that_breaks_again_and_again_loses_nothing(tmp_path: Path, broker: Broker, reader: Reader) -> None:
    settings = SinkSettings(kind="mqtt", batch=50, retry_min_s=0.01, retry_max_s=0.05)
    registry = CollectorRegistry()
    spool = Spool(tmp_path / "spool-1.sqlite", 100_000, 1 << 28)
    recorder = ResultRecorder(settings, MqttSink(settings_for(broker), TOPIC, "sink"), spool, SinkMetrics(registry))
    recorder.start()
    put = 0

    def is_broken_thrice() -> bool:
        nonlocal put
        spool.put(records(500, first=put))
        put += 500
        # a second client of the same name throws the first one out
        connected_session(broker, "sink").stop()
        return sample(registry, "sink_failures_total", sink="mqtt") >= 3

    wait_until(is_broken_thrice, "batches were interrupted", timeout=40)
    wait_until(lambda: spool.rows == 0, "everything is published", timeout=40)
    wait_until(lambda: len(reader.inbox.payloads) >= put, "everything has arrived")
    wait_until(lambda: set(sequences(reader.records)) == set(range(put)), "everything has arrived")
    recorder.stop(5)
