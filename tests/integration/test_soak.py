"""The soak test, shortened: gateways are killed and drained, the broker is killed, and every answer is right."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support_broker import Broker, connected_session, require
from support_cli import call
from support_path import BUNDLE

from specnet.commands.bench_soak import found_texts
from specnet.demo.children import Child, ChildError
from specnet.demo.gateway_child import add_bundle
from specnet.demo.soak import Soak
from specnet.demo.soak.chaos import Chaos
from specnet.demo.soak.expected import expected_answers
from specnet.demo.soak.replica import Replica
from specnet.mqtt import Incoming
from specnet.wire import Result, Topics, encode, parse_offload_topic, unpack_request

DEVICES, REQUESTS = 40, 24_000
SEED = 290
"""With it a gateway is drained, one is killed, and then the broker, within three seconds; fast machines take longer."""
MOST_MEMORY_MB = 200.0
"""Twice what a gateway takes."""


def test_nothing_is_lost_and_nothing_is_said_differently_whoever_is_killed() -> None:
    require("mosquitto")
    done = call(
        *("bench", "soak", BUNDLE, "--requests", REQUESTS, "--devices", DEVICES, "--open", 2, "--resend-s", 0.5),
        *("--kill-every", 1.5, "--broker-every", 6, "--seed", SEED, "--json"),
    )
    assert done.code == 0, done.err
    found = done.document
    assert found["passed"] is True
    assert found["answered"] == found["requests"] == REQUESTS
    assert [found[kind] for kind in ("lost", "not_asked", "wrong", "different", "failed", "unasked")] == [0] * 6
    assert found["kills"] >= 1
    assert found["drains"] >= 1
    assert found["broker_restarts"] >= 1
    assert found["broken_connections"] >= DEVICES
    assert found["repeated_requests"] > 0, "nothing was under way when they were struck"
    assert found["sent_twice"] > 0.02 * REQUESTS
    # in a third of the cases the broker gives both to one gateway, which answers once
    assert found["repeated_answers"] > 0.2 * found["sent_twice"], "answers were compared with each other"
    assert sum(found["by"].values()) == REQUESTS
    assert set(found["by"]) == {"replica-0", "replica-1", "replica-2"}
    memory = found["memory"]["gateway"]
    assert 20 < memory["first_mb"] <= memory["most_mb"] < MOST_MEMORY_MB
    assert memory["mb_per_hour"] is not None
    assert found["disk"]["last_mb"] > 0, "results are kept"
    assert all(len(point) == 5 for point in found["sizes"])
    assert len(found["sizes"]) >= 3


def test_devices_find_out_a_gateway_that_lies(tmp_path: Path, broker: Broker) -> None:
    _, expected = expected_answers(BUNDLE)
    topics = Topics("soak", "device-0")

    def answer(incoming: Incoming) -> None:
        request = unpack_request(incoming.payload, parse_offload_topic(incoming.topic))
        said = expected[request.sequence % len(expected)]
        right = Result(
            device=request.device,
            boot=request.boot,
            sequence=request.sequence,
            bundle=said.bundle,
            label=said.label,
            probability=said.probability,
            exit_index=said.exit_index,
            macs=said.macs,
            known=said.known,
            gateway="liar",
        )
        lies: list[list[dict[str, object]]] = [[{}], [{"label": 99}], [{}, {"macs": 1}], [{"error": "no"}], []]
        for lie in lies[request.sequence]:
            session.publish(topics.result, encode(msgspec.structs.replace(right, **lie)))

    words = ["specnet.demo.soak.fleet", str(BUNDLE), "--port", str(broker.port), "--devices", "1", "--requests", "7"]
    session = connected_session(broker, "liar", f"{topics.base}/offload/+/+", on_message=answer)
    try:
        with Child("fleet", [*words, "--resend-s", "0.3", "--patience-s", "1.5"], tmp_path) as fleet:
            figures = fleet.expect("examples", 60.0)
    finally:
        session.stop()
    # the fifth gets no answer, and the device waits for it until the end
    assert (figures["answered"], figures["lost"], figures["not_asked"]) == (4, 1, 2)
    assert (figures["wrong"], figures["different"], figures["failed"], figures["unasked"]) == (2, 1, 1, 0)
    assert figures["repeated_requests"] >= 2
    soak = Soak(figures, Counter(), ())
    assert not soak.passed
    texts = found_texts(soak)
    assert texts[:5] == ["lost 1", "not_asked 2", "wrong 2", "different 1", "failed 1"]
    assert texts[-1] == "lost: device-0-1-4"
    assert any(text.startswith("wrong: device-0-1-1 at device-0 by liar: Said(label=99") for text in texts)


@pytest.fixture
def replica(tmp_path: Path, broker: Broker) -> Iterator[Replica]:
    add_bundle(BUNDLE, tmp_path / "store", tmp_path, 60.0)
    made = Replica("replica-1", tmp_path / "store", broker, tmp_path)
    yield made
    made.close()


def test_a_replica_that_ends_by_itself_is_told(replica: Replica, broker: Broker) -> None:
    replica.start()
    replica.wait_ready()
    first = replica.pid
    replica.kill(now=0.0, pause_s=5.0)
    assert replica.pid is None
    replica.tend(4.9)
    assert replica.pid is None, "too early"
    replica.tend(5.1)
    assert replica.pid not in (None, first)
    replica.wait_ready()
    assert replica.ready
    os.kill(replica.pid, signal.SIGKILL)
    chaos = Chaos([replica], broker, kill_every_s=1e6, broker_every_s=1e6, seed=0)
    chaos.begin(5.2)
    os.waitid(os.P_PID, replica.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ChildError, match="replica-1 ended by itself"):
        chaos.tend(5.3)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((BUNDLE, "--requests", 0), "--requests is from 1 to 100000000, got 0"),
        ((BUNDLE, "--replicas", 1), "--replicas is from 2 to 16, got 1"),
        ((BUNDLE, "--kill-every", "nan"), "--kill-every is from 0.1 to 86400, got nan"),
        ((BUNDLE, "--resend-s", 0), "--resend-s is from 0.1 to 60, got 0.0"),
        ((BUNDLE, "--twice", 2), "--twice is from 0 to 1, got 2.0"),
        (("no.specnet",), "cannot read bundle no.specnet"),
    ],
)
def test_mistakes_are_told(words: tuple[object, ...], complaint: str) -> None:
    done = call("bench", "soak", *words)
    assert done.code == 2
    assert complaint in done.err
