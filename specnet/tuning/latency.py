"""How long an answer takes, as a distribution: computing here, sending, waiting and computing there.

Legend: n spectra, E exits, K stages, s split point, d draws a spectrum, m = n d moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specnet.errors import ConfigurationError
from specnet.profiles import DeviceProfile, GatewayProfile, LinkProfile, Quantiles
from specnet.tuning.options import Placed
from specnet.wire import MAX_PAYLOAD_BYTES, Answer, encode

MOMENTS = 2048
"""Draws of all random times, spread over the spectra."""
SEED = 0
MOST_TRIES = 20
RESULT_BYTES = 170
"""Payload of a `specnet.wire.Result` with names of usual length."""
Floats = NDArray[np.float64]
NOTHING = Quantiles.constant(0.0)


@dataclass(frozen=True)
class Conditions:
    """What a deployment runs on.

    Parameters
    ----------
    device, link, gateway
        Profiles; without one of a gateway nothing waits there, decoding and answering take nothing and its segments
        what they take on the device.
    spectra_per_hour
        Spectra that one device takes.
    gateway_requests_s
        Requests a second that all devices together send to a gateway: with that load its queue is read from the
        profile.
    path_ms
        What brokers and MQTT clients add to the link's round trip where the profile does not hold them.
    answer_bytes
        Payload of the answer that a device publishes for whoever wants to know, once a spectrum; 0 where it publishes
        none. Over LoRa it never does.
    """

    device: DeviceProfile
    link: LinkProfile
    gateway: GatewayProfile | None = None
    spectra_per_hour: float = 3600.0
    gateway_requests_s: float = 0.0
    path_ms: Quantiles = NOTHING
    answer_bytes: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.spectra_per_hour < 1e9:
            raise ConfigurationError(f"spectra per hour are above 0 and below 1e9, got {self.spectra_per_hour}")
        if not 0 <= self.gateway_requests_s < 1e9:
            raise ConfigurationError(f"requests a second are from 0 to below 1e9, got {self.gateway_requests_s}")
        if not 0 <= self.answer_bytes <= MAX_PAYLOAD_BYTES:
            raise ConfigurationError(f"an answer has 0 to {MAX_PAYLOAD_BYTES} bytes, got {self.answer_bytes}")

    @property
    def answer_air_s(self) -> float:
        """Seconds that an answer keeps the link busy."""
        return self.link.air_time_s(self.answer_bytes) if self.publishes_answers else 0.0

    @property
    def answer_link_bytes(self) -> float:
        """Bytes of an answer on the link, overhead counted."""
        if not self.publishes_answers:
            return 0.0
        return self.answer_bytes + self.link.overhead_bytes * self.link.messages(self.answer_bytes)

    @property
    def publishes_answers(self) -> bool:
        """Whether answers go over the link."""
        return self.answer_bytes > 0 and self.link.lora is None


@dataclass(frozen=True)
class PathTimes:
    """Times of one option under some conditions, drawn once so that candidates are compared on equal luck.

    Parameters
    ----------
    rows
        ``(m,)`` the spectrum of each moment, in random order: moments follow one another as spectra do on a device.
    local_ms
        ``(E, m)`` until exit k has answered on the device; behind the split it stays at that of exit s.
    making_ms
        ``(m,)`` from that answer until the request is at the link.
    flush_ms
        ``(m,)`` until it is safe on the device's disk, at the same time as it is sent: no result counts before.
    half_ms
        ``(m,)`` delay of the link, each way.
    late_ms
        ``(m,)`` by which losses make a request late.
    gateway_ms
        ``(E, m)`` from a request's arrival until exit k has answered there; 0 up to the split.
    air_s
        ``(n,)`` seconds that each request keeps the link busy, second attempts not counted.
    link_bytes
        ``(n,)`` bytes of each request on the link: payload, and overhead for each piece that it is cut into.
    tries
        Mean number of attempts a request.
    busy_us
        Mean microseconds of computing on the device up to each exit, encoding included behind the split; ``(E,)``.
    """

    rows: NDArray[np.int64]
    local_ms: Floats
    making_ms: Floats
    flush_ms: Floats
    half_ms: Floats
    late_ms: Floats
    gateway_ms: Floats
    air_s: Floats
    link_bytes: Floats
    tries: float
    busy_us: Floats


def draw_times(option: Placed, conditions: Conditions, moments: int = MOMENTS) -> PathTimes:
    """Draw all times of an option.

    Losses and the link's delays, which make the tail, come in their exact shares and in random order: 20 losses in
    2,048 messages, and not 20 give or take 5.

    Parameters
    ----------
    option, conditions
        What is deployed, and on what.
    moments
        Draws of all random times, at least one a spectrum unless there are more of these.

    Raises
    ------
    ConfigurationError
        When a profile has no time of a segment or codec that the option needs.
    """
    device, link = conditions.device, conditions.link
    rng = np.random.default_rng(SEED)
    n, n_exits = option.table.n_spectra, option.table.n_exits
    draws = max(1, moments // n)
    rows = rng.permutation(np.repeat(np.arange(n), draws))[:moments]
    m = len(rows)
    local, gateway = np.zeros((n_exits, m)), np.zeros((n_exits, m))
    making, flush, half, late = np.zeros(m), np.zeros(m), np.zeros(m), np.zeros(m)
    spent = device.preprocessing_us.sample(rng, m)
    busy = np.zeros(n_exits)
    for exit_index in range(n_exits):
        if exit_index <= option.split:
            spent = spent + _segment(device, exit_index).sample(rng, m) + device.policy_us.sample(rng, m)
        local[exit_index], busy[exit_index] = spent / 1e3, spent.mean()
    air, on_link, tries = np.zeros(n), np.zeros(n), 1.0 / (1.0 - link.loss)
    if option.sends:
        encoding = _codec(device, option).sample(rng, m)
        busy[option.split + 1 :] += encoding.mean()
        making = encoding / 1e3
        flush = np.zeros(m) if device.outbox_us is None else device.outbox_us.sample(rng, m) / 1e3
        sizes = [int(size) for size in option.n_bytes]
        air = np.array([link.air_time_s(size) for size in sizes])
        on_link = np.array([size + link.overhead_bytes * link.messages(size) for size in sizes], dtype=np.float64)
        attempts = _failed_attempts(link.loss, _even_places(rng, m))
        half = link.round_trip_ms.at(_even_places(rng, m)) / 2
        late = attempts * (1e3 * link.retry_s + 1e3 * air[rows])
        there = (
            _handling(conditions).sample(rng, m) / 1e3
            + _queue(conditions).sample(rng, m)
            + conditions.path_ms.sample(rng, m)
        )
        for exit_index in range(option.split + 1, n_exits):
            there = there + _gateway_segment(conditions, exit_index).sample(rng, m) / 1e3
            gateway[exit_index] = there
    return PathTimes(rows, local, making, flush, half, late, gateway, air, on_link, tries, busy)


def _even_places(rng: np.random.Generator, m: int) -> Floats:
    """Places ``(m,)`` in 0..1, one in each of m equal parts, in random order."""
    places: Floats = (rng.permutation(m) + rng.random(m)) / m
    return places


def _failed_attempts(loss: float, places: Floats) -> Floats:
    """Count the attempts before the one that gets through, each lost with probability `loss`: geometric quantiles."""
    if loss == 0:
        return np.zeros(len(places))
    failed: Floats = np.minimum(np.floor(np.log1p(-places) / np.log(loss)), MOST_TRIES - 1)
    return failed


@dataclass(frozen=True)
class Cost:
    """What a candidate takes.

    Parameters
    ----------
    p50_ms, p95_ms, mean_ms
        From counts to the final answer; infinite where the link cannot carry the requests.
    energy_mj
        Millijoules of device and radio for a spectrum, on average; the device's idle power is not in it.
    link_share
        Share of time that the link is busy or must pause for its duty cycle; 1 or more cannot work.
    link_bytes
        Bytes a spectrum that go up the link on average: requests and published answers, with overhead, pieces and
        second attempts.
    """

    p50_ms: float
    p95_ms: float
    mean_ms: float
    energy_mj: float
    link_share: float
    link_bytes: float


def cost_of(option: Placed, times: PathTimes, exit_index: NDArray[np.int64], conditions: Conditions) -> Cost:
    """Compute what leaving at exits ``(n,)`` takes."""
    link = conditions.link
    sent = exit_index > option.split
    tries = times.tries
    service_s = float((times.air_s * sent).mean()) * tries + conditions.answer_air_s
    load = conditions.spectra_per_hour / 3600.0 * service_s / link.duty_cycle
    busy_us = float(times.busy_us[exit_index].mean())
    energy = conditions.device.millijoules(busy_us) + 1e3 * link.transmit_watts * service_s
    carried = float((times.link_bytes * sent).mean()) * tries + conditions.answer_link_bytes
    if load >= 1:
        return Cost(np.inf, np.inf, np.inf, energy, load, carried)
    total = latencies_ms(option, times, exit_index, conditions)
    ranks = [round(share * (len(total) - 1)) for share in (0.5, 0.95)]
    ordered = np.partition(total, ranks)  # several times as quick as np.quantile, and there are thousands of candidates
    return Cost(float(ordered[ranks[0]]), float(ordered[ranks[1]]), float(total.mean()), energy, load, carried)


def latencies_ms(option: Placed, times: PathTimes, exit_index: NDArray[np.int64], conditions: Conditions) -> Floats:
    """Compute milliseconds ``(m,)`` from counts to the final answer at every moment.

    The device takes a spectrum at every moment, evenly. Requests wait in front of the link until it is free of other
    requests and of answers that the device publishes (those of sent spectra are taken to follow their requests). MQTT
    keeps order on a connection, so a request that is delayed or lost holds up those behind it, there and back; over
    LoRa, where messages are on their own, it does not. A result's own air time comes on top where the round trip of
    the profile does not hold it.
    """
    link = conditions.link
    taken = exit_index[times.rows]
    moments = np.arange(len(times.rows))
    began = moments * 3.6e6 / conditions.spectra_per_hour
    total: Floats = times.local_ms[taken, moments]
    goes = taken > option.split
    sent = np.flatnonzero(goes)
    if not len(sent):
        return total
    air = 1e3 * np.where(goes, times.air_s[times.rows], 0.0)
    busy = (air + 1e3 * conditions.answer_air_s) / link.duty_cycle
    ready = began + total + np.where(goes, times.making_ms, 0.0)
    in_front = np.cumsum(busy) - busy
    left = (in_front + np.maximum.accumulate(ready - in_front) + air)[sent]
    ready = ready[sent]
    there = _in_order(link, left + times.half_ms[sent] + times.late_ms[sent])
    back = _in_order(link, there + times.gateway_ms[taken[sent], sent] + times.half_ms[sent] + result_air_ms(link))
    total[sent] = np.maximum(back, ready + times.flush_ms[sent]) - began[sent]
    return total


def usual_answer_bytes(classes: Sequence[str]) -> int:
    """Compute the payload of an answer with names of usual length, and one of these classes."""
    typical = "x" * round(sum(len(name.encode()) for name in classes) / len(classes))
    answer = Answer(
        device="x" * 8,
        boot=10,
        sequence=10_000,
        bundle="0" * 16,
        label=10,
        class_name=typical,
        probability=0.123456,
        exit_index=1,
        final=True,
        source="gateway",
    )
    return len(encode(answer))


def result_air_ms(link: LinkProfile) -> float:
    """Milliseconds that a result keeps the way back busy; on LoRa the round trip holds it."""
    return 0.0 if link.lora is not None else 8e3 * (RESULT_BYTES + link.overhead_bytes) / link.downlink_bits_s


def _in_order(link: LinkProfile, arrivals: Floats) -> Floats:
    return arrivals if link.lora is not None else np.asarray(np.maximum.accumulate(arrivals), dtype=np.float64)


def _segment(device: DeviceProfile, index: int) -> Quantiles:
    if str(index) not in device.segments_us:
        raise ConfigurationError(
            f"device profile {device.name} has no time of segment {index}, it has {', '.join(device.segments_us)}; "
            "make one with the bundle of this run"
        )
    return device.segments_us[str(index)]


def _codec(device: DeviceProfile, option: Placed) -> Quantiles:
    """Time of a codec; of another one at the same split point where this one was not measured."""
    key = f"{option.split}:{option.codec}"
    if key in device.codecs_us:
        return device.codecs_us[key]
    others = [times for name, times in device.codecs_us.items() if name.startswith(f"{option.split}:")]
    if not others:
        raise ConfigurationError(
            f"device profile {device.name} has no time of a codec at split {option.split}, it has "
            f"{', '.join(device.codecs_us)}; make one with the bundle of this run"
        )
    return max(others, key=lambda times: times.p50)


def _gateway_segment(conditions: Conditions, index: int) -> Quantiles:
    gateway = conditions.gateway
    if gateway is None:
        return _segment(conditions.device, index)
    if str(index) not in gateway.segments_us:
        raise ConfigurationError(
            f"gateway profile {gateway.name} has no time of segment {index}, it has {', '.join(gateway.segments_us)}; "
            "make one with the bundle of this run"
        )
    return gateway.segments_us[str(index)]


def _handling(conditions: Conditions) -> Quantiles:
    """Find what a request takes at the gateway apart from its segments; none without a profile that has it."""
    gateway = conditions.gateway
    return NOTHING if gateway is None or gateway.handling_us is None else gateway.handling_us


def _queue(conditions: Conditions) -> Quantiles:
    """Find the waiting at the gateway under the load that is nearest from above; none without load or profile."""
    gateway, rate = conditions.gateway, conditions.gateway_requests_s
    if gateway is None or rate == 0 or not gateway.loads:
        return NOTHING
    enough = [load for load in gateway.loads if load.requests_s >= rate]
    if not enough:
        raise ConfigurationError(
            f"gateway profile {gateway.name} was measured up to {gateway.loads[-1].requests_s:g} requests a second, "
            f"{rate:g} are to come"
        )
    return enough[0].queue_ms
