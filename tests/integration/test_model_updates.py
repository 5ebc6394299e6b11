"""Updates of a running device over a real broker, with everything going wrong that can."""

from __future__ import annotations

import json
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from support_broker import Broker, connected_session, wait_until
from support_gateway import run_cli
from support_http import FileServer
from support_models import TINY, Releaser
from support_updates import (
    DEVICE,
    SITE,
    TOPICS,
    Publisher,
    UpdatedDevice,
    events,
    model_in_use,
    reencoded,
    updated_device,
)

from specnet.wire import ModelAnnouncement, PartRequest, encode


@pytest.fixture(scope="module")
def releaser(tmp_path_factory: pytest.TempPathFactory) -> Releaser:
    return Releaser(tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="module")
def intensity() -> NDArray[np.uint16]:
    with np.load(TINY.with_name("tiny.npz"), allow_pickle=False) as arrays:
        return arrays["intensity"]


@pytest.fixture
def device(
    tmp_path: Path, broker: Broker, releaser: Releaser, intensity: NDArray[np.uint16]
) -> Iterator[UpdatedDevice]:
    with updated_device(tmp_path, broker, releaser, TINY, intensity) as device:
        yield device


def answers(process: object) -> int:
    return len(process.of_type("answer")) + len(process.of_type("provisional"))  # type: ignore[attr-defined]


def test_from_one_command_to_a_confirmed_model_without_a_pause_of_answers(
    broker: Broker, device: UpdatedDevice, releaser: Releaser
) -> None:
    release = releaser.release(2)
    with device.start() as process:
        process.wait_for(lambda: answers(process) >= 3, "answers of the first model")
        assert model_in_use(process) == (1, "factory")
        address = f"{broker.host}:{broker.port}"
        words = ["--site", SITE, "--broker", address, "--trust", releaser.trust, "--devices", 1, "--timeout", 90]
        done = run_cli("publish", release.path, *words, "--json", timeout=120)
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert document["in_use"] == [DEVICE]
        assert document["counters"]["bytes"] == release.signature.size
        process.wait_for(lambda: "confirmed" in events(process), "the new model is confirmed")
        before = answers(process)
        process.wait_for(lambda: answers(process) >= before + 3, "answers of the new model")
        assert events(process) == ["checking", "activated", "confirmed"]
        assert model_in_use(process) == (2, "trial")
        assert [record["boot"] for record in process.of_type("ready")] == [1, 2]
        process.signal(signal.SIGTERM)
        assert process.wait() == 0, process.errors
    with device.start() as again:
        again.wait_for(lambda: again.of_type("ready"), "a new start")
        assert model_in_use(again) == (2, "active")
    # a new device of the site finds the announcement at the broker; this one takes it back
    done = run_cli("publish", release.path, "--site", SITE, "--broker", address, "--withdraw")
    assert done.returncode == 0, done.stderr


def test_the_broker_dies_and_comes_back_in_the_middle(
    broker: Broker, device: UpdatedDevice, releaser: Releaser
) -> None:
    release = releaser.release(2)
    with (
        Publisher(broker, release) as publisher,
        device.start(models__rate_bytes_s=60_000, models__part_bytes=4096) as process,
    ):
        for share in (0.2, 0.5, 0.8):
            process.wait_for(lambda: device.received >= share * release.signature.size, f"{share:.0%}")  # noqa: B023
            broker.kill()
            broker.start()
        publisher.wait_stage("active", 2)
        assert publisher.state is not None
        # nothing that was on disk was asked for twice
        assert sum(publisher.requests[k].offset == publisher.requests[k - 1].offset for k in range(1, 40)) <= 6


def test_killed_in_the_middle_again_and_again_it_goes_on_where_it_was(
    broker: Broker, device: UpdatedDevice, releaser: Releaser
) -> None:
    release = releaser.release(2)
    size = release.signature.size
    with Publisher(broker, release) as publisher:
        for share in (0.25, 0.5, 0.75):
            with device.start(models__rate_bytes_s=50_000, models__part_bytes=4096) as process:
                process.wait_for(lambda: device.received >= share * size, f"{share:.0%}")  # noqa: B023
                process.signal(signal.SIGKILL)
                process.wait()
        with device.start() as process:
            publisher.wait_stage("active", 2)
        given = publisher.publisher.counters["bytes"]
        # at most what was under way at each of the three deaths
        assert size <= given <= size + 3 * 2 * 4096


def test_killed_while_it_checks_and_when_it_has_activated(
    broker: Broker, device: UpdatedDevice, releaser: Releaser
) -> None:
    with Publisher(broker, releaser.release(2)) as publisher:
        for event in ("checking", "activated"):
            with device.start() as process:
                process.wait_for(lambda: event in events(process), event)  # noqa: B023
                process.signal(signal.SIGKILL)
                process.wait()
        with device.start() as process:
            process.wait_for(lambda: process.of_type("ready"), "a start with the new model")
            assert model_in_use(process) == (2, "trial")
            publisher.wait_stage("active", 2)


def test_a_publisher_that_dies_is_waited_for(broker: Broker, device: UpdatedDevice, releaser: Releaser) -> None:
    release = releaser.release(2)
    with device.start(models__rate_bytes_s=50_000, models__part_bytes=4096) as process:
        with Publisher(broker, release):
            process.wait_for(lambda: device.received >= 50_000, "a third")
        with Publisher(broker, release) as publisher:
            publisher.wait_stage("active", 2)
            assert publisher.publisher.counters["bytes"] < release.signature.size


def test_damaged_foreign_and_late_parts_are_asked_for_again(
    broker: Broker, device: UpdatedDevice, releaser: Releaser
) -> None:
    release = releaser.release(2)
    tricks = iter(range(100))

    def spoil(request: PartRequest, payload: bytes) -> list[bytes]:
        data = msgspec.msgpack.decode(payload)["data"]
        trick = next(tricks)
        if trick == 0:  # a bit of the data, a cut message, rubbish, other offsets, another file; then the right one
            flipped = bytes([data[0] ^ 1]) + data[1:]
            wrong = [reencoded(payload, data=flipped), payload[: len(payload) // 2], b"", b"\xff" * 100]
            return [*wrong[:3], payload]
        if trick == 1:
            return [reencoded(payload, offset=request.offset + 1), reencoded(payload, sha256="0" * 64), payload]
        if trick == 2:  # twice: the second is an answer to nothing
            return [payload, payload]
        if trick == 3:
            short = data[:100]
            return [reencoded(payload, data=short, checksum=zlib.crc32(short)), payload]
        return [payload]

    with Publisher(broker, release) as publisher, device.start():
        publisher.spoil = spoil
        publisher.wait_stage("active", 2)


def test_parts_with_right_checksums_of_a_wrong_file_end_in_nothing(
    broker: Broker, device: UpdatedDevice, releaser: Releaser
) -> None:
    release = releaser.release(2)

    def spoil(request: PartRequest, payload: bytes) -> list[bytes]:
        data = bytes(len(msgspec.msgpack.decode(payload)["data"]))
        return [reencoded(payload, data=data, checksum=zlib.crc32(data))]

    with Publisher(broker, release) as publisher, device.start() as process:
        publisher.spoil = spoil
        state = publisher.wait_stage("failed")
        assert "fetched in vain" in state.detail
        publisher.spoil = None
        publisher.wait_stage("active", 2)
        assert events(process)[0] == "failed"


def test_what_a_stranger_signed_is_not_even_fetched(
    tmp_path: Path, broker: Broker, device: UpdatedDevice, releaser: Releaser
) -> None:
    stranger = Releaser(tmp_path / "stranger", "stranger")
    with Publisher(broker, stranger.release(2)) as publisher, device.start() as process:
        state = publisher.wait_stage("refused")
        assert "signed with key" in state.detail
        assert publisher.requests == []
        # and one whose announcement promises another file than was signed
        good = releaser.release(3).signature_document
        lie = msgspec.structs.replace(publisher.model.announcement, version=3, signature=good)
        assert publisher.session.publish(TOPICS.model, encode(lie), retain=True)
        wait_until(lambda: "the signature is for" in (publisher.state.detail if publisher.state else ""), "refused")
        assert publisher.requests == []
        assert model_in_use(process) == (1, "factory")


def test_hostile_announcements_cost_nothing_but_a_remark(
    broker: Broker, device: UpdatedDevice, releaser: Releaser
) -> None:
    release = releaser.release(2)
    hostile = connected_session(broker, "hostile")
    with device.start() as process:
        process.wait_for(lambda: process.of_type("answer"), "answers")
        generator = np.random.default_rng(0)
        for size in (0, 1, 100, 5000, 100_000):
            hostile.publish(TOPICS.site_model, generator.bytes(size), retain=True)
            hostile.publish(TOPICS.model_part, generator.bytes(size))
        process.wait_for(lambda: "refused" in events(process), "a refusal")
        hostile.publish(TOPICS.site_model, b"", retain=True)
        assert hostile.flush(10.0)  # or it could take back what the publisher announces
        with Publisher(broker, release) as publisher:
            publisher.wait_stage("active", 2)
    hostile.stop()


def test_the_version_that_the_device_came_with_is_not_fetched(
    broker: Broker, device: UpdatedDevice, releaser: Releaser
) -> None:
    with Publisher(broker, releaser.release(1)) as publisher, device.start() as process:
        publisher.wait_stage("factory", 1)
        before = answers(process)
        process.wait_for(lambda: answers(process) >= before + 20, "more answers")
        assert publisher.requests == []


def test_an_old_version_is_not_taken_again(broker: Broker, device: UpdatedDevice, releaser: Releaser) -> None:
    with device.start() as process:
        with Publisher(broker, releaser.release(3)) as publisher:
            publisher.wait_stage("active", 3)
        with Publisher(broker, releaser.release(2)) as publisher:
            state = publisher.wait_stage("refused")
            assert "tiny version 2 is older than 3" in state.detail
            assert publisher.requests == []
        assert model_in_use(process)[0] == 3


def test_a_failed_self_test_is_told_and_not_tried_again(
    broker: Broker, device: UpdatedDevice, releaser: Releaser
) -> None:
    with Publisher(broker, releaser.release(2, selftest_error=1.0)) as publisher:
        with device.start() as process:
            state = publisher.wait_stage("refused")
            assert "deviates by" in state.detail
            assert (state.version, state.candidate) == (1, "tiny/2")
            before = answers(process)
            process.wait_for(lambda: answers(process) >= before + 3, "the old model goes on")
        fetched = len(publisher.requests)
        with device.start() as process:
            process.wait_for(lambda: "refused" in events(process), "the refusal is remembered")
            assert "was refused before" in process.of_type("model")[0]["detail"]
        assert len(publisher.requests) == fetched
    with Publisher(broker, releaser.release(3)) as publisher, device.start():
        publisher.wait_stage("active", 3)


def test_two_crashes_before_confirmation_bring_the_old_model_back(
    broker: Broker, device: UpdatedDevice, releaser: Releaser
) -> None:
    with Publisher(broker, releaser.release(2)) as publisher:
        with device.start(models__confirm_after=100_000) as process:
            process.wait_for(lambda: len(process.of_type("ready")) == 2, "the new model is tried")
            process.signal(signal.SIGKILL)
            process.wait()
        with device.start(models__confirm_after=100_000) as process:
            process.wait_for(lambda: process.of_type("answer"), "the second start with the new model")
            assert model_in_use(process) == (2, "trial")
            process.signal(signal.SIGKILL)
            process.wait()
        with device.start(models__confirm_after=100_000) as process:
            process.wait_for(lambda: process.of_type("answer"), "the third start")
            # by then the announcement that still stands may have been refused
            assert model_in_use(process)[0] == 1
            assert events(process)[0] == "rolled_back"
            # the announcement still stands, and is not obeyed again
            state = publisher.wait_stage("refused", 1)
            assert "2 starts did not end in order" in state.detail


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_over_http_on_a_server_that_cuts_connections(
    broker: Broker, device: UpdatedDevice, releaser: Releaser, knows_ranges: bool
) -> None:
    release = releaser.release(2)
    with FileServer({"/models/tiny": release.data}) as server:
        server.knows_ranges = knows_ranges
        server.cut_after = [50_000, 70_000]
        url = server.url("/models/tiny")
        with Publisher(broker, release, url=url) as publisher, device.start(models__url_prefixes=f'["{url}"]'):
            publisher.wait_stage("active", 2)
            assert publisher.requests == []
        assert server.ranges == ([None, "bytes=50000-", "bytes=120000-"] if knows_ranges else server.ranges[:3])


def test_an_address_that_is_not_allowed_is_not_asked(broker: Broker, device: UpdatedDevice, releaser: Releaser) -> None:
    release = releaser.release(2)
    with (
        FileServer({"/tiny": release.data}) as server,
        Publisher(broker, release, url=server.url("/tiny")) as publisher,
    ):
        with device.start():
            publisher.wait_stage("active", 2)
        assert server.ranges == []
        assert publisher.requests


def test_an_announcement_for_the_device_goes_before_one_for_its_site(
    broker: Broker, device: UpdatedDevice, releaser: Releaser
) -> None:
    with (
        Publisher(broker, releaser.release(9)),
        Publisher(broker, releaser.release(4), device=DEVICE) as own,
        device.start() as process,
    ):
        own.wait_stage("active", 4)
        before = answers(process)
        process.wait_for(lambda: answers(process) >= before + 10, "more answers")
        assert model_in_use(process)[0] == 4
        assert isinstance(own.model.announcement, ModelAnnouncement)
