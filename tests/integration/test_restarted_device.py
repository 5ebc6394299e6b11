"""SIGKILL of the device: what it had recorded as pending is finished after its restart."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from support_broker import Broker
from support_gateway import GatewayProcess
from support_path import Board, Node, check_gateway_labels, make_recording, make_store

N = 120


def test_requests_of_earlier_boots_are_finished_and_keep_their_ids(any_broker: Broker, tmp_path: Path) -> None:
    first_part, second_part = make_recording(N, seed=1), make_recording(N, seed=2)
    with GatewayProcess(make_store(tmp_path), any_broker) as gateway:
        with Board(first_part, tmp_path) as board, Node(tmp_path, any_broker, board) as killed:
            killed.is_under_way()
            gateway.kill()
            killed.misses_an_answer()
            killed.signal(signal.SIGKILL)
            killed.wait()
        assert len(killed.finals) < N, "it was killed too late to matter"
        gateway.start()
        with Board(second_part, tmp_path) as board, Node(tmp_path, any_broker, board) as again:
            again.finish()

    pending = ids(killed.of_type("provisional")) - ids(killed.finals)
    assert pending
    assert again.of_type("ready")[0]["pending"] >= len(pending)
    assert ids(again.of_type("ready"), "boot") == {(2,)}
    # what was said just before the kill is said again, and named so
    finals = [record for record in again.finals if record["boot"] == 1 and "repeated" not in record["flags"]]
    assert pending <= ids(finals), "nothing that was recorded as pending is lost"
    assert ids(again.finals) >= {(2, sequence) for sequence in range(N)}
    for process in (killed, again):
        counted = Counter((record["boot"], record["sequence"]) for record in process.finals)
        assert set(counted.values()) == {1}, "ids are unique"
    assert again.summary["lost"] == 0
    # between its answer and the end of the transaction a killed device may have said it already; then it says the same
    for repeated in ids(killed.finals) & ids(finals):
        assert label_of(repeated, killed.finals) == label_of(repeated, finals)
    check_gateway_labels(first_part, {record["sequence"]: record["label"] for record in finals})
    from_gateway = {record["sequence"]: record["label"] for record in again.from_gateway if record["boot"] == 2}
    assert sorted(from_gateway) == second_part.uncertain
    check_gateway_labels(second_part, from_gateway)


def ids(records: Iterable[dict[str, Any]], *names: str) -> set[tuple[int, ...]]:
    return {tuple(record[name] for name in names or ("boot", "sequence")) for record in records}


def label_of(key: tuple[int, ...], records: Iterable[dict[str, Any]]) -> int:
    [label] = {record["label"] for record in records if (record["boot"], record["sequence"]) == key}
    return int(label)
