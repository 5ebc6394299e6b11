"""Reading messages: whatever the bytes are, the outcome is a request or a counted refusal."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support_bundle import DeviceSide, make_bundle, spectra
from support_gateway import decoded

from gateway.engine import OnnxEngine
from gateway.intake import RefusedRequest, check_request, read_request, request_key
from gateway.models import ServedModel, prepare
from specnet.bundle import read_bundle
from specnet.mqtt import Incoming
from specnet.wire import OffloadRequest, Topics, encode

# the machine may be busy, and none of these tests is about time
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
REASONS = {"topic", "oversize", "version", "malformed", "foreign", "unknown_bundle", "split", "features", "state"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[ServedModel, OffloadRequest]:
    path: Path = tmp_path_factory.mktemp("bundle") / "b.specnet"
    make_bundle(path)
    return prepare(OnnxEngine(), read_bundle(path), path), DeviceSide(path).request(spectra(1)[0], 1)


def incoming(topic: str, payload: bytes) -> Incoming:
    return Incoming(topic=topic, payload=payload, qos=1, retain=False, correlation=b"c")


def topic_of(request: OffloadRequest) -> str:
    return Topics(request.site, request.device).offload(request.bundle, request.split)


def outcome(message: Incoming, model: ServedModel) -> str:
    try:
        decoded(check_request(read_request(message), message, {model.bundle_id: model}.get))
    except RefusedRequest as refusal:
        return refusal.reason
    return "request"


@unhurried
@given(payload=st.binary(max_size=400))
def test_arbitrary_bytes_are_refused(served, payload: bytes) -> None:
    model, good = served
    assert outcome(incoming(topic_of(good), payload), model) in REASONS


@unhurried
@given(
    document=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=10,
    )
)
def test_any_msgpack_document_is_refused(served, document: object) -> None:
    model, good = served
    assert outcome(incoming(topic_of(good), msgspec.msgpack.encode(document)), model) in REASONS


@unhurried
@given(data=st.data())
def test_a_good_request_with_bytes_changed_is_refused_or_still_whole(served, data: st.DataObject) -> None:
    model, good = served
    payload = bytearray(encode(good))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    assert outcome(incoming(topic_of(good), bytes(payload)), model) in REASONS | {"request"}


@unhurried
@given(
    field=st.sampled_from(list(OffloadRequest.__struct_fields__)),
    value=st.none() | st.integers() | st.text() | st.binary(),
)
def test_a_good_request_with_one_field_of_another_kind_never_breaks_the_reader(
    served, field: str, value: object
) -> None:
    model, good = served
    document = {**msgspec.to_builtins(good, builtin_types=(bytes,)), field: value}
    try:
        payload = msgspec.msgpack.encode(document)
    except OverflowError:
        return
    assert outcome(incoming(topic_of(good), payload), model) in REASONS | {"request"}


@unhurried
@given(topic=st.text(max_size=80) | st.from_regex(r"specnet/v1/[^/]*/[^/]*/offload/[^/]*/[^/]*", fullmatch=True))
def test_any_topic_is_read_or_refused(served, topic: str) -> None:
    model, good = served
    assert outcome(incoming(topic, encode(good)), model) in {"topic", "foreign"} or topic == topic_of(good)


def test_a_good_request_becomes_work(served) -> None:
    model, good = served
    message = incoming(topic_of(good), encode(good))
    work = check_request(read_request(message), message, {model.bundle_id: model}.get)
    assert work.key == request_key(good)
    [task] = decoded(work)
    assert task.features.shape == (8, 4)
    assert task.state.shape == (3,)
    assert (work.topic, work.incoming.correlation) == ("specnet/v1/lab/probe-1/result", b"c")


@pytest.mark.parametrize("field", ["site", "device", "bundle"])
def test_payload_and_topic_must_agree(served, field: str) -> None:
    model, good = served
    other = msgspec.structs.replace(good, **{field: "other"})
    assert outcome(incoming(topic_of(good), encode(other)), model) == "foreign"


def test_size_is_checked_before_anything_is_decoded(served) -> None:
    _, good = served
    with pytest.raises(RefusedRequest, match="has 101 bytes, at most 100") as refusal:
        read_request(incoming(topic_of(good), b"\xff" * 101), 100)
    assert refusal.value.reason == "oversize"
    assert refusal.value.request is None
