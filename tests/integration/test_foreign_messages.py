"""A stranger publishes on every topic while device and gateway work."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from support_broker import Broker, Inbox, connected_session, wait_until
from support_bundle import DeviceSide
from support_gateway import GatewayProcess, damaged
from support_path import BUNDLE, DEVICE, SITE, Board, Node, Recording, check_answers, make_recording, make_store

from device.inbox import MAX_INCOMING_BYTES
from specnet.mqtt import MqttSession
from specnet.wire import Command, OffloadRequest, Result, Topics, decode, encode

N = 200
MAX_REQUEST_BYTES = 20_000
TOPICS = Topics(SITE, DEVICE)
STRANGER = Topics(SITE, "stranger")
GARBAGE = bytes(range(256))
FAR = 10**9
"""Sequence that the device will not reach."""


def to_the_device(bundle: str) -> dict[str, list[bytes]]:
    """Messages for the device's result topic, by the name under which it has to count them."""
    result = Result(device=DEVICE, boot=1, sequence=FAR, bundle=bundle, label=3, probability=0.9, exit_index=3)
    other_version = msgspec.msgpack.encode({**msgspec.to_builtins(result), "v": 99})
    return {
        "undecodable": [b"", GARBAGE, b"\x81", encode(result)[:-3], other_version],
        "oversize": [bytes(MAX_INCOMING_BYTES + 1)],
        "foreign": [encode(msgspec.structs.replace(result, device="stranger"))],
        "repeated": [encode(result), encode(msgspec.structs.replace(result, boot=7))],
    }


def to_the_gateway(recording: Recording) -> dict[str, list[tuple[str, bytes]]]:
    """Topics and messages for the gateway, by the reason under which it has to count them."""
    side = DeviceSide(BUNDLE, site=SITE, device="stranger")
    request = side.request(recording.spectra[0].astype(np.float32), 0, codec="int8")
    topic = STRANGER.offload(request.bundle, request.split)
    own = TOPICS.offload(request.bundle, request.split)
    version = msgspec.msgpack.encode({**msgspec.to_builtins(request, builtin_types=(bytes,)), "v": 99})

    def changed(**changes: object) -> OffloadRequest:
        return msgspec.structs.replace(request, **changes)

    return {
        "malformed": [(own, b""), (own, GARBAGE), (own, encode(request)[:-5])],
        "oversize": [(own, bytes(MAX_REQUEST_BYTES + 1))],
        "version": [(own, version)],
        # the device's own topic with another name inside, and the other way round
        "foreign": [(own, encode(request)), (topic, encode(changed(device=DEVICE)))],
        "topic": [(own.removesuffix("/1") + "/x", encode(request))],
        "unknown_bundle": [(STRANGER.offload("nobody-knows", 1), encode(changed(bundle="nobody-knows")))],
        "split": [(STRANGER.offload(request.bundle, 9), encode(changed(split=9)))],
        "features": [(topic, encode(changed(features=damaged(request.features))))],
        "state": [(topic, encode(changed(state=b"\0" * 8)))],
    }


def publish(session: MqttSession, topic: str, payload: bytes) -> None:
    wait_until(lambda: session.publish(topic, payload), "a message can be sent")


def test_foreign_and_malformed_messages_are_counted_and_cost_nothing(any_broker: Broker, tmp_path: Path) -> None:
    recording = make_recording(N)
    for_device, for_gateway = to_the_device(recording.bundle.bundle_id), to_the_gateway(recording)
    inbox = Inbox()
    with (
        GatewayProcess(
            make_store(tmp_path), any_broker, SPECNET_GATEWAY_MAX_REQUEST_BYTES=str(MAX_REQUEST_BYTES)
        ) as gateway,
        Board(recording, tmp_path) as board,
        Node(tmp_path, any_broker, board) as node,
    ):
        node.is_under_way()
        stranger = connected_session(any_broker, "stranger", STRANGER.result, on_message=inbox)
        for _, payload in ((name, payload) for name, payloads in for_device.items() for payload in payloads):
            publish(stranger, TOPICS.result, payload)
        for payload in (b"", GARBAGE, encode(Command(operating_point="no such point"))):
            publish(stranger, TOPICS.command, payload)
        for messages in for_gateway.values():
            for topic, payload in messages:
                publish(stranger, topic, payload)
        for topic in (TOPICS.state, TOPICS.birth, TOPICS.answer):
            publish(stranger, topic, GARBAGE)
        for reason, messages in for_gateway.items():
            gateway.wait_metric("errors_total", len(messages), reason=reason)
        node.wait_for(lambda: node.of_type("command"), "the impossible command is refused")
        assert len(node.finals) < N, "the messages came too late to matter"
        node.finish()
        answered = [decode(Result, message.payload) for message in inbox.wait(4)]
        stranger.stop()
        assert gateway.running
        assert gateway.get("/healthz")[0] == 200
        assert gateway.metric("errors_total") == sum(map(len, for_gateway.values()))
    check_answers(node, recording)
    uplink = node.summary["uplink"]
    expected = {name: len(payloads) for name, payloads in for_device.items()}
    expected["undecodable"] += 2  # commands
    # where a machine is slow, the device asks again before its answer has come, and then gets it twice
    strangers = expected.pop("repeated")
    assert strangers <= uplink["repeated"] <= strangers + uplink.get("sent_again", 0)
    assert {name: uplink.get(name, 0) for name in expected} == expected
    commands = node.of_type("command")
    assert [record["obeyed"] for record in commands] == [False] * 3
    assert all(record["reason"] for record in commands)
    # whoever can be told is told on its own topic, and the device hears nothing of it
    assert len(answered) == 4
    assert all(result.device == "stranger" and result.error for result in answered)
