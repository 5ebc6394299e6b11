"""What the device's share of the work takes."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from specnet.errors import ProfileError
from specnet.profiles.fields import check_bundle, check_choice, check_created, check_indices, check_range, check_text
from specnet.profiles.quantiles import Quantiles

MAX_WATTS = 1e5
POWER = ("stated", "measured", "unknown")
_CODEC_KEY = re.compile(r"(0|[1-9][0-9]?):[A-Za-z0-9_.-]{1,32}\Z")


class DeviceProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times of single calls (batch 1), memory and power of one device with one bundle.

    Parameters
    ----------
    name, created, software
        Which device, when, and what ran there.
    bundle
        Id of the bundle.
    threads
        Threads of one segment call.
    n_spectra
        Spectra that were run.
    preprocessing_us
        From counts to the first segment's input, in microseconds.
    segments_us
        Each segment by its number, from "0"; in microseconds.
    policy_us
        One decision of the exit policy, in microseconds.
    codecs_us
        Encoding the features of a split, such as "1:int8"; in microseconds.
    outbox_us
        Until a request is safe on the device's disk, in microseconds; None where it was not measured.
    active_watts, idle_watts
        Power of the whole device while it computes and while it waits.
    power
        ``"stated"`` by a person, ``"measured"`` by the processor's own counters, or ``"unknown"``, then both are 0 W.
    memory_bytes
        Resident memory of the process with all segments loaded.

    Raises
    ------
    ProfileError
        When a field is out of range or two contradict each other.
    """

    kind: Literal["device"] = "device"
    format: Literal[1] = 1
    name: str
    created: str
    software: str
    bundle: str
    threads: int
    n_spectra: int
    preprocessing_us: Quantiles
    segments_us: dict[str, Quantiles]
    policy_us: Quantiles
    codecs_us: dict[str, Quantiles]
    active_watts: float
    idle_watts: float
    power: Literal["stated", "measured", "unknown"]
    memory_bytes: int
    outbox_us: Quantiles | None = None

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, ("device",))
        check_choice("format", self.format, (1,))
        check_text("name", self.name)
        check_created(self.created)
        check_text("software", self.software)
        check_bundle(self.bundle)
        check_range("threads", self.threads, 1, 1024)
        check_range("n_spectra", self.n_spectra, 1, 1e9)
        segments = check_indices("segments_us", self.segments_us, (0,))
        for key in self.codecs_us:
            match = _CODEC_KEY.match(key)
            if match is None or int(match[1]) not in segments[:-1]:
                raise ProfileError(
                    f"codecs_us has keys <split>:<codec>, splits 0 to {segments[-1] - 1}; got {key[:80]!r}"
                )
        check_choice("power", self.power, POWER)
        check_range("active_watts", self.active_watts, 0.0, MAX_WATTS)
        check_range("idle_watts", self.idle_watts, 0.0, self.active_watts)
        if (self.power == "unknown") != (self.active_watts == 0):
            raise ProfileError(
                f"active_watts is 0 where power is 'unknown' and more elsewhere, got {self.active_watts!r} "
                f"and {self.power!r}"
            )
        check_range("memory_bytes", self.memory_bytes, 1, 1 << 50)

    def millijoules(self, busy_us: float) -> float:
        """Energy of so many microseconds of computing; 0 where the power is not known."""
        return self.active_watts * busy_us * 1e-3
