from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support_broker import Broker, Inbox, connected_session, settings_for, wait_until
from support_device import EchoGateway, result_for
from support_journal import final, is_balanced, journal_at, spectrum

from device.config import UplinkSettings
from device.inbox import MAX_INCOMING_BYTES
from device.journal import HistorySettings, Journal, OutboxSettings
from device.outbox import Dropped, Outbox, PendingRequest
from device.results import ResultChecker
from device.uplink import AUDIT_ATTEMPTS, Uplink
from specnet.codec import encode_features
from specnet.mqtt import BrokerSettings
from specnet.wire import Answer, Birth, Command, OffloadRequest, Result, State, Topics, Unanswered, decode, encode

TOPICS = Topics("lab", "node-1")
SETTINGS = UplinkSettings(window=4, retry_s=0.1, retry_max_s=0.4, deadline_s=0.2)
FEATURES = encode_features("int8", np.arange(12, dtype=np.float32).reshape(4, 3))


class Notebook:
    """A listener that makes answers final and writes down what it hears."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.refusals: list[str] = []
        self.answers: list[tuple[PendingRequest, Result]] = []
        self.provisional: list[PendingRequest] = []
        self.gave_up: list[tuple[PendingRequest, str]] = []
        self.commands: list[Command] = []

    def answered(self, answers: Sequence[tuple[PendingRequest, Result]]) -> None:
        assert self._journal.conclude([final(*request.key, payload_bytes=1) for request, _ in answers]).recorded
        self.answers.extend(answers)

    def overdue(self, request: PendingRequest) -> None:
        self.provisional.append(request)

    def dropped(self, dropped: Dropped) -> None:
        assert dropped.recorded
        self.gave_up.append((dropped.request, dropped.reason))

    def commanded(self, command: Command) -> str:
        self.commands.append(command)
        return "no such point" if command.operating_point else ""

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)

    @property
    def sequences(self) -> list[int]:
        return sorted(request.sequence for request, _ in self.answers)


class Node:
    """Outbox, uplink and notebook of one device."""

    def __init__(
        self, path: Path, broker: BrokerSettings, settings: UplinkSettings = SETTINGS, **bounds: float
    ) -> None:
        outbox = OutboxSettings(**{"max_bytes": 10**7, "max_requests": 1000, **bounds})
        self.journal = Journal(path / "journal.sqlite", outbox, HistorySettings())
        self.notes = Notebook(self.journal)
        self.outbox = Outbox(self.journal, outbox)
        birth = Birth(
            device="node-1",
            boot=self.outbox.boot,
            bundles=("b",),
            splits=(0, 1),
            codecs=("int8",),
            spectrometer="test",
            software="test",
        )
        checker = ResultChecker("node-1", "b", 3)
        self.uplink = Uplink(settings, broker, TOPICS, self.outbox, birth, checker, self.notes, random.Random(0))

    def submit(self, sequence: int, payload: bytes | None = None) -> None:
        payload = payload or self.payload(sequence)
        assert self.journal.record(spectrum(self.journal, sequence))
        self.uplink.submit(self.request(sequence, payload), TOPICS.offload("b", 1), payload)

    def audit(self, sequence: int, label: int) -> None:
        payload = self.payload(sequence, audit=True)
        request = msgspec.structs.replace(self.request(sequence, payload), audit=True, label=label)
        self.uplink.audit(request, TOPICS.offload("b", 1), payload)

    def request(self, sequence: int, payload: bytes) -> PendingRequest:
        return PendingRequest(
            boot=self.outbox.boot,
            sequence=sequence,
            bundle="b",
            label=0,
            class_name="quartz",
            probability=0.5,
            exit_index=1,
            macs=10,
            local_us=1.0,
            payload_bytes=len(payload),
            acquired=time.monotonic(),
        )

    def close(self) -> None:
        self.uplink.stop()
        balanced = is_balanced(self.journal)
        self.journal.close()
        assert balanced

    def payload(self, sequence: int, *, audit: bool = False) -> bytes:
        return encode(
            OffloadRequest(
                site="lab",
                device="node-1",
                boot=self.outbox.boot,
                sequence=sequence,
                bundle="b",
                split=1,
                features=FEATURES,
                audit=audit,
            )
        )

    def count(self, name: str) -> int:
        return self.uplink.counters.get(name, 0)


@contextmanager
def node_at(path: Path, broker: Broker, *, bounds: dict[str, float] | None = None, **changes: float) -> Iterator[Node]:
    settings = UplinkSettings(**{"window": 4, "retry_s": 0.1, "retry_max_s": 0.4, "deadline_s": 30.0, **changes})
    node = Node(path, settings_for(broker), settings, **(bounds or {}))
    node.uplink.start()
    try:
        yield node
    finally:
        node.close()


@contextmanager
def gateway_at(broker: Broker, label: int = 1) -> Iterator[EchoGateway]:
    gateway = EchoGateway(broker, label=label)
    try:
        yield gateway
    finally:
        gateway.stop()


def test_every_request_gets_its_answer_once(any_broker: Broker, tmp_path: Path) -> None:
    with gateway_at(any_broker) as gateway, node_at(tmp_path, any_broker, retry_s=30.0, retry_max_s=30.0) as node:
        for sequence in range(50):
            node.submit(sequence)
        assert node.uplink.wait_until_empty(15, lambda: False)
        assert node.notes.sequences == list(range(50))
        assert [request.sequence for request, result in node.notes.answers if result.label != 1] == []
        assert gateway.topics[0] == "specnet/v1/lab/node-1/offload/b/1"
        assert (node.count("sent"), node.count("sent_again"), node.count("answered")) == (50, 0, 50)
        assert node.notes.provisional == node.notes.gave_up == []


def test_it_introduces_itself_and_says_goodbye(broker: Broker, tmp_path: Path) -> None:
    inbox = Inbox()
    watcher = connected_session(broker, "watcher", TOPICS.state, TOPICS.birth, on_message=inbox)
    with node_at(tmp_path, broker):
        messages = inbox.wait(2)
    assert [message.topic for message in messages] == [TOPICS.state, TOPICS.birth]
    assert decode(State, messages[0].payload).status == "online"
    assert decode(Birth, messages[1].payload).bundles == ("b",)
    farewell = decode(State, inbox.wait(3)[2].payload)
    assert (farewell.status, farewell.boot, farewell.reason) == ("offline", 1, "stopped")
    watcher.stop()
    late = Inbox()
    newcomer = connected_session(broker, "newcomer", TOPICS.state, on_message=late)
    assert late.wait(1)[0].retain
    newcomer.stop()


def test_without_a_result_the_own_answer_is_given_once_and_the_final_one_follows(
    broker: Broker, tmp_path: Path
) -> None:
    with node_at(tmp_path, broker, deadline_s=0.05) as node:
        node.submit(3)
        wait_until(lambda: node.notes.provisional, "the deadline passes")
        wait_until(lambda: node.count("sent_again") >= 2, "the request is repeated")
        with gateway_at(broker):
            assert node.uplink.wait_until_empty(15, lambda: False)
    assert [request.sequence for request in node.notes.provisional] == [3]
    assert node.notes.sequences == [3]


def test_a_broker_absent_at_start_then_there(broker: Broker, tmp_path: Path) -> None:
    broker.stop()
    with node_at(tmp_path, broker, deadline_s=0.05) as node:
        for sequence in range(10):
            node.submit(sequence)
        wait_until(lambda: len(node.notes.provisional) == 10, "all deadlines pass without a broker")
        broker.start()
        with gateway_at(broker):
            assert node.uplink.wait_until_empty(15, lambda: False)
    assert node.notes.sequences == list(range(10))


def test_a_broker_killed_in_the_middle_loses_nothing(broker: Broker, tmp_path: Path) -> None:
    with gateway_at(broker) as gateway, node_at(tmp_path, broker) as node:
        for sequence in range(40):
            node.submit(sequence)
            if sequence == 15:
                wait_until(lambda: len(gateway.requests) >= 5, "some requests arrive")
                broker.kill()
            if sequence == 30:
                broker.start()
        assert node.uplink.wait_until_empty(20, lambda: False)
        assert node.notes.sequences == list(range(40))


def test_requests_of_an_earlier_boot_are_answered_after_a_restart(broker: Broker, tmp_path: Path) -> None:
    with node_at(tmp_path, broker) as node:
        for sequence in range(6):
            node.submit(sequence)
        wait_until(lambda: node.count("sent") >= 4, "the window is full")
    with node_at(tmp_path, broker, deadline_s=0.05) as node, gateway_at(broker):
        assert node.outbox.boot == 2
        node.submit(0)
        assert node.uplink.wait_until_empty(15, lambda: False)
    answered = sorted(request.key for request, _ in node.notes.answers)
    assert answered == [(1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (2, 0)]
    assert all(request.boot == 2 for request in node.notes.provisional)


def test_not_more_than_the_window_is_under_way(broker: Broker, tmp_path: Path) -> None:
    with gateway_at(broker) as gateway, node_at(tmp_path, broker, retry_s=30.0, retry_max_s=30.0) as node:
        gateway.answer = lambda request: []
        for sequence in range(10):
            node.submit(sequence)
        wait_until(lambda: len(gateway.requests) == 4, "the window is full")
        first = gateway.requests[0]
        gateway.publish(TOPICS.result, encode(result_for(first)))
        wait_until(lambda: len(gateway.requests) == 5, "an answer makes room for one more")
        assert node.count("sent") == 5


def test_hostile_results_are_counted_and_the_true_one_still_counts(broker: Broker, tmp_path: Path) -> None:
    with gateway_at(broker) as gateway, node_at(tmp_path, broker, retry_s=30.0, retry_max_s=30.0) as node:
        gateway.answer = lambda request: [
            b"",
            b"\xc1 not msgpack",
            bytes(MAX_INCOMING_BYTES + 1),
            encode(result_for(request)).replace(b"\xa1v\x01", b"\xa1v\x63"),
            encode(result_for(request, device="node-2")),
            encode(result_for(request, bundle="other")),
            encode(result_for(request, label=3)),
            encode(result_for(request, sequence=999)),
            encode(result_for(request, label=2)),
            encode(result_for(request, label=2)),
        ]
        node.submit(0)
        assert node.uplink.wait_until_empty(15, lambda: False)
        wait_until(lambda: node.count("repeated") == 2, "everything is judged")
        expected = {"undecodable": 3, "oversize": 1, "foreign": 2, "impossible": 1, "answered": 1}
        assert {name: node.count(name) for name in expected} == expected
    assert [result.label for _, result in node.notes.answers] == [2]


def test_a_result_on_a_foreign_topic_does_not_reach_the_device(broker: Broker, tmp_path: Path) -> None:
    with gateway_at(broker) as gateway, node_at(tmp_path, broker, retry_s=30.0, retry_max_s=30.0) as node:
        gateway.answer = lambda request: []
        node.submit(0)
        wait_until(lambda: gateway.requests, "the request arrives")
        gateway.publish("specnet/v1/lab/node-2/result", encode(result_for(gateway.requests[0], label=2)))
        gateway.publish(TOPICS.result, encode(result_for(gateway.requests[0], label=1)))
        assert node.uplink.wait_until_empty(15, lambda: False)
    assert [result.label for _, result in node.notes.answers] == [1]


def test_an_error_of_the_gateway_is_final(broker: Broker, tmp_path: Path) -> None:
    with gateway_at(broker) as gateway, node_at(tmp_path, broker) as node:
        gateway.answer = lambda request: [encode(result_for(request, error="no such bundle"))]
        node.submit(0)
        assert node.uplink.wait_until_empty(15, lambda: False)
    assert node.notes.answers[0][1].error == "no such bundle"


def test_the_oldest_requests_are_given_up_when_the_outbox_is_full(broker: Broker, tmp_path: Path) -> None:
    broker.stop()
    with node_at(tmp_path, broker, bounds={"max_requests": 3}) as node:
        for sequence in range(5):
            node.submit(sequence)
        assert [(request.sequence, reason) for request, reason in node.notes.gave_up] == [
            (0, "outbox full"),
            (1, "outbox full"),
        ]
        broker.start()
        with gateway_at(broker):
            assert node.uplink.wait_until_empty(15, lambda: False)
        assert node.count("dropped") == 2
    assert node.notes.sequences == [2, 3, 4]


def test_a_request_too_large_for_the_session_is_given_up_and_does_not_block_others(
    broker: Broker, tmp_path: Path
) -> None:
    node = Node(tmp_path, settings_for(broker, max_payload_bytes=2000), SETTINGS)
    node.uplink.start()
    with gateway_at(broker):
        node.submit(0, bytes(3000))
        node.submit(1)
        assert node.uplink.wait_until_empty(15, lambda: False)
    node.close()
    [(request, reason)] = node.notes.gave_up
    assert request.sequence == 0
    assert "too large" in reason
    assert node.notes.sequences == [1]


def test_audit_samples_are_compared_and_never_answered(broker: Broker, tmp_path: Path) -> None:
    with gateway_at(broker) as gateway, node_at(tmp_path, broker) as node:
        for sequence, label in ((0, 1), (1, 2)):
            node.audit(sequence, label)
        wait_until(lambda: node.count("audit_agreed") == node.count("audit_disagreed") == 1, "both are judged")
        assert all(request.audit for request in gateway.requests)
    assert node.notes.answers == []


def test_answers_are_published_for_others(broker: Broker, tmp_path: Path) -> None:
    inbox = Inbox()
    watcher = connected_session(broker, "watcher", "specnet/v1/+/+/answer", TOPICS.unanswered, on_message=inbox)
    answer = Answer(
        device="node-1",
        boot=1,
        sequence=5,
        bundle="b",
        label=1,
        class_name="calcite",
        probability=0.75,
        exit_index=0,
        final=True,
        source="device",
    )
    unanswered = Unanswered(device="node-1", boot=1, sequence=6, outcome="rejected", reason="all points are zero")
    with node_at(tmp_path, broker) as node:
        node.uplink.announce(answer)
        node.uplink.announce(unanswered)
        first, second = inbox.wait(2)
    watcher.stop()
    assert (first.topic, second.topic) == (TOPICS.answer, TOPICS.unanswered)
    assert decode(Answer, first.payload) == answer
    assert decode(Unanswered, second.payload) == unanswered


def test_commands_are_obeyed_or_refused_and_each_is_answered_in_the_state(broker: Broker, tmp_path: Path) -> None:
    inbox = Inbox()
    watcher = connected_session(broker, "watcher", TOPICS.state, on_message=inbox)
    with gateway_at(broker) as gateway, node_at(tmp_path, broker) as node:
        wait_until(lambda: node.uplink.counters["mqtt_subscribed"] >= 2, "the device listens")
        assert decode(State, inbox.wait(1)[0].payload).command is msgspec.UNSET
        orders = (
            b"nonsense",
            encode(Command(operating_point="bold", id="b")),
            encode(Command(restart_acquisition=True, id="c")),
        )
        for n, payload in enumerate(orders):
            gateway.publish(TOPICS.command, payload)
            inbox.wait(n + 2)
        assert node.count("undecodable") == len(node.notes.refusals) == 1
        assert [command.id for command in node.notes.commands] == ["b", "c"]
    replies = [decode(State, message.payload).command for message in inbox.wait(5)[1:4]]
    watcher.stop()
    assert [(reply.number, reply.id, reply.obeyed) for reply in replies] == [
        (1, "", False),
        (2, "b", False),
        (3, "c", True),
    ]
    assert "not a valid Command" in replies[0].reason
    assert (replies[1].reason, replies[2].reason) == ("no such point", "")


def test_audit_samples_wait_on_disk_and_go_first_when_there_is_no_room(broker: Broker, tmp_path: Path) -> None:
    broker.stop()
    with node_at(tmp_path, broker, bounds={"max_requests": 4, "audit_share": 0.5}) as node:
        for sequence in range(3):
            node.audit(sequence, label=1)
        assert [audit.sequence for audit in node.outbox.pending(audits=True)] == [1, 2]
        for sequence in range(10, 13):
            node.submit(sequence)
        assert [audit.sequence for audit in node.outbox.pending(audits=True)] == [2]
        assert node.journal.counters["dropped_audit_outbox_full"] == 2
        assert node.notes.gave_up == []
    broker.start()
    with gateway_at(broker) as gateway, node_at(tmp_path, broker) as node:
        wait_until(lambda: node.count("audit_agreed") == 1 and not len(node.outbox), "all of the first boot is sent")
        assert node.outbox.load == (0, 0, 0, 0)
    # on a busy machine some are sent again
    first = dict.fromkeys((request.sequence, request.audit) for request in gateway.requests)
    assert [audit for _, audit in first] == [False, False, False, True]


def test_audit_samples_that_nobody_answers_are_given_up(broker: Broker, tmp_path: Path) -> None:
    with gateway_at(broker) as gateway, node_at(tmp_path, broker, retry_s=0.05, retry_max_s=0.05) as node:
        gateway.answer = lambda request: []
        node.audit(0, label=1)
        wait_until(lambda: node.journal.counters.get("dropped_audit_unanswered") == 1, "it is given up")
        assert node.outbox.load.audits == 0
        assert len(gateway.requests) <= AUDIT_ATTEMPTS


def test_a_request_that_is_too_old_is_given_up(broker: Broker, tmp_path: Path) -> None:
    broker.stop()
    with node_at(tmp_path, broker, bounds={"max_age_s": 1.0}) as node:
        node.submit(0)
        wait_until(lambda: node.notes.gave_up, "it grows too old")
        assert [(request.sequence, reason) for request, reason in node.notes.gave_up] == [(0, "too old")]
        assert node.journal.accounts().dropped == 1


def test_waiting_for_results_can_be_interrupted(broker: Broker, tmp_path: Path) -> None:
    with node_at(tmp_path, broker) as node:
        node.submit(0)
        assert not node.uplink.wait_until_empty(60, lambda: True)
        assert not node.uplink.wait_until_empty(0.01, lambda: False)
    reopened = journal_at(tmp_path / "journal.sqlite")
    assert [request.key for request in Outbox(reopened, OutboxSettings()).pending()] == [(1, 0)]
    reopened.close()


@pytest.mark.parametrize("count", [1, 3])
def test_stopping_leaves_no_thread(broker: Broker, tmp_path: Path, count: int) -> None:
    for _ in range(count):
        with node_at(tmp_path, broker) as node:
            node.submit(0)
        assert not node.uplink._thread.is_alive()


def test_a_full_disk_is_told_to_the_caller_and_the_next_request_is_served(broker: Broker, tmp_path: Path) -> None:
    with gateway_at(broker), node_at(tmp_path, broker) as node:
        # SQLite's own limit gives the error that a full disk gives
        [[pages]] = node.journal.database.rows("PRAGMA page_count")
        node.journal.database.rows(f"PRAGMA max_page_count={pages + 2}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            node.submit(0, bytes(100_000))
        assert len(node.outbox) == 0
        assert node.journal.conclude([final(1, 0)]).recorded
        node.submit(1)
        assert node.uplink.wait_until_empty(15, lambda: False)
    assert node.notes.sequences == [1]
