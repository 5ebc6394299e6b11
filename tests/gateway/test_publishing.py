"""Giving out a model: the announcement says what was signed, and whatever devices send, nothing else goes out."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_broker import Broker, Inbox, connected_session, settings_for, wait_until
from support_gateway import run_cli
from support_models import Release, Releaser

from gateway.publishing import BundlePublisher, PublishedModel, prepare_model
from specnet.errors import BundleError, SignatureError
from specnet.mqtt import Incoming, MqttSession
from specnet.signing import decode_signature, signature_path
from specnet.wire import ModelAnnouncement, ModelState, Part, PartRequest, Topics, decode, encode

TOPICS = Topics("lab", "node-1")


class Recorder:
    """A session that keeps what is published."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes, bool]] = []
        self.filters: list[str] = []

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, expiry_s: int | None = None) -> bool:
        self.published.append((topic, payload, retain))
        return True

    def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        self.filters.append(topic_filter)


@pytest.fixture(scope="module")
def releaser(tmp_path_factory: pytest.TempPathFactory) -> Releaser:
    return Releaser(tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="module")
def release(releaser: Releaser) -> Release:
    return releaser.release(2)


@pytest.fixture(scope="module")
def model(release: Release) -> PublishedModel:
    return prepare_model(release.path, signature_path(release.path), part_bytes=1000)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def publisher(model: PublishedModel, recorder: Recorder) -> BundlePublisher:
    publisher = BundlePublisher(model, "lab")
    publisher.attach(recorder)
    return publisher


def incoming(topic: str, payload: bytes) -> Incoming:
    return Incoming(topic=topic, payload=payload, qos=1, retain=False)


def test_the_announcement_is_what_was_signed(publisher: BundlePublisher, recorder: Recorder, release: Release) -> None:
    publisher.announce()
    [(topic, payload, retain)] = recorder.published
    assert (topic, retain) == (TOPICS.site_model, True)
    announcement = decode(ModelAnnouncement, payload)
    assert decode_signature(announcement.signature) == release.signature
    assert (announcement.sha256, announcement.size) == (release.signature.sha256, len(release.data))
    publisher.withdraw()
    assert recorder.published[-1] == (TOPICS.site_model, b"", True)


def test_parts_make_the_file(publisher: BundlePublisher, recorder: Recorder, release: Release) -> None:
    received = b""
    while len(received) < len(release.data):
        length = min(1000, len(release.data) - len(received))
        request = PartRequest(sha256=release.signature.sha256, offset=len(received), length=length)
        publisher.handle(incoming(TOPICS.model_request, encode(request)))
        topic, payload, retain = recorder.published[-1]
        part = decode(Part, payload)
        assert (topic, retain, part.offset) == (TOPICS.model_part, False, len(received))
        assert len(part.data) == length
        assert part.checksum == zlib.crc32(part.data)
        received += part.data
    assert received == release.data


def test_for_too_much_there_is_an_error_and_of_another_file_nothing(
    publisher: BundlePublisher, recorder: Recorder, release: Release
) -> None:
    for offset, length in ((len(release.data), 1), (len(release.data) - 1, 2), (0, 1001)):
        beyond = PartRequest(sha256=release.signature.sha256, offset=offset, length=length)
        publisher.handle(incoming(TOPICS.model_request, encode(beyond)))
        assert "parts have at most 1000 bytes" in decode(Part, recorder.published.pop()[1]).error
    publisher.handle(incoming(TOPICS.model_request, encode(PartRequest(sha256="0" * 64, offset=0, length=1))))
    assert recorder.published == []
    assert publisher.counters["of_other_models"] == 1


@settings(max_examples=200, deadline=None, database=None)
@given(
    topic=st.sampled_from(
        [
            TOPICS.model_request,
            TOPICS.model_state,
            "specnet/v1/other/node-1/model/get",
            "specnet/v1/lab/+/model/get",
            "x/model/get",
            "x/model/state",
            "",
        ]
    ),
    payload=st.binary(max_size=200),
)
def test_whatever_comes_nothing_goes_out_but_what_was_asked_for(
    model: PublishedModel, topic: str, payload: bytes
) -> None:
    recorder = Recorder()
    publisher = BundlePublisher(model, "lab")
    publisher.attach(recorder)
    publisher.handle(incoming(topic, payload))
    assert recorder.published == []
    assert publisher.states == {}


def test_a_device_speaks_for_itself_alone(publisher: BundlePublisher) -> None:
    state = ModelState(device="node-1", boot=1, name="tiny", version=1, bundle="b", stage="active")
    publisher.handle(incoming(Topics("lab", "node-2").model_state, encode(state)))
    assert publisher.states == {}
    publisher.handle(incoming(TOPICS.model_state, encode(state)))
    assert publisher.states == {"node-1": state}
    assert publisher.counters["refused"] == 1


def test_what_is_wrong_is_not_announced(tmp_path: Path, releaser: Releaser, release: Release) -> None:
    other = releaser.release(3)
    with pytest.raises(SignatureError, match="signed are"):
        prepare_model(release.path, signature_path(other.path))
    with pytest.raises(SignatureError, match="cannot read signature"):
        prepare_model(release.path, tmp_path / "missing.sig")
    stranger = Releaser(tmp_path / "stranger", "stranger")
    with pytest.raises(SignatureError, match="signed with key"):
        prepare_model(release.path, signature_path(release.path), trust=stranger.trust)
    broken = tmp_path / "broken.specnet"
    broken.write_bytes(b"rubbish")
    with pytest.raises(BundleError):
        prepare_model(broken, signature_path(release.path))


def test_over_a_broker_a_late_subscriber_finds_the_announcement(broker: Broker, release: Release) -> None:
    publisher = BundlePublisher(prepare_model(release.path, signature_path(release.path)), "lab")
    session = MqttSession(
        settings_for(broker),
        "publisher",
        on_message=publisher.handle,
        on_up=lambda: publisher.announce() and None,
    )
    publisher.attach(session)
    session.start()
    wait_until(lambda: session.counters["published"], "the announcement is out")
    inbox = Inbox()
    late = connected_session(broker, "late", TOPICS.site_model, TOPICS.model_part, on_message=inbox)
    announcement = decode(ModelAnnouncement, inbox.wait(1)[0].payload)
    request = PartRequest(sha256=announcement.sha256, offset=100, length=50)
    wait_until(lambda: late.publish(TOPICS.model_request, encode(request)), "a request is out")
    assert decode(Part, inbox.wait(2)[1].payload).data == release.data[100:150]
    for one in (late, session):
        one.stop(1.0)


def test_the_command_ends_when_time_is_up_and_names_mistakes(tmp_path: Path, broker: Broker, release: Release) -> None:
    address = f"{broker.host}:{broker.port}"
    words = ["publish", release.path, "--site", "lab", "--broker", address]
    done = run_cli(*words, "--devices", 1, "--timeout", 0.5, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["in_use"] == []
    for wrong, complaint in (
        (["--part-bytes", 0], "--part-bytes is from 256"),
        (["--timeout", "nan"], "--timeout"),
        (["--signature", tmp_path / "x"], "cannot read signature"),
        (["--url", "x" * 2000], "url"),
    ):
        done = run_cli(*words, *wrong)
        assert done.returncode == 2, wrong
        assert complaint in done.stderr
        assert done.stderr.count("\n") == 1
