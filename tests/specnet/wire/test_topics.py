"""Topics: what the contract says, and that names from outside never become wildcards or other levels."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specnet.errors import WireError
from specnet.wire import OffloadTopic, Topics, parse_offload_topic, shared_offload_filter

FAST = settings(max_examples=100, deadline=None, database=None)
NAMES = st.text("abcXYZ019._-", min_size=1, max_size=64)
HOSTILE = ["", "a" * 65, "a/b", "+", "#", "a+", "a#", "$SYS", "a b", "ä", "a\n", "a\0", "a\ud800"]


def test_topics_are_those_of_the_contract() -> None:
    topics = Topics("lab", "probe-1")
    assert topics.state == "specnet/v1/lab/probe-1/state"
    assert topics.birth == "specnet/v1/lab/probe-1/birth"
    assert topics.result == "specnet/v1/lab/probe-1/result"
    assert topics.answer == "specnet/v1/lab/probe-1/answer"
    assert topics.command == "specnet/v1/lab/probe-1/cmd"
    assert topics.ping == "specnet/v1/lab/probe-1/ping"
    assert topics.offload("0123abcd", 2) == "specnet/v1/lab/probe-1/offload/0123abcd/2"
    assert shared_offload_filter("gateways", "lab") == "$share/gateways/specnet/v1/lab/+/offload/+/+"
    assert shared_offload_filter("gateways") == "$share/gateways/specnet/v1/+/+/offload/+/+"


@FAST
@given(site=NAMES, device=NAMES, bundle=NAMES, split=st.integers(0, 63))
def test_a_topic_is_taken_apart_into_what_it_was_made_of(site: str, device: str, bundle: str, split: int) -> None:
    topic = Topics(site, device).offload(bundle, split)
    assert parse_offload_topic(topic) == OffloadTopic(site, device, bundle, split)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_everywhere(name: str) -> None:
    with pytest.raises(WireError, match="site is 1 to 64"):
        Topics(name, "probe")
    with pytest.raises(WireError, match="device is 1 to 64"):
        Topics("lab", name)
    with pytest.raises(WireError, match="bundle is 1 to 64"):
        Topics("lab", "probe").offload(name, 0)
    with pytest.raises(WireError, match="group is 1 to 64"):
        shared_offload_filter(name)
    if name != "+":  # every site
        with pytest.raises(WireError, match="site is 1 to 64"):
            shared_offload_filter("group", name)
    for topic in (
        f"specnet/v1/{name}/d/offload/b/0",
        f"specnet/v1/s/{name}/offload/b/0",
        f"specnet/v1/s/d/offload/{name}/0",
    ):
        with pytest.raises(WireError):
            parse_offload_topic(topic)


@pytest.mark.parametrize("split", ["", "-1", "64", "1.0", "00001", "٣", "+", "x", " 1", "1e1"])
def test_splits_that_are_no_small_number_are_refused(split: str) -> None:
    with pytest.raises(WireError, match="split is 0 to 63"):
        parse_offload_topic(f"specnet/v1/s/d/offload/b/{split}")


@pytest.mark.parametrize("split", [-1, 64])
def test_no_topic_is_made_for_an_impossible_split(split: int) -> None:
    with pytest.raises(WireError, match=f"split is 0 to 63, got {split}"):
        Topics("s", "d").offload("b", split)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "/",
        "specnet/v1/s/d/state",
        "specnet/v1/s/d/result/b/0",
        "specnet/v2/s/d/offload/b/0",
        "other/v1/s/d/offload/b/0",
        "specnet/v1/s/d/offload/b",
        "specnet/v1/s/d/offload/b/0/0",
        "/specnet/v1/s/d/offload/b/0",
    ],
)
def test_other_topics_are_no_requests(topic: str) -> None:
    with pytest.raises(WireError, match="not a topic of requests"):
        parse_offload_topic(topic)


@FAST
@given(st.text(max_size=100))
def test_random_text_raises_nothing_but_wire_errors(topic: str) -> None:
    with contextlib.suppress(WireError):
        parse_offload_topic(topic)
    with contextlib.suppress(WireError):
        parse_offload_topic(f"specnet/v1/s/d/offload/{topic}")
