"""Three gateways share the requests of several devices while they are killed at random and started again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from support_broker import Broker, wait_until
from support_bundle import DeviceSide, Expected, make_bundle, spectra
from support_gateway import DeviceEnd, GatewayProcess

from specnet.wire import OffloadRequest, Result

REPLICAS, DEVICES, ROUNDS, BURST = 3, 6, 6, 10
LINGER_MS, MAX_BATCH = "200", "64"
"""Requests wait so long in a queue that whoever is killed has some."""


class Field:
    """Devices and replicas around one broker.

    Parameters
    ----------
    folder
        For the store.
    broker
        A real one.
    stack
        Ends what is started here.
    """

    def __init__(self, folder: Path, broker: Broker, stack: ExitStack) -> None:
        path = folder / "store" / "hand" / "1" / "model.specnet"
        make_bundle(path)
        self.measured = spectra(ROUNDS * BURST)
        self.sides = [DeviceSide(path, device=f"probe-{n}") for n in range(DEVICES)]
        self.ends = [stack.enter_context(DeviceEnd(broker, device=side.device)) for side in self.sides]
        self.replicas = [
            stack.enter_context(
                GatewayProcess(
                    folder / "store",
                    broker,
                    "--name",
                    f"replica-{n}",
                    SPECNET_GATEWAY_MAX_WAIT_MS=LINGER_MS,
                    SPECNET_GATEWAY_MAX_BATCH=MAX_BATCH,
                )
            )
            for n in range(REPLICAS)
        ]
        for replica in self.replicas:
            replica.wait_healthy()

    def requests(self, device: int, numbers: range) -> list[OffloadRequest]:
        """Requests of a device, each for another spectrum."""
        return [self.sides[device].request(self.measured[n], n, split=n % 3) for n in numbers]

    def expected(self, number: int) -> Expected:
        """The only answer that there may be."""
        return self.sides[0].expected(self.measured[number], split=number % 3)

    def results(self) -> Iterator[Result]:
        """All that has come to any device."""
        for end in self.ends:
            yield from end.results

    def answered(self, device: int, requests: list[OffloadRequest]) -> set[str]:
        """Ids of those requests that have a result."""
        return {request.request_id for request in requests} & {r.request_id for r in self.ends[device].results}


@pytest.fixture
def field(tmp_path: Path, broker: Broker) -> Iterator[Field]:
    with ExitStack() as stack:
        yield Field(tmp_path, broker, stack)


def test_replicas_killed_at_random_lose_nothing_and_say_nothing_twice_differently(field: Field) -> None:
    generator = np.random.default_rng(1)
    open_at_a_kill = 0
    for number in range(ROUNDS):
        numbers = range(number * BURST, (number + 1) * BURST)
        bursts = [field.requests(device, numbers) for device in range(DEVICES)]
        sent = [(device, request) for device, burst in enumerate(bursts) for request in burst]
        # one replica dies somewhere in the burst; every third time two of them do
        moment = int(generator.integers(len(sent) // 4, len(sent)))
        victims = generator.choice(REPLICAS, size=2 if number % 3 == 2 else 1, replace=False)
        for index, (device, request) in enumerate(sent):
            field.ends[device].send(request)
            if index == moment:
                for victim in victims:
                    field.replicas[victim].kill()
                open_at_a_kill += moment + 1 - sum(len(field.answered(d, burst)) for d, burst in enumerate(bursts))
        for device, burst in enumerate(bursts):
            field.ends[device].ask(*burst)
        for victim in victims:
            field.replicas[victim].start()
            field.replicas[victim].wait_healthy()
    assert open_at_a_kill > 0, "nothing was under way when they were killed"
    said: dict[tuple[str, int], set[tuple[object, ...]]] = {}
    for result in field.results():
        answer = (result.label, result.exit_index, result.macs, round(result.probability, 5), result.error)
        said.setdefault((result.device, result.sequence), set()).add(answer)
    expected = {}
    for number in range(ROUNDS * BURST):
        answer = field.expected(number)
        for side in field.sides:
            only = (answer.label, answer.exit_index, answer.macs, round(answer.probability, 5), "")
            expected[side.device, number] = {only}
    assert len(expected) >= 300
    assert said == expected
    assert len({result.gateway for result in field.results()}) == REPLICAS


def test_a_replica_computes_a_request_once_and_sends_the_result_again_as_often_as_it_is_asked(field: Field) -> None:
    for replica in field.replicas[1:]:
        replica.kill()
    last, numbers = field.replicas[0], range(BURST)
    bursts = [field.requests(device, numbers) for device in range(DEVICES)]
    for device, burst in enumerate(bursts):
        field.ends[device].ask(*burst)
    n = DEVICES * BURST
    wait_until(lambda: last.metric("results_total") == n, "all are answered")
    last.mark()
    before = sum(1 for _ in field.results())
    for _ in range(2):
        for device, burst in enumerate(bursts):
            for request in burst:
                field.ends[device].send(request)
    wait_until(lambda: sum(1 for _ in field.results()) >= before + 2 * n, "each is answered twice more")
    assert last.metric("duplicates_total") >= 2 * n
    assert last.metric("requests_total") == 0
    for device, burst in enumerate(bursts):
        for request in burst:
            assert len({result.label for result in field.ends[device].results_of(request)}) == 1
