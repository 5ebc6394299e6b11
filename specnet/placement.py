"""Where an operating point splits, and what tuning expects of it on the link that it was tuned for."""

from __future__ import annotations

import msgspec

LARGEST = 1e13


class LinkFigures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A link as a device needs to know it, to tell how much slower its own has become.

    Parameters
    ----------
    name
        Of the link's profile.
    round_trip_ms
        95 % of small messages are there and back within so many milliseconds.
    uplink_bits_s
        Bits a second from the device; over LoRa what its air time makes of a request of this operating point.
    overhead_bytes
        What a message has beyond its payload.
    result_ms
        Milliseconds that a result keeps the way back busy.
    """

    name: str
    round_trip_ms: float
    uplink_bits_s: float
    overhead_bytes: int
    result_ms: float = 0.0

    def __post_init__(self) -> None:
        _check(round_trip_ms=self.round_trip_ms, overhead_bytes=self.overhead_bytes, result_ms=self.result_ms)
        # written so that NaN fails too
        if not 0 < self.uplink_bits_s <= LARGEST:
            raise ValueError(f"uplink_bits_s is above 0 and up to {LARGEST:g}, got {self.uplink_bits_s}")

    def trip_ms(self, n_bytes: float) -> float:
        """Milliseconds within which 95 % of requests of so many bytes have their result, waiting not counted."""
        return self.round_trip_ms + self.result_ms + 8e3 * (n_bytes + self.overhead_bytes) / self.uplink_bits_s


class Prediction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What tuning expects of an operating point.

    Parameters
    ----------
    accuracy
        Share of right answers, 0..1, by the cross-fitted estimate that points are compared by.
    offload_share
        Share of spectra that are sent.
    p95_ms
        From counts to the final answer.
    request_bytes, mean_bytes
        Payload of a request, and a spectrum; 0 where nothing is sent.
    energy_mj
        Of device and radio a spectrum; 0 where it is not known.
    link
        What the point was tuned for.
    """

    accuracy: float
    offload_share: float
    p95_ms: float
    request_bytes: float
    mean_bytes: float
    energy_mj: float
    link: LinkFigures

    def __post_init__(self) -> None:
        for name in ("accuracy", "offload_share"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is a share from 0 to 1, got {share}")
        _check(
            p95_ms=self.p95_ms,
            request_bytes=self.request_bytes,
            mean_bytes=self.mean_bytes,
            energy_mj=self.energy_mj,
        )

    @property
    def trip_ms(self) -> float:
        """Milliseconds within which 95 % of its requests have their result on the link that it was tuned for."""
        return self.link.trip_ms(self.request_bytes)


class Placement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where an operating point splits, and its codec there; at the number of stages nothing is sent.

    `predicted` is None in bundles that were exported before devices chose among their points.
    """

    split: int
    codec: str = ""
    predicted: Prediction | None = None


def _check(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value <= LARGEST:
            raise ValueError(f"{name} is from 0 to {LARGEST:g}, got {value}")
