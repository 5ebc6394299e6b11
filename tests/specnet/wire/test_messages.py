"""Messages: what goes round, and that nothing but a valid message comes out of bytes from outside."""

from __future__ import annotations

import contextlib
import zlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specnet.codec import CODECS, EncodedFeatures, StateLayout, encode_features
from specnet.errors import MessageTooLargeError, MessageVersionError, WireError
from specnet.wire import (
    MAX_PAYLOAD_BYTES,
    Answer,
    Birth,
    Command,
    Message,
    OffloadRequest,
    Provisional,
    Result,
    State,
    Unanswered,
    decode,
    encode,
)
from specnet.wire.messages import MAX_CLASSES, MAX_COUNTER, MAX_LIST, MAX_TEXT
from specnet.wire.topics import MAX_SPLIT

FAST = settings(max_examples=60, deadline=None, database=None)
NAMES = st.text("abcXYZ019._-", min_size=1, max_size=64)
COUNTERS = st.integers(0, MAX_COUNTER)
TEXTS = st.text(max_size=MAX_TEXT)
LABELS = st.integers(0, MAX_CLASSES - 1)
PROBABILITIES = st.floats(0, 1)
EXITS = st.integers(0, MAX_SPLIT + 1)
TIMES = st.floats(0, 1e12)
PROVISIONAL = st.builds(Provisional, label=LABELS, probability=PROBABILITIES, exit_index=EXITS)
FEATURES = st.builds(
    lambda codec, seed, shape: encode_features(codec, np.random.default_rng(seed).normal(size=shape)),
    st.sampled_from(sorted(CODECS)),
    st.integers(0, 99),
    st.tuples(st.integers(1, 20), st.integers(1, 8)),
)
MESSAGES: dict[type[Message], st.SearchStrategy[Any]] = {
    OffloadRequest: st.builds(
        OffloadRequest,
        site=NAMES,
        device=NAMES,
        boot=COUNTERS,
        sequence=COUNTERS,
        bundle=NAMES,
        split=st.integers(0, MAX_SPLIT),
        features=FEATURES,
        state=st.integers(0, 30).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)),
        provisional=st.none() | PROVISIONAL,
        audit=st.booleans(),
        deadline_ms=COUNTERS,
    ),
    Result: st.builds(
        Result,
        device=NAMES,
        boot=COUNTERS,
        sequence=COUNTERS,
        bundle=NAMES,
        label=LABELS,
        probability=PROBABILITIES,
        exit_index=EXITS,
        macs=COUNTERS,
        queue_ms=TIMES,
        compute_ms=TIMES,
        gateway=TEXTS,
        error=TEXTS,
    ),
    Answer: st.builds(
        Answer,
        device=NAMES,
        boot=COUNTERS,
        sequence=COUNTERS,
        bundle=NAMES,
        label=LABELS,
        class_name=TEXTS,
        probability=PROBABILITIES,
        exit_index=EXITS,
        final=st.booleans(),
        source=st.sampled_from(["device", "gateway"]),
        flags=st.lists(st.text(max_size=20), max_size=5).map(tuple),
    ),
    Unanswered: st.builds(
        Unanswered,
        device=NAMES,
        boot=COUNTERS,
        sequence=COUNTERS,
        outcome=st.sampled_from(["rejected", "dropped", "lost"]),
        reason=TEXTS,
        flags=st.lists(st.text(max_size=20), max_size=5).map(tuple),
    ),
    State: st.builds(
        State, device=NAMES, status=st.sampled_from(["online", "offline", "sleeping"]), boot=COUNTERS, reason=TEXTS
    ),
    Birth: st.builds(
        Birth,
        device=NAMES,
        boot=COUNTERS,
        bundles=st.lists(NAMES, max_size=4).map(tuple),
        splits=st.lists(st.integers(0, MAX_SPLIT), max_size=4).map(tuple),
        codecs=st.lists(st.text(max_size=20), max_size=4).map(tuple),
        spectrometer=TEXTS,
        software=TEXTS,
    ),
    Command: st.builds(
        Command,
        operating_point=st.none() | TEXTS,
        audit_rate=st.none() | PROBABILITIES,
        restart_acquisition=st.just(msgspec.UNSET) | st.booleans(),
        id=st.just(msgspec.UNSET) | TEXTS,
    ),
}
KINDS = list(MESSAGES)
_features = encode_features("float16", np.ones((3, 2)))
VALID: dict[type[Message], dict[str, Any]] = {
    OffloadRequest: {
        "site": "lab",
        "device": "probe-1",
        "boot": 1,
        "sequence": 2,
        "bundle": "0123456789abcdef",
        "split": 1,
        "features": msgspec.to_builtins(_features, builtin_types=(bytes,)),
        "state": b"\0" * 8,
        "provisional": {"label": 1, "probability": 0.5, "exit_index": 1},
        "audit": False,
        "deadline_ms": 1000,
    },
    Result: {"device": "probe-1", "boot": 1, "sequence": 2, "bundle": "b", "label": 1, "probability": 0.5},
    Answer: {
        "device": "probe-1",
        "boot": 1,
        "sequence": 2,
        "bundle": "b",
        "label": 1,
        "class_name": "quartz",
        "probability": 0.5,
        "exit_index": 1,
        "final": True,
        "source": "device",
    },
    Unanswered: {"device": "probe-1", "boot": 1, "sequence": 2, "outcome": "rejected", "reason": "too bright"},
    State: {"device": "probe-1", "status": "online"},
    Birth: {
        "device": "probe-1",
        "boot": 1,
        "bundles": ["b"],
        "splits": [1],
        "codecs": ["int8"],
        "spectrometer": "simulated",
        "software": "specnet 0",
    },
    Command: {"operating_point": "fast", "audit_rate": 0.5, "restart_acquisition": True, "id": "x"},
}
BAD_NAMES = ["", "a" * 65, "a/b", "+", "#", "a b", "ä", "a\n", "$share", "\0"]
LONG = "x" * (MAX_TEXT + 1)
BAD_COUNTERS = [-1, MAX_COUNTER + 1, 2**64 - 1]
BAD_PROBABILITIES = [-0.1, 1.1, float("nan"), float("inf")]
BAD: list[tuple[type[Message], str, list[Any]]] = [
    (OffloadRequest, "site", BAD_NAMES),
    (OffloadRequest, "device", BAD_NAMES),
    (OffloadRequest, "bundle", BAD_NAMES),
    (OffloadRequest, "boot", BAD_COUNTERS),
    (OffloadRequest, "sequence", BAD_COUNTERS),
    (OffloadRequest, "deadline_ms", BAD_COUNTERS),
    (OffloadRequest, "split", [-1, MAX_SPLIT + 1]),
    (OffloadRequest, "state", [b"abc", b"\0" * 5]),
    (OffloadRequest, "provisional", [{"label": -1, "probability": 0.5, "exit_index": 0}, {}, 3]),
    (OffloadRequest, "provisional", [{"label": 0, "probability": p, "exit_index": 0} for p in BAD_PROBABILITIES]),
    (Result, "device", BAD_NAMES),
    (Result, "bundle", BAD_NAMES),
    (Result, "boot", BAD_COUNTERS),
    (Result, "sequence", BAD_COUNTERS),
    (Result, "macs", BAD_COUNTERS),
    (Result, "label", [-1, MAX_CLASSES]),
    (Result, "probability", BAD_PROBABILITIES),
    (Result, "exit_index", [-1, MAX_SPLIT + 2]),
    (Result, "queue_ms", [-1.0, float("nan"), float("inf")]),
    (Result, "compute_ms", [-1.0, float("nan"), float("inf")]),
    (Result, "gateway", [LONG]),
    (Result, "error", [LONG]),
    (Unanswered, "device", BAD_NAMES),
    (Unanswered, "boot", BAD_COUNTERS),
    (Unanswered, "sequence", BAD_COUNTERS),
    (Unanswered, "outcome", ["", "answered"]),
    (Unanswered, "reason", [LONG]),
    (Unanswered, "flags", [["f"] * (MAX_LIST + 1), [LONG]]),
    (Answer, "device", BAD_NAMES),
    (Answer, "bundle", BAD_NAMES),
    (Answer, "boot", BAD_COUNTERS),
    (Answer, "sequence", BAD_COUNTERS),
    (Answer, "label", [-1, MAX_CLASSES]),
    (Answer, "probability", BAD_PROBABILITIES),
    (Answer, "exit_index", [-1, MAX_SPLIT + 2]),
    (Answer, "class_name", [LONG]),
    (Answer, "source", ["", "cloud"]),
    (Answer, "flags", [["f"] * (MAX_LIST + 1), [LONG]]),
    (State, "device", BAD_NAMES),
    (State, "boot", BAD_COUNTERS),
    (State, "status", ["", "Online", "x" * 1000]),
    (State, "reason", [LONG]),
    (Birth, "device", BAD_NAMES),
    (Birth, "boot", BAD_COUNTERS),
    (Birth, "bundles", [["b"] * (MAX_LIST + 1), *([name] for name in BAD_NAMES)]),
    (Birth, "splits", [[1] * (MAX_LIST + 1), [-1], [MAX_SPLIT + 1]]),
    (Birth, "codecs", [["c"] * (MAX_LIST + 1), [LONG]]),
    (Birth, "spectrometer", [LONG]),
    (Birth, "software", [LONG]),
    (State, "command", [{}, {"number": -1, "obeyed": True}, {"number": 1, "obeyed": True, "reason": LONG}]),
    (Command, "operating_point", [LONG]),
    (Command, "id", [LONG]),
    (Command, "audit_rate", BAD_PROBABILITIES),
]
BAD_CASES = [(kind, field, value) for kind, field, values in BAD for value in values]
FOREIGN: list[Any] = [[1], {"a": 1}, b"bytes", None, True, 1.5, "text", 7, msgspec.msgpack.Ext(3, b"x")]


def _pack(fields: dict[str, Any], **changes: Any) -> bytes:
    return msgspec.msgpack.encode({"v": 1, **fields, **changes})


@pytest.mark.parametrize("kind", KINDS)
@FAST
@given(data=st.data())
def test_what_is_sent_arrives(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(MESSAGES[kind])
    assert decode(kind, encode(message)) == message


@pytest.mark.parametrize("kind", KINDS)
def test_the_examples_of_these_tests_are_valid(kind: type[Message]) -> None:
    message = decode(kind, _pack(VALID[kind]))
    assert msgspec.to_builtins(message)["v"] == 1


@pytest.mark.parametrize(("kind", "field", "value"), BAD_CASES)
def test_every_field_is_checked(kind: type[Message], field: str, value: Any) -> None:
    with pytest.raises(WireError, match=f"not a valid {kind.__name__}"):
        decode(kind, _pack(VALID[kind], **{field: value}))


@pytest.mark.parametrize("kind", KINDS)
def test_foreign_types_are_refused_in_every_field(kind: type[Message]) -> None:
    for field, value in VALID[kind].items():
        allowed = type(value)
        refused = 0
        for foreign in FOREIGN:
            if type(foreign) is allowed or (field in OPTIONAL and foreign is None):
                continue
            if allowed is float and isinstance(foreign, int) and not isinstance(foreign, bool):
                continue  # an integer is a fine float, its range is checked above
            with pytest.raises(WireError):
                decode(kind, _pack(VALID[kind], **{field: foreign}))
            refused += 1
        assert refused >= 6, field


OPTIONAL = {"provisional", "operating_point", "audit_rate"}


@pytest.mark.parametrize("kind", KINDS)
def test_missing_and_unknown_fields_are_refused(kind: type[Message]) -> None:
    with pytest.raises(WireError, match="unknown field"):
        decode(kind, _pack(VALID[kind], surprise=1))
    required = {field.name for field in msgspec.structs.fields(kind) if field.required}
    assert required or kind is Command
    for missing in required:
        with pytest.raises(WireError, match="missing required field"):
            decode(kind, _pack({name: value for name, value in VALID[kind].items() if name != missing}))


def test_fields_of_this_release_travel_only_when_they_are_set() -> None:
    """A device of an earlier release obeys the first and refuses the second as a whole."""
    old = msgspec.msgpack.decode(encode(Command(audit_rate=0.5)))
    assert old == {"v": 1, "operating_point": None, "audit_rate": 0.5}
    new = msgspec.msgpack.decode(encode(Command(restart_acquisition=True, id="a")))
    assert set(new) - set(old) == {"restart_acquisition", "id"}
    assert "command" not in msgspec.msgpack.decode(encode(State(device="probe-1", status="online")))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", [0, 2, 1000])
def test_another_version_says_so_even_when_its_fields_are_unknown(kind: type[Message], version: int) -> None:
    for payload in (_pack(VALID[kind], v=version), msgspec.msgpack.encode({"v": version, "new": "field"})):
        with pytest.raises(MessageVersionError, match=f"protocol version {version}, expected 1"):
            decode(kind, payload)


@pytest.mark.parametrize("kind", KINDS)
def test_too_large_is_refused_in_both_directions(kind: type[Message]) -> None:
    payload = _pack(VALID[kind])
    message = decode(kind, payload, max_bytes=len(payload))
    with pytest.raises(MessageTooLargeError, match=f"{len(payload)} bytes, at most {len(payload) - 1} are accepted"):
        decode(kind, payload, max_bytes=len(payload) - 1)
    sent = len(encode(message))
    with pytest.raises(MessageTooLargeError, match=f"{sent} bytes, at most {sent - 1} are sent"):
        encode(message, max_bytes=sent - 1)


def test_the_limit_holds_without_being_asked_for() -> None:
    features = EncodedFeatures("float32", (1 << 17, 1), b"\0" * (4 << 17), 0)
    request = decode(OffloadRequest, _pack(VALID[OffloadRequest]))
    with pytest.raises(MessageTooLargeError, match=f"at most {MAX_PAYLOAD_BYTES}"):
        encode(msgspec.structs.replace(request, features=features))
    with pytest.raises(MessageTooLargeError, match=f"at most {MAX_PAYLOAD_BYTES}"):
        decode(Command, b"\x80" * (MAX_PAYLOAD_BYTES + 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"codec": "zip it"},
        {"codec": "x" * 1000},
        {"shape": [0, 2]},
        {"shape": [-1, -1]},
        {"shape": [1 << 11, 1 << 11]},
        {"shape": [3]},
        {"shape": [3, 2, 1]},
        {"data": "text"},
        {"crc32": "0"},
        {"extra": 1},
    ],
)
def test_features_are_checked_before_anything_is_decoded(changes: dict[str, Any]) -> None:
    features = {**VALID[OffloadRequest]["features"], **changes}
    with pytest.raises(WireError, match="not a valid OffloadRequest"):
        decode(OffloadRequest, _pack(VALID[OffloadRequest], features=features))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None, database=None)
@given(payload=st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_wire_errors(kind: type[Message], payload: bytes) -> None:
    with contextlib.suppress(WireError):
        assert isinstance(decode(kind, payload), kind)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None, database=None)
@given(data=st.data())
def test_damaged_messages_raise_nothing_but_wire_errors(kind: type[Message], data: st.DataObject) -> None:
    payload = bytearray(_pack(VALID[kind]))
    for position in data.draw(st.lists(st.integers(0, len(payload) - 1), min_size=1, max_size=4)):
        payload[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(payload)))
    with contextlib.suppress(WireError):
        assert isinstance(decode(kind, bytes(payload[:cut])), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_message_is_refused_at_every_length(kind: type[Message]) -> None:
    payload = _pack(VALID[kind])
    for length in range(len(payload)):
        with pytest.raises(WireError):
            decode(kind, payload[:length])
    with pytest.raises(WireError):
        decode(kind, payload + b"\0")


def test_deeply_nested_bytes_do_not_bring_the_reader_down() -> None:
    for opening in (b"\x91", b"\x81\xa1a"):
        with pytest.raises(WireError):
            decode(State, opening * 50_000)


def test_request_and_result_have_the_same_id() -> None:
    request = decode(OffloadRequest, _pack(VALID[OffloadRequest]))
    result = decode(Result, _pack(VALID[Result]))
    assert request.request_id == result.request_id == "probe-1-1-2"


def test_the_running_state_is_little_endian_float32() -> None:
    request = decode(OffloadRequest, _pack(VALID[OffloadRequest], state=np.array([1.5, -2.0], "<f4").tobytes()))
    state = request.state_array(StateLayout(((2, True),)))
    assert state.dtype == np.float32
    np.testing.assert_array_equal(state, [1.5, -2.0])
    state[0] = 7.0  # the caller's own copy
    assert request.state_array(StateLayout(((2, True),)))[0] == 1.5


@pytest.mark.parametrize("state", [[1.0], [1.0, 2.0, 3.0], [1.0, np.nan], [np.inf, 1.0], []])
def test_a_running_state_that_does_not_fit_is_refused(state: list[float]) -> None:
    request = decode(OffloadRequest, _pack(VALID[OffloadRequest], state=np.array(state, "<f4").tobytes()))
    with pytest.raises(WireError, match="expected 2"):
        request.state_array(StateLayout(((2, True),)))


def test_probabilities_of_float32_may_exceed_one_by_rounding() -> None:
    above = float(np.nextafter(np.float32(1), np.float32(2)))
    assert decode(Result, _pack(VALID[Result], probability=above)).probability == above


def test_the_checksum_travels_with_the_features() -> None:
    request = decode(OffloadRequest, _pack(VALID[OffloadRequest]))
    assert request.features.crc32 == zlib.crc32(request.features.data)
