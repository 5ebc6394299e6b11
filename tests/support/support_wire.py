"""All decoders of what comes over the network: a good input of each, and how to see that a bad one does no harm."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from specnet.codec import CODECS, StateLayout, encode_features
from specnet.codec.learned import BottleneckInfo, LearnedCodec
from specnet.codec.rans import FrequencyTables
from specnet.codec.spectrum import pack_spectrum, unpack_spectrum
from specnet.errors import BrokerError, CodecError, SpecnetError, WireError
from specnet.mqtt.frames import Frames, Published, read_publish
from specnet.mqtt.packets import PUBLISH, Answered, read_answer, write_puback, write_publish
from specnet.mqtt.window import Outgoing
from specnet.wire import (
    Answer,
    Birth,
    Command,
    OffloadRequest,
    Provisional,
    Result,
    State,
    Unanswered,
    decode,
    encode,
    pack_request,
)
from specnet.wire.models import ModelAnnouncement, ModelState, Part, PartRequest
from specnet.wire.offload import unpack_request
from specnet.wire.topics import OffloadTopic

TOPIC = OffloadTopic(site="s", device="d", bundle="b" * 16, split=1)
"""Of the short form of a request."""
SHAPE = (12, 3)
N_POINTS = 40
MOST_PACKET_BYTES = 400
LAYOUT = StateLayout(((5, True), (2, False), (5, True)))


@dataclass(frozen=True)
class Decoder:
    """A decoder to be tried.

    Parameters
    ----------
    good
        A valid input.
    read
        Decodes an input, or raises one of `errors`.
    same
        Whether the result of a valid input is whole: it goes round.
    errors
        What it may raise.
    """

    good: bytes
    read: Callable[[bytes], Any]
    same: Callable[[Any], bool]
    errors: tuple[type[SpecnetError], ...]


def _message(message: Any) -> Decoder:
    kind = type(message)

    def same(found: Any) -> bool:
        return bool(decode(kind, encode(found)) == found)

    return Decoder(encode(message), lambda data: decode(kind, data), same, (WireError,))


def _plain(name: str) -> Decoder:
    good = encode_features(name, np.random.default_rng(0).normal(size=SHAPE)).data
    return Decoder(good, lambda data: CODECS[name].decode(data, SHAPE), _whole(SHAPE), (CodecError,))


def _whole(shape: tuple[int, ...]) -> Callable[[Any], bool]:
    return lambda found: found.shape == shape and found.dtype == np.float32


def _request() -> OffloadRequest:
    return OffloadRequest(
        site="s",
        device="d",
        boot=3,
        sequence=70_000,
        bundle="b" * 16,
        split=1,
        features=encode_features("int8", np.random.default_rng(0).normal(size=SHAPE)),
        state=bytes(16),
        packed_state=True,
        provisional=Provisional(label=3, probability=0.5, exit_index=1),
        deadline_ms=1000,
    )


def learned(seed: int = 0) -> LearnedCodec:
    """A small codec with numbers out of a hat: 4 patches of 3 positions, 2 latent numbers, 7 symbols."""
    info = BottleneckInfo(file="bottlenecks/b.npz", split=1, shape=SHAPE, patch=3, latent=2, hidden=4, levels=3)
    generator = np.random.default_rng(seed)
    arrays: dict[str, Any] = {
        "encoder": generator.normal(size=(9, 2)),
        "gain": np.ones((4, 2)),
        "offset": np.zeros((4, 2)),
        "spread": np.ones((4, 2)),
        "hidden": generator.normal(size=(6, 4)),
        "place": generator.normal(size=(4, 4)),
        "output": generator.normal(size=(4, 9)),
        "base": generator.normal(size=(4, 9)),
        "table_of": np.zeros((4, 2), dtype=np.uint8),
        "frequencies": FrequencyTables.from_counts(np.ones((2, 7), dtype=np.int64)).frequencies,
    }
    return LearnedCodec.from_arrays(info, arrays)


def _learned() -> Decoder:
    codec = learned()
    good = codec.encode(np.random.default_rng(1).normal(size=SHAPE).astype(np.float32))
    return Decoder(good, lambda data: codec.decode(data, SHAPE), _whole(SHAPE), (CodecError,))


def _state() -> Decoder:
    state = -np.abs(np.random.default_rng(0).normal(size=LAYOUT.size)).astype(np.float32)
    return Decoder(LAYOUT.encode(state), LAYOUT.decode, _whole((LAYOUT.size,)), (CodecError,))


def _spectrum() -> Decoder:
    good = pack_spectrum(np.arange(N_POINTS) ** 2)
    return Decoder(
        good, lambda data: unpack_spectrum(data, N_POINTS), lambda found: found.shape == (N_POINTS,), (CodecError,)
    )


def _short_request() -> Decoder:
    request = msgspec.structs.replace(_request(), checksum=0)
    good = pack_request(request)

    def same(found: OffloadRequest) -> bool:
        # whoever sends writes the right checksum; a wrong one is found when the features are decoded
        again = unpack_request(pack_request(found), TOPIC)
        return msgspec.structs.replace(again, checksum=found.checksum) == found

    return Decoder(good, lambda data: unpack_request(data, TOPIC), same, (WireError,))


def _packets() -> Decoder:
    """Packets of MQTT as the gateway reads them from a broker; what ends in the middle of one counts as refused."""
    message = Outgoing("specnet/v1/s/d/offload/b/1", b"payload", 1, False, 60, "specnet/v1/s/d/result", b"d-1-2")
    good = write_publish(message, 7) + write_puback(8) + b"\x90\x04\x00\x01\x00\x01"

    def read(data: bytes) -> list[Published | Answered]:
        frames = Frames(MOST_PACKET_BYTES)
        found = [read_publish(frame) if frame.kind == PUBLISH else read_answer(frame) for frame in frames.feed(data)]
        if frames.held_bytes:
            raise BrokerError(f"{frames.held_bytes} bytes of a packet that is not complete")
        return found

    def same(found: list[Published | Answered]) -> bool:
        return all(len(one.payload) <= MOST_PACKET_BYTES for one in found if isinstance(one, Published))

    return Decoder(good, read, same, (BrokerError,))


DECODERS: dict[str, Decoder] = {
    "request": _message(_request()),
    "short-request": _short_request(),
    "result": _message(Result(device="d", boot=1, sequence=2, bundle="b", label=3, probability=0.5, gateway="g")),
    "answer": _message(
        Answer(
            device="d", boot=1, sequence=2, bundle="b", label=3, class_name="calcite", probability=0.5, exit_index=1,
            final=True, source="device", flags=("repeated",),
        )
    ),
    "unanswered": _message(
        Unanswered(device="d", boot=1, sequence=2, outcome="rejected", reason="too bright", flags=("saturated",))
    ),
    "state": _message(State(device="d", status="online", boot=1, reason="switched")),
    "birth": _message(
        Birth(
            device="d", boot=1, bundles=("b",), splits=(0, 1), codecs=("int8",), spectrometer="C12880MA", software="s",
        )
    ),
    "command": _message(Command(operating_point="slow", audit_rate=0.1, restart_acquisition=True, id="x")),
    "announcement": _message(
        ModelAnnouncement(name="m", version=2, size=1000, sha256="0" * 64, part_bytes=4096, signature=b"{}", url="http://h")
    ),
    "part-request": _message(PartRequest(sha256="0" * 64, offset=4096, length=4096)),
    "part": _message(Part(sha256="0" * 64, offset=4096, data=b"abc", checksum=zlib.crc32(b"abc"))),
    "model-state": _message(
        ModelState(device="d", boot=1, name="m", version=2, bundle="b", stage="trial", candidate="m/3", progress=0.5)
    ),
    "float16": _plain("float16"),
    "int8": _plain("int8"),
    "learned": _learned(),
    "exit-state": _state(),
    "spectrum": _spectrum(),
    "packets": _packets(),
}  # fmt: skip
"""By name."""
