"""Sizes, flow control and callbacks that raise."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_broker import Broker, Inbox, connected_session, settings_for, wait_until

from specnet.errors import BrokerError, MessageTooLargeError
from specnet.mqtt import BrokerSettings, Incoming, MqttSession, Will
from specnet.mqtt.link import WINDOW


def test_a_payload_over_the_limit_is_not_sent(broker: Broker) -> None:
    inbox = Inbox()
    session = connected_session(broker, "node-1", "t", on_message=inbox, max_payload_bytes=100)
    with pytest.raises(MessageTooLargeError, match=r"'t' has 101 bytes, the limit is 100"):
        session.publish("t", bytes(101))
    assert session.publish("t", bytes(100))
    assert len(inbox.wait(1)[0].payload) == 100
    session.stop()
    assert session.counters["oversize"] == 1
    assert session.counters["connects"] == 1


def test_a_will_over_the_limit_is_refused() -> None:
    with pytest.raises(MessageTooLargeError, match="'state' has 101 bytes, the limit is 100"):
        MqttSession(BrokerSettings(max_payload_bytes=100), "node-1", on_message=Inbox(), will=Will("state", bytes(101)))


def test_a_packet_over_the_brokers_limit_is_not_sent(tmp_path: Path, broker: Broker) -> None:
    with Broker(folder=tmp_path / "b", extra_configuration=["max_packet_size 1000"]) as narrow:
        inbox = Inbox()
        session = connected_session(narrow, "node-1", "t", on_message=inbox)
        with pytest.raises(MessageTooLargeError, match="the limit is 1000"):
            session.publish("t", bytes(999))
        assert session.publish("t", bytes(900))
        inbox.wait(1)
        session.stop()
        assert session.counters["connects"] == 1


def test_a_larger_message_than_wanted_is_dropped(any_broker: Broker) -> None:
    inbox = Inbox()
    session = connected_session(any_broker, "node-1", "t", on_message=inbox, max_payload_bytes=100)
    other = connected_session(any_broker, "node-2")
    assert other.publish("t", bytes(101))
    assert other.publish("t", b"small")
    inbox.wait(1)
    assert inbox.payloads == [b"small"]
    assert session.counters["oversize"] == 1
    session.stop()
    other.stop()


def test_a_callback_that_raises_is_counted_and_later_messages_arrive(any_broker: Broker) -> None:
    inbox = Inbox()

    def fragile(incoming: Incoming) -> None:
        if incoming.payload == b"poison":
            raise RuntimeError("cannot digest this")
        inbox(incoming)

    def no_luck() -> None:
        raise RuntimeError("on_up fails too")

    session = MqttSession(settings_for(any_broker), "node-1", on_message=fragile, on_up=no_luck)
    session.subscribe("t")
    session.start()
    wait_until(lambda: session.connected, "connects")
    for payload in (b"poison", b"poison", b"food"):
        assert session.publish("t", payload)
    assert inbox.wait(1)[0].payload == b"food"
    assert session.counters["callback_errors"] == 3
    assert session.counters["connects"] == 1
    session.stop()


def test_the_broker_holds_back_what_is_not_acknowledged(broker: Broker) -> None:
    inbox = Inbox()
    session = connected_session(broker, "node-1", "t", on_message=inbox, manual_ack=True, receive_maximum=3)
    sender = connected_session(broker, "sender")
    for number in range(10):
        assert sender.publish("t", b"%d" % number)
    first = inbox.wait(3)
    # what the broker sends after this answer it would have sent before: nothing is on its way
    session.subscribe("end")
    assert session.publish("end", b"end", qos=0)
    last = inbox.wait(4)
    assert [message.payload for message in last] == [b"0", b"1", b"2", b"end"]
    for message in first:
        session.acknowledge(message)
    for message in inbox.wait(7)[4:]:
        session.acknowledge(message)
    inbox.wait(10)
    session.stop()
    sender.stop()


def test_a_raising_callback_does_not_block_the_window(broker: Broker) -> None:
    seen = Inbox()

    def fragile(incoming: Incoming) -> None:
        seen(incoming)
        raise RuntimeError("never acknowledged")

    session = connected_session(broker, "node-1", "t", on_message=fragile, manual_ack=True, receive_maximum=1)
    for number in range(5):
        assert session.publish("t", b"%d" % number)
    seen.wait(5)
    session.stop()


def test_an_acknowledgement_after_a_reconnect_is_counted_as_stale(broker: Broker) -> None:
    inbox = Inbox()
    session = connected_session(broker, "node-1", "t", on_message=inbox, manual_ack=True)
    assert session.publish("t", b"x")
    (message,) = inbox.wait(1)
    broker.kill()
    broker.start()
    wait_until(lambda: session.counters["connects"] == 2, "the session is back")
    session.acknowledge(message)
    assert session.counters["stale_acknowledgements"] == 1
    session.stop()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"topic": ""}, "1 to 65535 bytes"),
        ({"topic": "a/+"}, "no wildcard"),
        ({"topic": "a\0"}, "no NUL"),
        ({"topic": "a", "qos": 2}, "qos is 0 or 1, got 2"),
    ],
)
def test_what_mqtt_does_not_allow_is_refused(arguments: dict[str, object], complaint: str) -> None:
    session = MqttSession(BrokerSettings(), "node-1", on_message=Inbox())
    with pytest.raises(BrokerError, match=complaint):
        session.publish(**{"payload": b"", **arguments})


@pytest.mark.parametrize(
    ("properties", "complaint"),
    [
        ({"expiry_s": -1}, "expiry_s is from 0"),
        ({"response_topic": "a/#"}, "no wildcard"),
        ({"correlation": bytes(65_536)}, "at most 65535 bytes, got 65536"),
    ],
)
def test_invalid_properties_are_refused(broker: Broker, properties: dict[str, object], complaint: str) -> None:
    session = connected_session(broker, "node-1")
    with pytest.raises(BrokerError, match=complaint):
        session.publish("t", b"", **properties)
    assert session.publish("t", b"")
    session.stop()


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a#", "+a/b"])
def test_a_filter_that_no_broker_takes_is_refused(topic_filter: str) -> None:
    session = MqttSession(BrokerSettings(), "node-1", on_message=Inbox())
    with pytest.raises(BrokerError, match=r"1 to 65535 bytes|stands for a whole level"):
        session.subscribe(topic_filter)


def test_what_is_gathered_leaves_in_the_end_and_never_waits_for_itself(broker: Broker) -> None:
    inbox = Inbox()
    session = connected_session(broker, "node-1", "t", on_message=inbox)
    n = 3 * WINDOW  # more than the broker may have unacknowledged
    with session.together():
        for number in range(n):
            assert session.publish("t", b"%d" % number)
    inbox.wait(n)
    assert inbox.payloads == [b"%d" % number for number in range(n)]
    session.stop()
    with session.together():
        assert not session.publish("t", b"too late")
