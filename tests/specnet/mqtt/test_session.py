"""The session with brokers that do what they should."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest
from support_broker import Broker, Inbox, connected_session, make_certificates, settings_for, wait_until

from specnet.errors import BrokerError, ConfigurationError
from specnet.mqtt import BrokerSettings, MqttSession, Will
from specnet.mqtt.direct import DirectConnection
from specnet.mqtt.messages import Incoming

PROTOCOL = {"mosquitto": "5", "amqtt": "3.1.1"}


def test_a_message_comes_back_over_either_broker(any_broker: Broker) -> None:
    inbox = Inbox()
    session = connected_session(any_broker, "node-1", "site/+/data", on_message=inbox)
    assert session.protocol == PROTOCOL[any_broker.kind]
    assert session.publish("site/a/data", b"\x00\xffspectrum")
    (message,) = inbox.wait(1)
    assert (message.topic, message.payload, message.qos, message.retain) == (
        "site/a/data",
        b"\x00\xffspectrum",
        1,
        False,
    )
    session.stop()
    assert not session.connected
    assert session.protocol == ""
    assert session.counters["published"] == session.counters["received"] == 1


def test_mqtt5_properties_travel(broker: Broker) -> None:
    inbox = Inbox()
    session = connected_session(broker, "node-1", "ask", on_message=inbox)
    assert session.publish("ask", b"?", response_topic="answers/node-1", correlation=b"\x00\x01", expiry_s=60)
    (message,) = inbox.wait(1)
    assert (message.response_topic, message.correlation) == ("answers/node-1", b"\x00\x01")
    session.stop()


def test_properties_are_left_out_on_a_broker_without_them(amqtt_broker: Broker) -> None:
    inbox = Inbox()
    session = connected_session(amqtt_broker, "node-1", "ask", on_message=inbox, will=Will("state", b"offline"))
    assert session.protocol == "3.1.1"
    assert session.publish("ask", b"?", response_topic="answers", correlation=b"1", expiry_s=60)
    (message,) = inbox.wait(1)
    assert (message.payload, message.response_topic, message.correlation) == (b"?", None, None)
    session.stop()


def test_an_older_version_can_be_demanded(broker: Broker) -> None:
    session = connected_session(broker, "node-1", protocol="3.1.1")
    assert session.protocol == "3.1.1"
    session.stop()


def test_sockets_do_not_wait_for_more_to_send(broker: Broker) -> None:
    session = connected_session(broker, "node-1")
    connection = session._supervisor.connection
    assert connection is not None
    sock = connection._socket if isinstance(connection, DirectConnection) else connection._client.socket()
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    session.stop()


def test_a_retained_message_reaches_who_comes_later(any_broker: Broker) -> None:
    first = connected_session(any_broker, "node-1")
    assert first.publish("state", b"online", retain=True)
    first.stop()
    inbox = Inbox()
    second = connected_session(any_broker, "node-2", "state", on_message=inbox)
    (message,) = inbox.wait(1)
    assert (message.payload, message.retain) == (b"online", True)
    second.stop()


def test_stop_says_farewell_instead_of_the_will_and_leaves_no_thread(any_broker: Broker) -> None:
    inbox = Inbox()
    observer = connected_session(any_broker, "observer", "state/#", on_message=inbox)
    before = set(threading.enumerate())
    session = connected_session(any_broker, "node-1", will=Will("state/node-1", b"died"))
    session.stop(farewell=Will("state/node-1", b"sleeping"))
    assert set(threading.enumerate()) == before
    inbox.wait(1)
    # the broker would have sent the will before it answers this
    assert observer.publish("state/end", b"end")
    inbox.wait(2)
    assert inbox.payloads == [b"sleeping", b"end"]
    observer.stop()
    session.stop()  # a second time is nothing


def test_a_session_starts_once(broker: Broker) -> None:
    session = connected_session(broker, "node-1")
    with pytest.raises(BrokerError, match="already started"):
        session.start()
    session.stop()
    with pytest.raises(BrokerError, match="make a new one"):
        session.start()


def test_stop_before_start_is_harmless() -> None:
    session = MqttSession(BrokerSettings(), "node-1", on_message=Inbox())
    session.stop()
    assert not session.connected


def test_after_unsubscribing_nothing_comes_any_more_also_over_the_next_connection(any_broker: Broker) -> None:
    inbox = Inbox()
    session = connected_session(any_broker, "listener", "gone", "kept", on_message=inbox)
    sender = connected_session(any_broker, "sender")
    session.unsubscribe("gone")
    wait_until(lambda: session.counters["unsubscribed"] == 1, "the broker has confirmed it")

    def send(number: int) -> None:
        for topic in ("gone", "kept"):
            wait_until(lambda: sender.publish(topic, b"%d" % number), "sent")  # noqa: B023

    send(1)
    inbox.wait(1)
    any_broker.restart()
    wait_until(lambda: session.counters["subscribed"] == 3, "what is left is subscribed to again")
    wait_until(lambda: sender.connected, "the sender is back")
    send(2)
    inbox.wait(2)
    assert [(message.topic, message.payload) for message in inbox.messages] == [("kept", b"1"), ("kept", b"2")]
    with pytest.raises(BrokerError):
        session.unsubscribe("a/#/b")
    for one in (session, sender):
        one.stop(1.0)


def test_publishing_inside_a_callback_works(any_broker: Broker) -> None:
    answers = Inbox()

    def answer(incoming: Incoming) -> None:
        if incoming.topic == "ask":
            server.publish("answer", incoming.payload * 2)
        else:
            answers(incoming)

    server = MqttSession(settings_for(any_broker), "server", on_message=answer)
    server.subscribe("ask")
    server.subscribe("answer")
    server.start()
    wait_until(lambda: server.connected, "server connects")
    assert server.publish("ask", b"ab")
    assert answers.wait(1)[0].payload == b"abab"
    server.stop()


def test_flush_waits_for_acknowledgements_and_never_inside_a_callback(any_broker: Broker) -> None:
    refused: list[str] = []

    def ask(incoming: Incoming) -> None:
        with pytest.raises(BrokerError, match="flush must not be called from a callback") as caught:
            session.flush(1.0)
        refused.append(str(caught.value))

    session = connected_session(any_broker, "node-1", "t", on_message=ask)
    for _ in range(50):
        assert session.publish("t", b"x" * 1000)
    assert session.flush(10.0)
    wait_until(lambda: len(refused) == 50, "all messages have come back")
    session.stop()
    assert not session.flush(0.0)
    assert session.counters["callback_errors"] == session.counters["lost_in_flight"] == 0


def test_stop_inside_a_callback_is_refused(broker: Broker) -> None:
    refused = threading.Event()

    def stop(_incoming: Incoming) -> None:
        try:
            session.stop()
        except BrokerError:
            refused.set()

    session = MqttSession(settings_for(broker), "node-1", on_message=stop)
    session.subscribe("t")
    session.start()
    wait_until(lambda: session.connected, "connects")
    session.publish("t", b"")
    assert refused.wait(10)
    session.stop()


def test_many_threads_publish_a_burst_and_everything_arrives_once(broker: Broker) -> None:
    inbox = Inbox()
    receiver = connected_session(broker, "receiver", "burst/#", on_message=inbox)
    sender = connected_session(broker, "sender")

    def publish(name: int) -> None:
        for number in range(500):
            wait_until(lambda number=number: sender.publish(f"burst/{name}", b"%d" % number), "there is room again")

    threads = [threading.Thread(target=publish, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    messages = inbox.wait(2000)
    for name in range(4):
        numbers = [int(message.payload) for message in messages if message.topic == f"burst/{name}"]
        assert numbers == list(range(500))
    sender.stop()
    receiver.stop()
    assert sender.counters["lost_in_flight"] == 0


def test_tls_checks_the_broker(tmp_path: Path, broker: Broker) -> None:
    ca, certificate, key = make_certificates(tmp_path)
    with socket.socket() as free:
        free.bind((broker.host, 0))
        port = free.getsockname()[1]
    listener = [f"listener {port} {broker.host}", f"certfile {certificate}", f"keyfile {key}"]
    with Broker(folder=tmp_path / "tls", extra_configuration=listener) as secured:
        inbox = Inbox()
        session = connected_session(secured, "node-1", "t", on_message=inbox, port=port, tls=True, ca_file=str(ca))
        assert session.publish("t", b"secret")
        assert inbox.wait(1)[0].payload == b"secret"
        session.stop()

        seen: list[str] = []
        strange_ca, *_ = make_certificates(_folder(tmp_path / "other"))
        stranger = MqttSession(
            settings_for(secured, port=port, tls=True, ca_file=str(strange_ca)),
            "node-2",
            on_message=inbox,
            logger=_Recorder(seen),  # type: ignore[arg-type]
        )
        stranger.start()
        wait_until(lambda: seen, "the refusal is logged")
        assert "CERTIFICATE_VERIFY_FAILED" in seen[0]
        assert not stranger.connected
        stranger.stop()


def test_unusable_files_are_known_at_once(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    for settings in (
        BrokerSettings(tls=True, ca_file=missing),
        BrokerSettings(tls=True, cert_file=missing),
        BrokerSettings(username="u", password_file=missing),
    ):
        with pytest.raises(ConfigurationError, match="missing"):
            MqttSession(settings, "node-1", on_message=Inbox())


@pytest.mark.parametrize("client_id", ["", "x" * 257])
def test_a_client_id_has_a_length(client_id: str) -> None:
    with pytest.raises(BrokerError, match="1 to 256 bytes"):
        MqttSession(BrokerSettings(), client_id, on_message=Inbox())


class _Recorder:
    """Takes what a logger takes."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def log(self, _level: int, text: str, *values: object) -> None:
        self._lines.append(text % values)

    exception = log


def _folder(path: Path) -> Path:
    os.makedirs(path)
    return path
