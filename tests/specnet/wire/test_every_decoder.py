"""Every decoder of what comes over the network, with damaged inputs: its own error or something whole, no warning."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_fuzzing import mutate
from support_wire import DECODERS, Decoder

FAST = settings(max_examples=150, deadline=None, database=None)


@pytest.fixture(params=sorted(DECODERS))
def decoder(request: pytest.FixtureRequest) -> Decoder:
    found: Decoder = DECODERS[request.param]
    return found


def test_a_good_input_goes_round(decoder: Decoder) -> None:
    assert decoder.same(decoder.read(decoder.good))


def test_damaged_inputs_are_refused_or_whole(decoder: Decoder) -> None:
    chance = random.Random(5)
    refused = 0
    for _ in range(1000):
        data = mutate([decoder.good], [b"\xc0", b"\xff" * 4, b"\xdd\xff\xff\xff\xff"], chance, 600)
        try:
            found = decoder.read(data)
        except decoder.errors:
            refused += 1
        else:
            assert decoder.same(found)
    assert refused > 500


@pytest.mark.parametrize("name", sorted(DECODERS))
def test_any_bytes(name: str) -> None:
    decoder = DECODERS[name]

    @FAST
    @given(st.binary(max_size=300))
    def check(data: bytes) -> None:
        try:
            found = decoder.read(data)
        except decoder.errors:
            return
        assert decoder.same(found)

    check()
