"""How long an answer takes, as a distribution: computing here, sending, waiting and computing there.

Legend: n spectra, E exits, K stages, s split point, d draws a spectrum, m = n d moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specnet.errors import ConfigurationError
from specnet.profiles import DeviceProfile, GatewayProfile, LinkProfile, Quantiles
from specnet.tuning.options import Option

MOMENTS = 2048
"""Draws of all random times, spread over the spectra."""
SEED = 0
MOST_TRIES = 20
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Conditions:
    """What a deployment runs on.

    Parameters
    ----------
    device, link, gateway
        Profiles; without one of a gateway nothing waits there and its segments take what they take on the device.
    spectra_per_hour
        Spectra that one device takes.
    gateway_requests_s
        Requests a second that all devices together send to a gateway: with that load its queue is read from the
        profile.
    """

    device: DeviceProfile
    link: LinkProfile
    gateway: GatewayProfile | None = None
    spectra_per_hour: float = 3600.0
    gateway_requests_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.spectra_per_hour < 1e9:
            raise ConfigurationError(f"spectra per hour are above 0 and below 1e9, got {self.spectra_per_hour}")
        if not 0 <= self.gateway_requests_s < 1e9:
            raise ConfigurationError(f"requests a second are from 0 to below 1e9, got {self.gateway_requests_s}")


@dataclass(frozen=True)
class PathTimes:
    """Times of one option under some conditions, drawn once so that candidates are compared on equal luck.

    Parameters
    ----------
    rows
        ``(m,)`` the spectrum of each moment.
    local_ms
        ``(E, m)`` until exit k has answered on the device; behind the split it stays at that of exit s.
    remote_ms
        ``(E, m)`` what comes on top when exit k answers on the gateway; 0 up to the split.
    air_s
        ``(n,)`` seconds that each request keeps the link busy, second attempts not counted.
    link_bytes
        ``(n,)`` bytes of each request on the link: payload, and overhead for each piece that it is cut into.
    tries
        Mean number of attempts a request.
    busy_us
        Mean microseconds of computing on the device up to each exit, encoding included behind the split; ``(E,)``.
    luck
        Two uniform draws ``(2, m)`` for waiting in front of the link.
    """

    rows: NDArray[np.int64]
    local_ms: Floats
    remote_ms: Floats
    air_s: Floats
    link_bytes: Floats
    tries: float
    busy_us: Floats
    luck: Floats


def draw_times(option: Option, conditions: Conditions) -> PathTimes:
    """Draw all times of an option.

    Raises
    ------
    ConfigurationError
        When a profile has no time of a segment or codec that the option needs.
    """
    device, link = conditions.device, conditions.link
    rng = np.random.default_rng(SEED)
    n, n_exits = option.table.n_spectra, option.table.n_exits
    draws = max(1, MOMENTS // n)
    rows = np.repeat(np.arange(n), draws) if n <= MOMENTS else rng.permutation(n)[:MOMENTS]
    m = len(rows)
    local, remote = np.zeros((n_exits, m)), np.zeros((n_exits, m))
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
        sizes = [int(size) for size in option.n_bytes]
        air = np.array([link.air_time_s(size) for size in sizes])
        on_link = np.array([size + link.overhead_bytes * link.messages(size) for size in sizes], dtype=np.float64)
        attempts = np.minimum(rng.geometric(1.0 - link.loss, m), MOST_TRIES) - 1
        way = encoding / 1e3 + link.round_trip_ms.sample(rng, m) + 1e3 * air[rows]
        way += attempts * (1e3 * link.retry_s + 1e3 * air[rows])
        way += _queue(conditions).sample(rng, m)
        for exit_index in range(option.split + 1, n_exits):
            way = way + _gateway_segment(conditions, exit_index).sample(rng, m) / 1e3
            remote[exit_index] = way
    return PathTimes(rows, local, remote, air, on_link, tries, busy, rng.random((2, m)))


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
        Bytes a spectrum on the link on average, overhead, pieces and second attempts counted.
    """

    p50_ms: float
    p95_ms: float
    mean_ms: float
    energy_mj: float
    link_share: float
    link_bytes: float


def cost_of(option: Option, times: PathTimes, exit_index: NDArray[np.int64], conditions: Conditions) -> Cost:
    """Compute what leaving at exits ``(n,)`` takes.

    In front of the link requests wait for one another as in an M/D/1 queue: a share of them as large as the link's load
    waits, exponentially, ``service / (2 (1 - load))`` on average.
    """
    link = conditions.link
    sent = exit_index > option.split
    service = times.air_s * times.tries / link.duty_cycle
    rate = conditions.spectra_per_hour / 3600.0
    load = rate * float((service * sent).mean())
    taken = exit_index[times.rows]
    moments = np.arange(len(times.rows))
    total = times.local_ms[taken, moments] + times.remote_ms[taken, moments]
    busy_us = float(times.busy_us[exit_index].mean())
    radio_s = float((times.air_s * sent).mean()) * times.tries
    energy = conditions.device.millijoules(busy_us) + 1e3 * link.transmit_watts * radio_s
    carried = float((times.link_bytes * sent).mean()) * times.tries
    if load >= 1:
        return Cost(np.inf, np.inf, np.inf, energy, load, carried)
    if load > 0:
        mean_wait = float((service * sent).sum() / sent.sum()) / (2 * (1 - load))
        waits = (times.luck[0] < load) * -np.log1p(-times.luck[1]) * 1e3 * mean_wait
        total = total + waits * (taken > option.split)
    ranks = [round(share * (len(total) - 1)) for share in (0.5, 0.95)]
    ordered = np.partition(total, ranks)  # several times as quick as np.quantile, and there are thousands of candidates
    return Cost(float(ordered[ranks[0]]), float(ordered[ranks[1]]), float(total.mean()), energy, load, carried)


def _segment(device: DeviceProfile, index: int) -> Quantiles:
    if str(index) not in device.segments_us:
        raise ConfigurationError(
            f"device profile {device.name} has no time of segment {index}, it has {', '.join(device.segments_us)}; "
            "make one with the bundle of this run"
        )
    return device.segments_us[str(index)]


def _codec(device: DeviceProfile, option: Option) -> Quantiles:
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


def _queue(conditions: Conditions) -> Quantiles:
    """Find the waiting at the gateway under the load that is nearest from above; none without load or profile."""
    gateway, rate = conditions.gateway, conditions.gateway_requests_s
    if gateway is None or rate == 0 or not gateway.loads:
        return Quantiles.constant(0.0)
    enough = [load for load in gateway.loads if load.requests_s >= rate]
    if not enough:
        raise ConfigurationError(
            f"gateway profile {gateway.name} was measured up to {gateway.loads[-1].requests_s:g} requests a second, "
            f"{rate:g} are to come"
        )
    return enough[0].queue_ms
