"""What a link does to frames: when they leave it, as a function of a `LinkProfile`.

No sockets and no clock inside: times are told.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from typing import Literal

import numpy as np

from specnet.demo.framing import Frame
from specnet.profiles import PROBABILITIES, LinkProfile
from specnet.profiles.overhead import TCP_IP_BYTES

Way = Literal["up", "down"]
WAYS: tuple[Way, Way] = ("up", "down")
MOST_REMEMBERED = 10_000
STRATA = 40


class Shaper:
    """One link with two directions, which all connections share.

    A message (PUBLISH) of p bytes of payload keeps its direction busy for as long as the profile says: up for
    ``link.air_time_s(p)``, down for ``8 (p + overhead_bytes) / downlink_bits_s``. So the overhead, which has MQTT's
    header in it and also headers of TCP, IP and the link layer that a proxy never sees, is charged once for every
    message, and MQTT's header is not charged twice. Other packets (acknowledgements, pings) take their own bytes and
    the headers of TCP and IP, where the overhead has room for these. On LoRa only what somebody waits for takes time:
    it knows none of the other packets, and the profile's round trip has the answer's air time in it.
    After a message the direction rests until its duty cycle is kept.

    The delay is drawn from `round_trip_ms` for each message that somebody waits for, half of it on the way up; the
    result with the same correlation data gets the other half of the same draw, because that is what a round trip is.
    All other packets are delayed by half of the least value. A message that somebody waits for is lost with
    probability `loss` on its way up; TCP brings it again, and all that is behind it has to wait: it is `retry_s` late.
    Order is kept, and a delay does not add to that of the message in front: it runs at the same time.

    Parameters
    ----------
    link
        The profile.
    seed
        Of delays and losses.
    """

    def __init__(self, link: LinkProfile, seed: int = 0) -> None:
        self.link = link
        self._generator = np.random.default_rng(seed)
        self._lock = threading.Lock()
        self._strata: list[int] = []
        self._free_s = dict.fromkeys(WAYS, 0.0)
        self._halves: OrderedDict[bytes, float] = OrderedDict()
        self.bytes: dict[Way, Counter[str]] = {way: Counter() for way in WAYS}
        """Bytes as charged, by `kind_of` the frame."""
        self.messages: dict[Way, Counter[str]] = {way: Counter() for way in WAYS}
        self.lost = 0

    def leaves_at(self, way: Way, frame: Frame, now: float) -> float:
        """Tell when a frame that comes now, in seconds, is through; whoever calls keeps frames in order."""
        with self._lock:
            self._count(way, frame)
            air_s = self.air_time_s(way, frame)
            start = max(now, self._free_s[way])
            self._free_s[way] = start + air_s / (self.link.duty_cycle if way == "up" else 1.0)
            return start + air_s + self._delay_s(way, frame)

    def air_time_s(self, way: Way, frame: Frame) -> float:
        """Seconds that a frame keeps its direction busy, pauses not counted."""
        link = self.link
        if link.lora is not None and not (way == "up" and frame.asks):
            return 0.0
        if frame.payload_bytes is not None and way == "up":
            return link.air_time_s(frame.payload_bytes)
        return 8 * self.charged_bytes(frame) / (link.uplink_bits_s if way == "up" else link.downlink_bits_s)

    def charged_bytes(self, frame: Frame) -> int:
        """Bytes of a frame on the link."""
        overhead = self.link.overhead_bytes
        if frame.payload_bytes is None:
            return len(frame.data) + min(overhead, TCP_IP_BYTES)
        return frame.payload_bytes + overhead * self.link.messages(frame.payload_bytes)

    def _delay_s(self, way: Way, frame: Frame) -> float:
        trip = self.link.round_trip_ms
        if way == "down" and frame.correlation in self._halves:
            return self._halves.pop(frame.correlation)
        if not frame.asks:
            return trip.values[0] / 2e3
        half = self._draw_ms() / 2e3
        if frame.correlation:
            self._halves[frame.correlation] = half
            if len(self._halves) > MOST_REMEMBERED:
                self._halves.popitem(last=False)
        late = 0.0
        while self._generator.random() < self.link.loss:
            self.lost += 1
            late += self.link.retry_s
        return half + late

    def _draw_ms(self) -> float:
        """Draw a round trip; of each `STRATA` in a row every part of the distribution has one, so that few suffice."""
        if not self._strata:
            self._strata = self._generator.permutation(STRATA).tolist()
        place = (self._strata.pop() + self._generator.random()) / STRATA
        return float(np.interp(place, PROBABILITIES, self.link.round_trip_ms.values))

    def _count(self, way: Way, frame: Frame) -> None:
        kind = kind_of(frame)
        self.messages[way][kind] += 1
        self.bytes[way][kind] += self.charged_bytes(frame)


def kind_of(frame: Frame) -> str:
    """Say what a frame is: the fifth word of ``specnet/v1/SITE/DEVICE/KIND``, or ``message`` on other topics.

    ``control`` is what has no payload: acknowledgements, pings, connecting.
    """
    if frame.payload_bytes is None:
        return "control"
    words = frame.topic.split("/")
    return words[4] if len(words) > 4 and words[0] == "specnet" else "message"
