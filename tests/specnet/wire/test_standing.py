from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from specnet.wire import PointInForce, State, decode, encode
from specnet.wire.standing import MAX_NAME, MAX_WHY

SINCE = datetime(2026, 7, 1, 12, 30, 15, tzinfo=UTC)


@given(
    st.text(min_size=1, max_size=MAX_NAME), st.integers(0, 2**53 - 1), st.datetimes(timezones=st.just(UTC)), st.text()
)
def test_what_a_state_says_can_be_read_again(name: str, sequence: int, since: datetime, why: str) -> None:
    point = PointInForce(name, sequence, since.replace(microsecond=0), why[:MAX_WHY])
    state = State(device="n", status="online", boot=1, reason=point.to_reason())
    again = PointInForce.from_reason(decode(State, encode(state)).reason)
    if " since spectrum " not in name:
        assert again == point


def test_an_older_reader_that_refuses_unknown_fields_still_reads_it() -> None:
    reason = PointInForce("local", 7, SINCE, "the broker is away for 31 s").to_reason()
    state = State(device="n", status="online", boot=3, reason=reason)
    assert msgspec.msgpack.decode(encode(state)) == {
        "v": 1,
        "device": "n",
        "status": "online",
        "boot": 3,
        "reason": "operating point local since spectrum 7, 2026-07-01T12:30:15+00:00: the broker is away for 31 s",
    }


def test_long_names_and_reasons_are_cut_to_what_a_state_may_have() -> None:
    reason = PointInForce("n" * 1000, 2**53 - 1, SINCE, "w" * 5000).to_reason()
    again = PointInForce.from_reason(State(device="n", status="online", reason=reason).reason)
    assert again is not None
    assert (len(again.name), len(again.why)) == (MAX_NAME, MAX_WHY)


def test_other_reasons_are_not_taken_for_points() -> None:
    for reason in ("", "stopped", "connection lost", "operating point local since spectrum 7, yesterday: why"):
        assert PointInForce.from_reason(reason) is None
