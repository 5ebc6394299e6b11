from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from device.spectrometers.framing import Frame, OverlongFrame, SeparatedFramer

LIMIT = 10


@given(
    st.sampled_from([b"\n", b"\r\n", b"--", b"aab"]),
    st.lists(st.one_of(st.binary(max_size=4), st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"aa", b"b", b"x" * 12]))),
)
def test_frames_are_what_splitting_gives_and_long_ones_are_counted(separator: bytes, pieces: list[bytes]) -> None:
    framer, frames = SeparatedFramer(separator, LIMIT), []
    for piece in pieces:
        frames += framer.feed(piece)
        assert framer.held_bytes <= LIMIT + len(separator) - 1
    *whole, rest = b"".join(pieces).split(separator)
    expected = [Frame(part) if len(part) <= LIMIT else OverlongFrame(len(part)) for part in whole]
    assert frames == expected
    assert framer.reset() == len(rest)
    assert framer.held_bytes == 0
