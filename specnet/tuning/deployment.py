"""What tuning decided, as a document: conditions, wishes, the chosen point, what else there was, points to switch to.

``deployment.json`` is what ``specnet export --deployment`` puts into a bundle and ``specnet bench deployment`` checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from specnet.errors import ConfigurationError
from specnet.files import read_bounded, write_json
from specnet.placement import LinkFigures, Placement, Prediction
from specnet.profiles import DeviceProfile, GatewayProfile, LinkProfile, Quantiles
from specnet.tuning.choice import Wishes, choose
from specnet.tuning.latency import Conditions, result_air_ms
from specnet.tuning.options import Option
from specnet.tuning.points import Point

MAX_DEPLOYMENT_BYTES = 64 << 20
CHOSEN, THRIFTY, LOCAL_ONLY, SLOW_LINK = "chosen", "thrifty", "local", "slow-link"
THRIFTY_TOLERANCE = 0.02
"""Accuracy that the thrifty point gives up for bytes."""
SLOWER = 10.0


class Deployment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tuned deployment.

    Parameters
    ----------
    run, data, weights_sha256, n_spectra
        What was tuned: names, hash of the weights, number of calibration spectra.
    device, link, gateway
        Profiles of what it runs on.
    spectra_per_hour, gateway_requests_s, answer_bytes
        Load, see `specnet.tuning.latency.Conditions`.
    wishes, objective, max_risk, confidence
        What was asked for.
    chosen
        The point that fulfils it.
    slower
        What would be chosen if the link were `SLOWER` times slower; None where nothing could be.
    operating_points
        Points for the device to switch between, by name; `chosen` is among them.
    best_of_options
        The point that the same wishes would choose of each option alone, by ``<split>:<codec>``; options that cannot
        fulfil them are left out.
    front
        Points that no other beats in everything.
    unfit
        The point that comes closest of each option that cannot fulfil the wishes; None where the link cannot carry it,
        or the risk cannot be shown for it.
    """

    format: Literal["specnet-deployment"] = "specnet-deployment"
    format_version: Literal[1] = 1
    created: str
    run: str
    data: str
    weights_sha256: str
    n_spectra: int
    device: DeviceProfile
    link: LinkProfile
    gateway: GatewayProfile | None
    spectra_per_hour: float
    gateway_requests_s: float
    wishes: dict[str, float]
    objective: str
    max_risk: float | None
    confidence: float
    chosen: Point
    slower: Point | None
    operating_points: dict[str, Point]
    best_of_options: dict[str, Point]
    front: tuple[Point, ...]
    unfit: dict[str, Point | None] = {}
    answer_bytes: int = 0

    def write(self, path: Path) -> Path:
        """Write it, whole or not at all."""
        return write_json(path, msgspec.to_builtins(self))


def read_deployment(path: Path | str) -> Deployment:
    """Read and check a deployment.

    Raises
    ------
    ConfigurationError
        When the file cannot be read, is too large or is none.
    """
    document = read_bounded(path, MAX_DEPLOYMENT_BYTES, "deployment", ConfigurationError)
    try:
        return msgspec.json.decode(document, type=Deployment)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is no deployment: {error}") from error


def slower_link(link: LinkProfile, factor: float = SLOWER) -> LinkProfile:
    """Make a link that takes so many times as long; where the modulation fixes the air time, its pauses grow."""
    stretched = Quantiles(tuple(factor * value for value in link.round_trip_ms.values))
    if link.lora is not None:
        return msgspec.structs.replace(link, round_trip_ms=stretched, duty_cycle=link.duty_cycle / factor)
    return msgspec.structs.replace(
        link,
        round_trip_ms=stretched,
        uplink_bits_s=max(1.0, link.uplink_bits_s / factor),
        downlink_bits_s=max(1.0, link.downlink_bits_s / factor),
    )


def points_to_switch(points: Sequence[Point], chosen: Point, slower: Point | None, n_stages: int) -> dict[str, Point]:
    """Operating points of a node: as chosen, with few bytes, without the link, and for a link that has become slow."""
    best = max(point.estimate for point in points)
    near = [point for point in points if point.cautious_estimate >= best - THRIFTY_TOLERANCE]
    thrifty = min(near or points, key=lambda point: (point.mean_bytes, point.p95_ms, -point.estimate))
    table = {CHOSEN: chosen, THRIFTY: thrifty}
    own = [point for point in points if point.split == n_stages]
    if own:
        table[LOCAL_ONLY] = choose(own, Wishes())
    if slower is not None:
        table[SLOW_LINK] = slower
    return table


def placements_of(deployment: Deployment) -> dict[str, Placement]:
    """Where the operating points of a deployment split, and what was predicted of them: what a device chooses by."""
    slow = slower_link(deployment.link)
    return {
        name: Placement(
            point.split,
            point.codec,
            Prediction(
                accuracy=min(1.0, max(0.0, point.estimate)),
                offload_share=point.offload_share,
                p95_ms=point.p95_ms,
                request_bytes=point.bytes_per_spectrum,
                mean_bytes=point.mean_bytes,
                energy_mj=point.energy_mj,
                link=_figures(slow if name == SLOW_LINK else deployment.link, point.bytes_per_spectrum),
            ),
        )
        for name, point in deployment.operating_points.items()
    }


def _figures(link: LinkProfile, request_bytes: float) -> LinkFigures:
    air_s = link.air_time_s(round(request_bytes))
    effective = 8 * (request_bytes + link.overhead_bytes) / air_s if link.lora is not None else link.uplink_bits_s
    return LinkFigures(link.name, link.round_trip_ms.p95, effective, link.overhead_bytes, result_air_ms(link))


def best_of_options(points: Sequence[Point], wishes: Wishes, objective: str) -> dict[str, Point]:
    """Choose by the same wishes among the points of each option alone."""
    found = {}
    for name, group in by_option(points).items():
        try:
            found[name] = choose(group, wishes, objective)
        except ConfigurationError:
            continue
    return found


def unfit_options(names: Sequence[str], points: Sequence[Point], wishes: Wishes) -> dict[str, Point | None]:
    """Find what comes closest of each option that cannot fulfil the wishes: few of them broken, and none by much."""
    groups = by_option(points)
    unfit = {name: groups.get(name, []) for name in names if all(map(wishes.failed_by, groups.get(name, [])))}
    return {
        name: min(group, key=lambda point: (len(wishes.failed_by(point)), wishes.excess(point)), default=None)
        for name, group in unfit.items()
    }


def by_option(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Points of each option, by its name."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(option_name(point), []).append(point)
    return groups


def option_name(option: Point | Option) -> str:
    """``<split>:<codec>``, where nothing is sent ``<split>:local``."""
    return f"{option.split}:{option.codec or 'local'}"


def created_now() -> str:
    """Time stamp of a document."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def describe_conditions(conditions: Conditions) -> Mapping[str, Any]:
    """Fields of a deployment that say what it runs on."""
    return {
        "device": conditions.device,
        "link": conditions.link,
        "gateway": conditions.gateway,
        "spectra_per_hour": conditions.spectra_per_hour,
        "gateway_requests_s": conditions.gateway_requests_s,
        "answer_bytes": conditions.answer_bytes,
    }
