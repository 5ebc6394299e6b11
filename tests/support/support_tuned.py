"""Deployments made by hand, to be shown and checked without training anything."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from support_profiles import CREATED, device_profile

from specnet.profiles import LINK_PRESETS
from specnet.tuning.choice import Wishes, choose
from specnet.tuning.deployment import Deployment, best_of_options, points_to_switch, unfit_options
from specnet.tuning.points import Point, front

STAGES = 2


def point(split: int, codec: str, estimate: float, p95_ms: float, **changes: Any) -> Point:
    """A point of a network with three exits; without a codec nothing is sent."""
    sends = bool(codec)
    fields: dict[str, Any] = {
        "split": split,
        "codec": codec,
        "thresholds": (2.0, 0.8 + 1 / 3e7, -1.0),
        "accuracy": estimate - 0.0123456789,
        "estimate": estimate,
        "uncertainty": 0.001,
        "exit_shares": (0.0, 2 / 3, 1 / 3),
        "offload_share": 1 / 3 if sends else 0.0,
        "p50_ms": p95_ms / 7,
        "p95_ms": p95_ms,
        "mean_ms": p95_ms / 3,
        "bytes_per_spectrum": 300.0 * sends,
        "largest_bytes": 400 * sends,
        "mean_bytes": 100.0 * sends,
        "link_bytes": 200.0 * sends,
        "bytes_per_hour": 720_000.0 * sends,
        "energy_mj": 20.0 if sends else 2.0,
        "mean_macs": 1e6,
        "link_share": 0.25 * sends,
    }
    return Point(**fields | changes)


def few_points() -> list[Point]:
    """Everything on the device, a bottleneck, plain features, a raw spectrum."""
    return [
        point(2, "", 0.70, 4.0),
        point(2, "", 0.65, 0.5),
        point(1, "b1-0.001", 0.80, 2000.0, mean_bytes=60.0, energy_mj=15.0),
        point(1, "b1-0.001", 0.75, 900.0, mean_bytes=20.0, energy_mj=8.0),
        point(1, "int8", 0.795, 5000.0, mean_bytes=1080.0, energy_mj=150.0),
        point(0, "raw", 0.801, 3e8, mean_bytes=4000.0, energy_mj=300.0),
    ]


def many_points(n: int) -> list[Point]:
    """A front of `n` points over splits and codecs."""
    rng = np.random.default_rng(0)
    options = [(2, ""), *((split, codec) for split in (0, 1) for codec in ("raw", "int8", "b1")[split:])]
    found = []
    for index in range(n):
        split, codec = options[index % len(options)]
        cost = float(np.geomspace(0.5, 1e6, n)[index])
        size = float(rng.uniform(1, 5000)) if codec else 0.0
        found.append(point(split, codec, 0.5 + 0.4 * index / n, cost, mean_bytes=size))
    return found


def deployment(points: list[Point], *, slower: Point | None = None, objective: str = "p95_ms", **changes: Any) -> Any:
    """A deployment that tuning would make of these points."""
    wishes = Wishes(**changes.pop("wishes", {}))
    names = changes.pop("options", list(dict.fromkeys(f"{p.split}:{p.codec or 'local'}" for p in points)))
    chosen = choose(points, wishes, objective)
    made = Deployment(
        created=CREATED,
        run="minerals",
        data="minerals.h5",
        weights_sha256="0" * 64,
        n_spectra=160,
        device=device_profile(),
        link=LINK_PRESETS["nb-iot"],
        gateway=None,
        spectra_per_hour=3600.0,
        gateway_requests_s=0.0,
        wishes=wishes.to_dict(),
        objective=objective,
        max_risk=None,
        confidence=0.95,
        chosen=chosen,
        slower=slower,
        operating_points=points_to_switch(points, chosen, slower, STAGES),
        best_of_options=best_of_options(points, wishes, objective),
        front=tuple(front(points)),
        unfit=unfit_options(names, points, wishes),
    )
    return msgspec.structs.replace(made, **changes)
