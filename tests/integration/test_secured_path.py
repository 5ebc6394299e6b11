"""The whole path over TLS: a device, a gateway and an operator, each with its own certificate and its own rules."""

from __future__ import annotations

from pathlib import Path

from support_broker import Inbox, connected_session, wait_until
from support_gateway import GatewayProcess
from support_path import DEVICE, SITE, Board, Node, check_answers, make_recording, make_store
from support_secured import SecuredBroker, as_environment

from specnet.wire import Answer, Birth, State, Topics, decode

CLIENTS = ("--device", f"{SITE}/{DEVICE}", "--gateway", "gateway-1", "--operator", "anna")


def test_a_device_does_all_that_it_has_to_with_the_rules_of_its_certificate(tmp_path: Path) -> None:
    recording, topics, heard = make_recording(30), Topics(SITE, DEVICE), Inbox()
    with SecuredBroker(tmp_path / "broker", "--tls", "--server-name", "gateway.local", *CLIENTS) as broker:
        own = {f"broker__{name}": value for name, value in broker.client(f"devices/{SITE}/{DEVICE}").items()}
        own["broker__tls"] = "true"
        operator = connected_session(
            broker, "operator", f"{topics.base}/#", on_message=heard, **broker.client("operators/anna")
        )
        try:
            gateway = as_environment(broker.client("gateways/gateway-1"))
            with (
                GatewayProcess(make_store(tmp_path), broker, **gateway),
                Board(recording, tmp_path) as board,
                Node(tmp_path, broker, board, **own) as node,
            ):
                node.finish()
                check_answers(node, recording)
                assert "refused" not in "".join(node.errors)
            wait_until(lambda: _last_state(heard, topics) == "offline", "the device says goodbye")
        finally:
            operator.stop()
    by_topic = {message.topic: message.payload for message in heard.messages}
    assert decode(Birth, by_topic[topics.birth]).device == DEVICE
    assert decode(Answer, by_topic[topics.answer]).device == DEVICE
    # an operator reads what devices say of themselves, not what they ask
    assert set(by_topic) <= {topics.state, topics.birth, topics.answer, topics.unanswered, topics.model_state}


def _last_state(heard: Inbox, topics: Topics) -> str:
    states = [message.payload for message in heard.messages if message.topic == topics.state]
    return decode(State, states[-1]).status if states else ""
