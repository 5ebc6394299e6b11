"""The session with brokers that are absent, die, hang, refuse or talk nonsense."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support_broker import Broker, Inbox, connected_session, settings_for, wait_until, write_mosquitto_password

from specnet.mqtt import BrokerSettings, MqttSession, Will
from specnet.mqtt import link as link_module
from specnet.mqtt.direct import DirectConnection

ROOT = Path(__file__).parents[3]


def test_a_broker_may_come_later(any_broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    any_broker.stop()
    ups = threading.Semaphore(0)
    session = MqttSession(settings_for(any_broker), "node-1", on_message=Inbox(), on_up=ups.release)
    with caplog.at_level(logging.INFO, "specnet.mqtt"):
        session.start()
        assert session.publish("t", b"nobody there") is False
        wait_until(lambda: "cannot connect" in caplog.text, "the absence is logged")
        any_broker.start()
        assert ups.acquire(timeout=15)
    assert session.connected
    # many attempts, but one line for each change of state
    assert caplog.text.count("cannot connect") == 1
    assert caplog.text.count("connected with MQTT") == 1
    session.stop()
    assert session.counters["published"] == 0


def test_a_killed_broker_is_noticed_and_found_again_with_all_subscriptions(any_broker: Broker) -> None:
    inbox, ups, downs = Inbox(), threading.Semaphore(0), []
    session = MqttSession(
        settings_for(any_broker),
        "node-1",
        on_message=inbox,
        on_up=ups.release,
        on_down=lambda reason: downs.append(reason),
    )
    session.subscribe("a")
    session.start()
    assert ups.acquire(timeout=15)
    session.subscribe("b/+")

    any_broker.kill()
    wait_until(lambda: downs, "on_down is called")
    assert not session.connected
    assert session.publish("a", b"lost") is False

    any_broker.start()
    assert ups.acquire(timeout=15)
    assert session.publish("a", b"first")
    assert session.publish("b/x", b"second")
    inbox.wait(2)
    assert inbox.payloads == [b"first", b"second"]
    session.stop()
    assert (session.counters["connects"], session.counters["disconnects"]) == (2, 2)


def test_a_hanging_broker_is_noticed_by_keep_alive(broker: Broker) -> None:
    downs: list[str] = []
    session = connected_session(broker, "node-1", keepalive_s=1, on_down=downs.append)
    os.kill(broker.pid, signal.SIGSTOP)
    wait_until(lambda: downs, "the silence is noticed")
    os.kill(broker.pid, signal.SIGCONT)
    wait_until(lambda: session.connected, "the session is back")
    session.stop()


def test_a_hanging_broker_fills_the_window_but_not_the_memory(broker: Broker) -> None:
    inbox = Inbox()
    receiver = connected_session(broker, "receiver", "t", on_message=inbox)
    session = connected_session(broker, "node-1")
    os.kill(broker.pid, signal.SIGSTOP)
    accepted = 0
    while session.publish("t", b"%d" % accepted):
        accepted += 1
        assert accepted < 10_000, "nothing bounds the queue"
    assert session.counters["congested"] == 1
    os.kill(broker.pid, signal.SIGCONT)
    inbox.wait(accepted)
    assert inbox.payloads == [b"%d" % number for number in range(accepted)]
    session.stop()
    receiver.stop()


def test_messages_that_nobody_acknowledges_are_bounded_too(broker: Broker, way: type) -> None:
    if way is not DirectConnection:
        pytest.skip("paho keeps messages of QoS 0 without a bound")
    session = connected_session(broker, "node-1")
    os.kill(broker.pid, signal.SIGSTOP)
    accepted = 0
    while session.publish("t", bytes(10_000), qos=0):
        accepted += 1
        assert accepted < 100_000, "nothing bounds the queue"
    os.kill(broker.pid, signal.SIGCONT)
    session.stop()


def test_stop_ends_although_the_broker_hangs(broker: Broker) -> None:
    before = set(threading.enumerate())
    session = connected_session(broker, "node-1")
    os.kill(broker.pid, signal.SIGSTOP)
    # more than the sockets' buffers hold, so that not even the DISCONNECT leaves
    while session.publish("t", bytes(200_000)):
        pass
    session.stop(timeout=0.1)
    assert set(threading.enumerate()) == before
    assert session.counters["lost_in_flight"] > 1


def test_the_broker_sends_the_will_of_a_killed_client(any_broker: Broker) -> None:
    inbox = Inbox()
    observer = connected_session(any_broker, "observer", "state/#", on_message=inbox)
    program = f"""
import sys
from specnet.mqtt import BrokerSettings, MqttSession, Will
session = MqttSession(
    BrokerSettings(port={any_broker.port}), "doomed", will=Will("state/doomed", b"offline"), on_message=print,
    on_up=lambda: session.publish("state/doomed", b"online"),
)
session.start()
sys.stdin.read()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, env=environment) as process:
        assert inbox.wait(1)[0].payload == b"online"
        process.kill()
    inbox.wait(2)
    assert inbox.payloads == [b"online", b"offline"]
    observer.stop()


def test_a_wrong_password_is_reported_once_and_a_corrected_one_is_used(
    tmp_path: Path, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    users = write_mosquitto_password(tmp_path / "users", "node", "right horse")
    secret = tmp_path / "secret"
    secret.write_text("wrong donkey\n")
    with Broker(folder=tmp_path / "b", anonymous=False, extra_configuration=[f"password_file {users}"]) as guarded:
        settings = settings_for(guarded, username="node", password_file=str(secret))
        session = MqttSession(settings, "node-1", on_message=Inbox())
        with caplog.at_level(logging.INFO, "specnet.mqtt"):
            session.start()
            wait_until(lambda: session.counters["refused"] >= 3, "several attempts are refused")
            secret.write_text("right horse\n")
            wait_until(lambda: session.connected, "the corrected password is used")
        session.stop()
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "'node'" in errors[0]
    assert "password_file" in errors[0]
    assert "donkey" not in caplog.text
    assert "horse" not in caplog.text


def test_a_refused_publish_is_reported(tmp_path: Path, broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite allowed\n")
    with Broker(folder=tmp_path / "b", extra_configuration=[f"acl_file {rules}"]) as guarded:
        session = connected_session(guarded, "node-1")
        assert session.publish("forbidden", b"")
        wait_until(lambda: session.counters["refused"], "the refusal is counted")
        session.stop()
    assert "refused a publish" in caplog.text


def test_a_refused_subscription_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    accepted, subscription_failed = b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x80"
    with _server(accepted + subscription_failed) as (port, _visits):
        session = MqttSession(BrokerSettings(port=port, protocol="3.1.1"), "node-1", on_message=Inbox())
        session.subscribe("forbidden")
        session.start()
        wait_until(lambda: session.counters["refused"], "the refusal is counted")
        session.stop()
    assert "refused a subscription" in caplog.text


def test_two_clients_of_one_name_do_not_kill_the_service(broker: Broker) -> None:
    first = connected_session(broker, "twin")
    second = connected_session(broker, "twin")
    wait_until(lambda: first.counters["disconnects"], "the first is thrown out")
    wait_until(lambda: second.counters["disconnects"], "and comes back")
    first.stop()
    second.stop()


GARBAGE = {
    "closes at once": b"",
    "is a web server": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "sends a malformed acknowledgement": b"\x20\x01\x00",
    "sends properties that are none": b"\x20\x05\x00\x00\x02\xff\xff",
    "accepts and sends a malformed message": b"\x20\x03\x00\x00\x00" + b"\x30\x02\xff\xff",
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE.keys())
def test_nonsense_from_the_other_side_ends_the_connection_and_not_the_service(answer: bytes, tmp_path: Path) -> None:
    with _server(answer) as (port, visits):
        settings = BrokerSettings(port=port, reconnect_min_s=0.01, reconnect_max_s=0.05)
        session = MqttSession(settings, "node-1", on_message=Inbox())
        session.start()
        for _ in range(4):
            assert visits.acquire(timeout=15), "the session gave up"
        session.stop()
    assert not any(thread.name == "mqtt-node-1" for thread in threading.enumerate())


def test_a_broker_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "ANSWER_TIMEOUT_S", 0.3)
    with _server(None) as (port, visits):
        settings = BrokerSettings(port=port, reconnect_min_s=0.01, reconnect_max_s=0.05)
        session = MqttSession(settings, "node-1", on_message=Inbox(), will=Will("state", b"offline"))
        session.start()
        for _ in range(3):
            assert visits.acquire(timeout=15), "the session waits for ever"
        session.stop()


@contextmanager
def _server(answer: bytes | None) -> Iterator[tuple[int, threading.Semaphore]]:
    """Answer every connection with the same bytes and close it; None: say nothing and keep it open."""
    visits, closing, kept = threading.Semaphore(0), threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)

        def serve() -> None:
            while not closing.is_set():
                try:
                    client, _ = listener.accept()
                except TimeoutError:
                    continue
                visits.release()
                if answer is None:
                    kept.append(client)
                    continue
                with client:
                    client.settimeout(5)
                    client.recv(1024)
                    client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], visits
        finally:
            closing.set()
            thread.join()
            for client in kept:
                client.close()
