"""A `LinkProfile` of the way to the broker, by messages of this device to itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from device.config import DeviceConfiguration
from device.profiling.echo import SMALLEST, Echo
from specnet.errors import BrokerError, ConfigurationError
from specnet.profiles import LinkProfile, Quantiles
from specnet.profiles.fields import MAX_TEXT, now
from specnet.profiles.overhead import TCP_IP_BYTES, TLS_RECORD_BYTES, publish_bytes, request_properties_bytes

BURST_S = 0.25
MAX_BURST = 256
BURST_TIMEOUT_S = 60.0
DOWN_PER_UP = 20.0
"""A burst that goes up and down may take so many times as long as one that only goes up."""
FEWEST_BACK = 4
FIRST = 5
"""Messages that are acknowledged before bursts begin, and may be lost before there is no hope."""
_BUNDLE = "0" * 16
_PLACES = "-1-1000"


@dataclass(frozen=True)
class LinkMeasurement:
    """The profile, the round trips in milliseconds of each size of payload, and what the overhead consists of."""

    profile: LinkProfile
    round_trip_ms: dict[int, Quantiles]
    overhead: dict[str, int]


def measure_link(
    configuration: DeviceConfiguration,
    count: int,
    sizes: Sequence[int],
    *,
    timeout_s: float = 5.0,
    progress: Callable[[str], None] = lambda text: None,
) -> LinkMeasurement:
    """Measure round trips, rates and losses over the configured broker.

    The uplink is timed before there is a subscription, from the first publish to the last acknowledgement, by bursts
    that double until one takes `BURST_S`; the downlink by such a burst with all messages coming back, from the first
    arrival to the last.

    Parameters
    ----------
    configuration
        Names broker, site and device.
    count
        Round trips for each size, one after the other.
    sizes
        Bytes of payload; the smallest makes the profile's round trip, the largest the bursts.
    timeout_s
        A message that is not back after so many seconds is lost.
    progress
        Told what is being done.

    Raises
    ------
    BrokerError
        When there is no connection, the broker refuses, or nothing comes back.
    ConfigurationError
        When a size is too small to be known again, or over ``broker.max_payload_bytes``.
    """
    most = configuration.broker.max_payload_bytes
    for size in sizes:
        if not SMALLEST <= size <= most:
            raise ConfigurationError(f"sizes of payloads are from {SMALLEST} to {most} bytes, got {size}")
    overhead = _overhead(configuration)
    per_message = sum(overhead.values())
    smallest, largest = min(sizes), max(sizes)
    with Echo(configuration) as echo:
        progress("acknowledgements")
        delay_s = min(echo.upload(1, smallest, timeout_s) for _ in range(FIRST))
        n, took_s = 1, 0.0
        while took_s < BURST_S and n <= MAX_BURST:
            progress(f"burst of {n} messages up")
            burst, took_s = n, echo.upload(n, largest, BURST_TIMEOUT_S)
            n *= 2
        uplink = _rate(burst * (largest + per_message), took_s, delay_s)
        echo.subscribe(timeout_s)
        trips = {size: _round_trips(echo, count, size, timeout_s, progress) for size in sorted(set(sizes))}
        returning = max(burst, FEWEST_BACK)
        progress(f"burst of {returning} messages up and down")
        arrived = echo.round_trips(returning, largest, timeout_s + DOWN_PER_UP * took_s * returning / burst)
    if not arrived or not all(trips.values()):
        raise BrokerError(f"no message of {largest} bytes came back on {configuration.topics.ping}")
    n_sent = count * len(trips)
    round_trip_ms = {size: Quantiles.of([1e3 * trip for trip in times]) for size, times in trips.items()}
    broker = f"{configuration.broker.host}:{configuration.broker.port}"
    profile = LinkProfile(
        name=f"{configuration.site}/{configuration.device} to {broker}"[:MAX_TEXT],
        created=now(),
        source="measured",
        round_trip_ms=round_trip_ms[smallest],
        uplink_bits_s=uplink,
        downlink_bits_s=_arrival_rate(arrived, largest + per_message),
        loss=(n_sent - sum(map(len, trips.values()))) / n_sent,
        overhead_bytes=per_message,
        max_payload_bytes=0,
        duty_cycle=1.0,
        transmit_watts=0.0,
        retry_s=configuration.uplink.retry_s,
    )
    return LinkMeasurement(profile, round_trip_ms, overhead)


def _round_trips(echo: Echo, count: int, size: int, timeout_s: float, progress: Callable[[str], None]) -> list[float]:
    trips: list[float] = []
    for number in range(count):
        progress(f"{size} bytes: {number} of {count}")
        trips += echo.round_trips(1, size, timeout_s)
        if number + 1 == FIRST and not trips:
            raise BrokerError(f"none of {FIRST} messages of {size} bytes came back within {timeout_s:g} s each")
    return trips


def _rate(n_bytes: int, seconds: float, delay_s: float) -> float:
    """Bits a second; the delay of the last message is no part of the rate, unless it is all that there is."""
    return 8 * n_bytes / (seconds - delay_s if seconds > 2 * delay_s else seconds)


def _arrival_rate(arrived: Sequence[float], n_bytes: int) -> float:
    """Bits a second between arrivals of messages of `n_bytes`: the first one's way there and back is no part of it."""
    span = max(arrived) - min(arrived)
    return 8 * n_bytes * (len(arrived) - 1) / span if span > 0 else 8 * n_bytes / max(arrived)


def _overhead(configuration: DeviceConfiguration) -> dict[str, int]:
    """Bytes that a request of this device has beyond its payload."""
    topics = configuration.topics
    properties = request_properties_bytes(topics.result, configuration.device + _PLACES)
    parts = {
        "MQTT 5 PUBLISH with topic and properties of a request": publish_bytes(
            topics.offload(_BUNDLE, configuration.split or 0), properties, payload_bytes=1000
        ),
        "TCP and IPv4": TCP_IP_BYTES,
    }
    if configuration.broker.tls:
        parts["TLS record"] = TLS_RECORD_BYTES
    return parts
