"""What goes wrong in the field: each fault has a beginning and an end, and the plant is whole again after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from specnet.demo.endurance.plant import LINK, Plant
from specnet.profiles import Quantiles

DELAY_MS = 300.0
SLOW_BITS_S = 10_000.0


@dataclass(frozen=True)
class Fault:
    """One kind of trouble.

    Parameters
    ----------
    name
        For reports.
    begin, end
        What happens, and how it is put right.
    on_link
        Whether it is the link's; one of those can come at the same time as one of the processes'.
    kills_device
        Whether the device is gone until the end.
    needs_small_disk
        Whether it can only be tried where `SmallDisk` is mounted.
    """

    name: str
    begin: Callable[[Plant], None]
    end: Callable[[Plant], None]
    on_link: bool = False
    kills_device: bool = False
    needs_small_disk: bool = False


def _delayed(plant: Plant) -> None:
    level = Quantiles((DELAY_MS,) * len(LINK.round_trip_ms.values))
    plant.link.reshape(msgspec.structs.replace(LINK, round_trip_ms=level))


def _throttled(plant: Plant) -> None:
    plant.link.reshape(msgspec.structs.replace(LINK, uplink_bits_s=SLOW_BITS_S, downlink_bits_s=SLOW_BITS_S))


def _as_it_was(plant: Plant) -> None:
    plant.link.reshape(LINK)


def _nothing(plant: Plant) -> None:
    """Leave it to whoever lost a connection to make it again."""


FAULTS = (
    Fault("broker killed", lambda plant: plant.broker.kill(), lambda plant: plant.broker.restart()),
    Fault("gateway killed", Plant.kill_gateway, Plant.start_gateway),
    Fault("device killed", lambda plant: plant.device.kill(), Plant.start_device, kills_device=True),
    Fault("disk full", lambda plant: plant.disk.fill(), lambda plant: plant.disk.free(), needs_small_disk=True),
    Fault("link delays 300 ms", _delayed, _as_it_was, on_link=True),
    Fault("link throttled to 10 kbit/s", _throttled, _as_it_was, on_link=True),
    Fault("link stalls", lambda plant: plant.link.stall(), lambda plant: plant.link.resume(), on_link=True),
    Fault("link cut inside a packet", lambda plant: plant.link.cut_packet(), _nothing, on_link=True),
)
"""All kinds."""
