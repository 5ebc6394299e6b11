"""Messages as msgpack maps, versioned, size-limited, every field checked while decoding.

A request is identified by ``(device, boot, sequence)``: `boot` counts the device's starts, `sequence` the spectra since
then, so a repeated request is recognised without trusting a clock.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.codec import EncodedFeatures, StateLayout
from specnet.errors import CodecError, MessageTooLargeError, MessageVersionError, WireError
from specnet.wire.fields import MAX_COUNTER, MAX_TEXT
from specnet.wire.fields import require as _require
from specnet.wire.fields import require_counters as _check_counters
from specnet.wire.fields import require_names as _check_names
from specnet.wire.fields import require_text as _check_text
from specnet.wire.topics import MAX_SPLIT

__all__ = [
    "MAX_CLASSES",
    "MAX_COUNTER",
    "MAX_LIST",
    "MAX_PAYLOAD_BYTES",
    "MAX_STATE_VALUE",
    "MAX_TEXT",
    "PROTOCOL_VERSION",
    "Birth",
    "Command",
    "Message",
    "OffloadRequest",
    "Provisional",
    "Result",
    "State",
    "check_answer",
    "decode",
    "encode",
    "request_id",
    "state_arrays",
]

PROTOCOL_VERSION = 1
MAX_PAYLOAD_BYTES = 262_144
MAX_CLASSES = 65_536
MAX_STATE = 3 * MAX_CLASSES + 2
"""Numbers of the longest running state of an exit policy."""
MAX_STATE_VALUE = 1e30
MAX_LIST = 64


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all messages; `v` is the protocol's version."""

    v: int = PROTOCOL_VERSION

    def __post_init__(self) -> None:
        _require(self.v == PROTOCOL_VERSION, "protocol version {}, expected {}", self.v, PROTOCOL_VERSION)


class Provisional(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The device's own deepest answer, valid until the gateway's: class index, its probability, exit, known or not."""

    label: int
    probability: float
    exit_index: int
    known: bool = True

    def __post_init__(self) -> None:
        check_answer(self.label, self.probability, self.exit_index)


class OffloadRequest(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask the gateway to finish a spectrum.

    Parameters
    ----------
    site, device, boot, sequence
        Who asks, and for which spectrum.
    bundle, split
        Which model, and how far the device has gone: segments 0..split have run.
    features
        Input of segment ``split + 1``.
    state
        Running state of the exit policy: little-endian float32, or packed by `specnet.codec.StateLayout`.
    packed_state
        Which of both.
    checksum
        CRC-32 of features and state together, where the sender gave one.
    provisional
        The device's answer so far; None when it has run no exit.
    audit
        True for a confident answer sent as a sample: nobody waits for the result.
    deadline_ms
        How long the device will wait from sending; 0 means that it waits for as long as it takes.
    """

    site: str
    device: str
    boot: int
    sequence: int
    bundle: str
    split: int
    features: EncodedFeatures
    state: bytes = b""
    packed_state: bool = False
    checksum: int | None = None
    provisional: Provisional | None = None
    audit: bool = False
    deadline_ms: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_names(site=self.site, device=self.device, bundle=self.bundle)
        _check_counters(boot=self.boot, sequence=self.sequence, deadline_ms=self.deadline_ms)
        _require(0 <= self.split <= MAX_SPLIT, "split is 0 to {}, got {}", MAX_SPLIT, self.split)
        unit = 1 if self.packed_state else 4
        _require(
            len(self.state) % unit == 0 and len(self.state) <= 4 * MAX_STATE,
            "state has {} bytes, expected a multiple of {} up to {}",
            len(self.state),
            unit,
            4 * MAX_STATE,
        )

    @property
    def request_id(self) -> str:
        """``device-boot-sequence``, the correlation of request and result."""
        return request_id(self.device, self.boot, self.sequence)

    def state_array(self, layout: StateLayout) -> NDArray[np.float32]:
        """Return the exit policy's state ``(S,)``.

        Raises
        ------
        WireError
            When it has another length, is not finite, or is so large that it would overflow on the way.
        """
        (found,) = state_arrays([self], layout)
        if isinstance(found, WireError):
            raise found
        return found


class Result(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway's final answer to one request, or the reason why there will be none (`error`).

    `error` is ``""`` for an answer; then `label`, `probability`, `exit_index` and `known` hold it; `known` is false for
    a spectrum that looks like no known class, whose label is the class that it resembles most. An error is final too:
    the device's own answer stands. `macs` were executed on the gateway, `queue_ms` and `compute_ms` spent there.
    """

    device: str
    boot: int
    sequence: int
    bundle: str
    label: int = 0
    probability: float = 0.0
    exit_index: int = 0
    macs: int = 0
    queue_ms: float = 0.0
    compute_ms: float = 0.0
    gateway: str = ""
    error: str = ""
    known: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_names(device=self.device, bundle=self.bundle)
        _check_counters(boot=self.boot, sequence=self.sequence, macs=self.macs)
        check_answer(self.label, self.probability, self.exit_index)
        _require(0 <= self.queue_ms < math.inf and 0 <= self.compute_ms < math.inf, "times are finite and >= 0")
        _check_text(gateway=self.gateway, error=self.error)

    @property
    def request_id(self) -> str:
        """``device-boot-sequence``, the correlation of request and result."""
        return request_id(self.device, self.boot, self.sequence)


def state_arrays(requests: Sequence[OffloadRequest], layout: StateLayout) -> list[NDArray[np.float32] | WireError]:
    """Return the exit policy's state ``(S,)`` of each request, or what is wrong; as `OffloadRequest.state_array`."""
    packed = [request.state for request in requests if request.packed_state]
    unpacked = iter(layout.decode_many(packed) if packed else [])
    found: list[NDArray[np.float32] | WireError] = []
    for request in requests:
        state = next(unpacked) if request.packed_state else np.frombuffer(request.state, dtype="<f4").astype(np.float32)
        found.append(WireError(str(state)) if isinstance(state, CodecError) else _checked_state(state, layout))
    return found


def _checked_state(state: NDArray[np.float32], layout: StateLayout) -> NDArray[np.float32] | WireError:
    largest = np.abs(state).max(initial=0.0)
    if state.size != layout.size or not np.isfinite(largest):
        finite = np.isfinite(state).all()
        return WireError(f"exit state has {state.size} numbers (finite: {finite}), expected {layout.size}")
    if largest > MAX_STATE_VALUE:
        return WireError(f"exit state reaches {largest:.3g}, at most {MAX_STATE_VALUE:g} is accepted")
    return state


class CommandReply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device made of the last command: the how-manieth since its start, its id, and why it was refused."""

    number: int
    obeyed: bool
    id: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        _check_counters(number=self.number)
        _check_text(id=self.id, reason=self.reason)


class State(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a device is there (retained); the last will says ``offline``.

    `command` is there only after a command, so that readers of an earlier release understand all other states.
    """

    device: str
    status: str
    boot: int = 0
    reason: str = ""
    command: CommandReply | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_names(device=self.device)
        _check_counters(boot=self.boot)
        allowed = ("online", "offline", "sleeping")
        _require(self.status in allowed, f"status is one of {allowed}, got {self.status[:40]!r}")
        _check_text(reason=self.reason)


class Birth(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device can do (retained)."""

    device: str
    boot: int
    bundles: tuple[str, ...]
    splits: tuple[int, ...]
    codecs: tuple[str, ...]
    spectrometer: str
    software: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_names(device=self.device)
        _check_counters(boot=self.boot)
        for what, items in (("bundles", self.bundles), ("splits", self.splits), ("codecs", self.codecs)):
            _require(len(items) <= MAX_LIST, f"{what} has {len(items)} items, at most {MAX_LIST}")
        for bundle in self.bundles:
            _check_names(bundle=bundle)
        for split in self.splits:
            _require(0 <= split <= MAX_SPLIT, f"split is 0 to {MAX_SPLIT}, got {split}")
        for codec in self.codecs:
            _check_text(codec=codec)
        _check_text(spectrometer=self.spectrometer, software=self.software)


class Command(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order to a device, answered in its `State`. Fields that are None or left out change nothing.

    The last two are sent only when they are set: a device of an earlier release obeys commands without them, and
    refuses one that has them as a whole, because it has a field that it does not know.

    Parameters
    ----------
    operating_point
        Name of the exit policy to use.
    audit_rate
        Share of confident answers that the gateway checks, 0 to 1.
    restart_acquisition
        Whether to close the spectrometer and open it again.
    id
        Comes back in the reply.
    """

    operating_point: str | None = None
    audit_rate: float | None = None
    restart_acquisition: bool | msgspec.UnsetType = msgspec.UNSET
    id: str | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.id, str):
            _check_text(id=self.id)
        if self.operating_point is not None:
            _check_text(operating_point=self.operating_point)
        if self.audit_rate is not None:
            _require(0 <= self.audit_rate <= 1, f"audit_rate is 0 to 1, got {self.audit_rate}")


class _VersionOnly(msgspec.Struct):
    """The field that messages of every version have."""

    v: int


M = TypeVar("M", bound=Message)
_encoder = msgspec.msgpack.Encoder()
_version_decoder = msgspec.msgpack.Decoder(_VersionOnly)
_decoders: dict[type[Message], msgspec.msgpack.Decoder[Message]] = {}


def request_id(device: str, boot: int, sequence: int) -> str:
    """Correlation of a request and its result."""
    return f"{device}-{boot}-{sequence}"


def encode(message: Message, max_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
    """Payload of a message.

    Raises
    ------
    MessageTooLargeError
        When it is over the limit.
    """
    payload = _encoder.encode(message)
    if len(payload) > max_bytes:
        raise MessageTooLargeError(f"{type(message).__name__} has {len(payload)} bytes, at most {max_bytes} are sent")
    return payload


def decode(kind: type[M], payload: bytes, max_bytes: int = MAX_PAYLOAD_BYTES) -> M:
    """Message out of a payload, every field checked.

    Raises
    ------
    MessageTooLargeError
        Over the limit; nothing is decoded.
    MessageVersionError
        Another protocol version.
    WireError
        Not msgpack, a field missing, unknown, of the wrong type or out of range.
    """
    if len(payload) > max_bytes:
        raise MessageTooLargeError(f"{kind.__name__} has {len(payload)} bytes, at most {max_bytes} are accepted")
    decoder = _decoders.setdefault(kind, msgspec.msgpack.Decoder(kind))
    try:
        message = decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, struct.error, RecursionError) as error:
        _check_version(kind, payload)
        raise WireError(f"not a valid {kind.__name__}: {error}") from error
    assert isinstance(message, kind)
    return message


def _check_version(kind: type[Message], payload: bytes) -> None:
    """Say so when a message is unreadable because it speaks another version."""
    try:
        version = _version_decoder.decode(payload).v
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    if version != PROTOCOL_VERSION:
        raise MessageVersionError(f"{kind.__name__} has protocol version {version}, expected {PROTOCOL_VERSION}")


def check_answer(label: int, probability: float, exit_index: int) -> None:
    """Refuse what no model can say; ValueError, as `fields.require`."""
    _require(0 <= label < MAX_CLASSES, "label is 0 to {}, got {}", MAX_CLASSES - 1, label)
    _require(0 <= probability <= 1 + 1e-6, "probability is 0 to 1, got {}", probability)  # float32 rounding
    _require(0 <= exit_index <= MAX_SPLIT + 1, "exit_index is 0 to {}, got {}", MAX_SPLIT + 1, exit_index)
