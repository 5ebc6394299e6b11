"""What the way between device and gateway takes."""

from __future__ import annotations

from typing import Literal

import msgspec

from specnet.errors import ProfileError
from specnet.profiles.fields import check_choice, check_created, check_range, check_text
from specnet.profiles.lora import LoraModulation
from specnet.profiles.quantiles import Quantiles

SOURCES = ("preset", "measured")
LORA_FRAME_BYTES = 255


class LinkProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Delay, rates, losses and overhead of one link.

    Parameters
    ----------
    name, created
        Which link, and when it was measured or written down.
    source
        ``"preset"``: typical figures; ``"measured"``: by ``specnet-device ping``.
    round_trip_ms
        A small message there and its answer back, in milliseconds; `air_time_s` says what a payload adds to it.
    uplink_bits_s, downlink_bits_s
        Bits a second from the device and to it, headers counted. A measured downlink is a lower bound: its
        messages go up at the same time.
    loss
        Share of messages that must be sent again, 0 to below 1.
    overhead_bytes
        What a message has beyond its payload, the headers of all protocol layers counted.
    max_payload_bytes
        Largest payload of one message; 0 for no limit.
    duty_cycle
        Share of time that the device may send; 1 for no limit.
    transmit_watts
        Power that sending takes beside the device's own; 0 where it is not known.
    retry_s
        Seconds until a lost message is sent again.
    lora
        Modulation where the link is LoRa: then its air time counts, and not `uplink_bits_s`.

    Raises
    ------
    ProfileError
        When a field is out of range or two contradict each other.
    """

    kind: Literal["link"] = "link"
    format: Literal[1] = 1
    name: str
    created: str
    source: Literal["preset", "measured"]
    round_trip_ms: Quantiles
    uplink_bits_s: float
    downlink_bits_s: float
    loss: float
    overhead_bytes: int
    max_payload_bytes: int
    duty_cycle: float
    transmit_watts: float
    retry_s: float
    lora: LoraModulation | None = None

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, ("link",))
        check_choice("format", self.format, (1,))
        check_text("name", self.name)
        check_created(self.created)
        check_choice("source", self.source, SOURCES)
        check_range("uplink_bits_s", self.uplink_bits_s, 1.0, 1e13)
        check_range("downlink_bits_s", self.downlink_bits_s, 1.0, 1e13)
        if not 0 <= self.loss < 1:
            raise ProfileError(f"loss is a share from 0 to below 1, got {self.loss!r}")
        check_range("overhead_bytes", self.overhead_bytes, 0, 65_535)
        check_range("max_payload_bytes", self.max_payload_bytes, 0, 1 << 40)
        if not 0 < self.duty_cycle <= 1:
            raise ProfileError(f"duty_cycle is a share above 0 up to 1, got {self.duty_cycle!r}")
        check_range("transmit_watts", self.transmit_watts, 0.0, 1e5)
        check_range("retry_s", self.retry_s, 0.0, 1e6)
        if self.lora is not None:
            check_range("max_payload_bytes of a LoRa link", self.max_payload_bytes, 1, LORA_FRAME_BYTES)
            room = LORA_FRAME_BYTES - self.max_payload_bytes
            check_range("overhead_bytes of a LoRa link", self.overhead_bytes, 0, room)

    def messages(self, payload_bytes: int) -> int:
        """Count the messages that a payload has to be cut into; 1 where there is no limit."""
        if payload_bytes < 0:
            raise ProfileError(f"payload_bytes is 0 or more, got {payload_bytes}")
        if self.max_payload_bytes == 0:
            return 1
        return max(1, -(-payload_bytes // self.max_payload_bytes))

    def air_time_s(self, payload_bytes: int) -> float:
        """Seconds that a payload takes on the link, all messages that it is cut into together; pauses not counted."""
        whole = self.messages(payload_bytes) - 1
        rest = payload_bytes - whole * self.max_payload_bytes
        return whole * self._one_message_s(self.max_payload_bytes) + self._one_message_s(rest)

    def _one_message_s(self, payload_bytes: int) -> float:
        n_bytes = payload_bytes + self.overhead_bytes
        return 8 * n_bytes / self.uplink_bits_s if self.lora is None else self.lora.air_time_s(n_bytes)
