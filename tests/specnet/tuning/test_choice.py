"""Points, fronts and choices."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from support_profiles import device_profile
from support_tuning import make_option

from specnet.errors import ConfigurationError
from specnet.profiles import LINK_PRESETS, Quantiles
from specnet.tuning.choice import Wishes, choose
from specnet.tuning.latency import Conditions
from specnet.tuning.points import MEASURES, Point, all_points, front
from specnet.tuning.risk import risk_threshold

FIXED = Quantiles.constant


def point(**changes: Any) -> Point:
    fields: dict[str, Any] = {
        "split": 1,
        "codec": "int8",
        "thresholds": (0.5, 0.5, 0.5, 0.0),
        "accuracy": 0.9,
        "estimate": 0.9,
        "exit_shares": (0.5, 0.2, 0.2, 0.1),
        "offload_share": 0.3,
        "p50_ms": 1.0,
        "p95_ms": 30.0,
        "mean_ms": 5.0,
        "bytes_per_spectrum": 200.0,
        "largest_bytes": 260,
        "mean_bytes": 60.0,
        "link_bytes": 90.0,
        "bytes_per_hour": 9000.0,
        "energy_mj": 1.0,
        "mean_macs": 1e5,
        "link_share": 0.01,
    }
    return Point(**{**fields, **changes})


LOCAL = point(split=3, codec="", accuracy=0.87, estimate=0.87, p95_ms=2.0, mean_bytes=0.0, bytes_per_hour=0.0)
GOOD = point(accuracy=0.93, estimate=0.93, p95_ms=60.0, mean_bytes=80.0, bytes_per_hour=12_000.0)
NEAR = point(accuracy=0.928, estimate=0.928, p95_ms=40.0)
POINTS = [LOCAL, GOOD, NEAR, point()]


def test_without_wishes_the_quickest_of_the_nearly_best_is_taken() -> None:
    assert choose(POINTS, Wishes()) is NEAR
    assert choose([LOCAL, GOOD, point()], Wishes()) is GOOD


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        (Wishes(max_p95_ms=10), LOCAL),
        (Wishes(max_p95_ms=35), POINTS[3]),
        (Wishes(min_accuracy=0.92), NEAR),
        (Wishes(min_accuracy=0.93), GOOD),
        (Wishes(min_accuracy=0.5), LOCAL),
        (Wishes(max_bytes_per_hour=0), LOCAL),
        (Wishes(max_bytes_per_hour=9000), NEAR),
        (Wishes(max_request_bytes=259), None),
        (Wishes(max_energy_mj=0.5), None),
        (Wishes(min_accuracy=0.99), None),
        (Wishes(min_accuracy=0.92, max_p95_ms=10), None),
    ],
)
def test_wishes_are_fulfilled_or_refused(wishes: Wishes, expected: Point | None) -> None:
    if expected is not None:
        assert choose(POINTS, wishes) is expected
        return
    with pytest.raises(ConfigurationError, match="no deployment"):
        choose(POINTS, wishes)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (Wishes(min_accuracy=0.99), "no deployment has at least accuracy 0.99: the best is 0.9300"),
        (Wishes(max_p95_ms=1), "no deployment has at most p95_ms 1: the least is 2"),
        (Wishes(min_accuracy=0.92, max_p95_ms=10), r"fulfils all wishes together; the nearest \(split 1, int8: accur"),
    ],
)
def test_what_cannot_be_had_says_what_can(wishes: Wishes, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        choose(POINTS, wishes)


def test_other_things_can_be_made_small() -> None:
    cheap = msgspec.structs.replace(GOOD, mean_bytes=1.0, energy_mj=5.0)
    assert choose([GOOD, NEAR, cheap], Wishes(), "mean_bytes") is cheap
    assert choose([GOOD, NEAR, cheap], Wishes(), "energy_mj") is NEAR
    with pytest.raises(ConfigurationError, match="unknown objective 'beauty'; known: p95_ms"):
        choose(POINTS, Wishes(), "beauty")
    with pytest.raises(ConfigurationError, match="the link cannot carry"):
        choose([], Wishes())


def test_luck_does_not_look_like_thrift() -> None:
    doubtful = msgspec.structs.replace(LOCAL, estimate=0.929, accuracy=0.929, uncertainty=0.02)
    assert choose([GOOD, doubtful], Wishes()) is GOOD
    assert choose([GOOD, msgspec.structs.replace(doubtful, uncertainty=0.001)], Wishes()).split == 3


@pytest.mark.parametrize("wrong", [{"min_accuracy": 1.5}, {"min_accuracy": 0.0}, {"max_p95_ms": -1.0}])
def test_wishes_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="got"):
        Wishes(**wrong)


def conditions() -> Conditions:
    device = msgspec.structs.replace(
        device_profile(),
        segments_us={str(k): FIXED(100.0) for k in range(4)},
        codecs_us={"0:raw": FIXED(1.0), "1:int8": FIXED(1.0), "2:int8": FIXED(1.0)},
    )
    return Conditions(device, LINK_PRESETS["nb-iot"], None, 60.0)


def test_a_front_has_what_no_other_beats() -> None:
    options = [make_option(split=3, codec=""), make_option(split=1, codec="int8", n_bytes=150)]
    points = all_points(options, conditions(), options[0].table)
    kept = front(points)

    def cost(one: Point) -> np.ndarray:
        return np.array([*(getattr(one, name) for name in MEASURES), -one.estimate])

    costs = np.array([cost(one) for one in points])
    for one in kept:
        better = (costs <= cost(one)).all(axis=1) & (costs < cost(one)).any(axis=1)
        assert not better.any()
    for one in points:
        assert any((cost(other) <= cost(one)).all() for other in kept)
    assert all(before.p95_ms <= after.p95_ms for before, after in pairwise(kept))
    assert {0, 150.0} >= {one.bytes_per_spectrum for one in kept}


def test_points_are_exact_counts_of_the_spectra() -> None:
    option = make_option(split=1, codec="int8", n_bytes=150, n=50)
    for one in all_points([option], conditions(), option.table)[::97]:
        outcome = option.table.outcome(one.thresholds)
        sent = outcome.exit_index > 1
        assert one.accuracy == outcome.accuracy
        assert one.offload_share == pytest.approx(sent.mean())
        assert one.mean_bytes == pytest.approx(150 * sent.mean())
        assert sum(one.exit_shares) == pytest.approx(1)
        assert one.bytes_per_hour == pytest.approx(60 * one.link_bytes)


def test_a_slow_link_makes_the_device_do_more() -> None:
    options = [
        make_option(split=3, codec="", n=400, skill=1.0),
        make_option(split=1, codec="int8", n_bytes=150, n=400, skill=1.0),
    ]
    slow = conditions()
    device = msgspec.structs.replace(slow.device, segments_us={str(k): FIXED(5e5) for k in range(4)})
    quick_gateway = Conditions(device, LINK_PRESETS["ethernet"], _gateway(), 60.0)
    chosen = choose(all_points(options, quick_gateway, options[0].table), Wishes())
    assert chosen.split == 1
    chosen = choose(
        all_points(options, Conditions(slow.device, slow.link, _gateway(), 60.0), options[0].table), Wishes()
    )
    assert chosen.split == 3


def _gateway() -> Any:
    from support_profiles import gateway_profile

    return msgspec.structs.replace(
        gateway_profile(), segments_us={str(k): FIXED(10.0) for k in range(1, 4)}, batch_us={}
    )


def test_a_risk_is_promised_only_where_it_can_be_shown() -> None:
    whole = make_option(split=3, codec="", n=3000, skill=2.0)
    same = make_option(split=1, codec="int8", n_bytes=9, n=3000, skill=2.0)
    worse = make_option(split=1, codec="int8", n_bytes=9, n=3000, skill=2.0, loss=6.0)
    assert risk_threshold(same.table, whole.table, 0.05, 0.95) is not None
    assert risk_threshold(worse.table, whole.table, 0.05, 0.95) is None  # its deepest answer loses more than that
    few = make_option(split=1, codec="int8", n_bytes=9, n=40, skill=2.0)
    assert risk_threshold(few.table, make_option(split=3, codec="", n=40, skill=2.0).table, 0.01, 0.95) == 2.0
    points = all_points([whole, same, worse], conditions(), whole.table, max_risk=0.05)
    assert {one.split for one in points} == {1, 3}
    for wrong in ({"max_risk": 0.0, "confidence": 0.9}, {"max_risk": 0.1, "confidence": 1.0}):
        with pytest.raises(ConfigurationError, match="is a"):
            risk_threshold(same.table, whole.table, **wrong)


def test_the_promise_is_kept() -> None:
    """Thresholds from a small sample, their true loss from a large one of the same kind: seldom over the promise."""
    whole = make_option(split=3, codec="", n=20_000, skill=0.7)
    coded = make_option(split=1, codec="int8", n=20_000, skill=0.7)
    rng, broken, tried = np.random.default_rng(0), 0, 0
    for _ in range(60):
        rows = rng.permutation(20_000)[:1200]
        threshold = risk_threshold(_take(coded.table, rows), _take(whole.table, rows), 0.03, 0.9)
        if threshold is None:
            continue
        tried += 1
        outcome = coded.table.outcome((threshold,) * 4)
        broken += whole.table.correct[-1].mean() - outcome.accuracy > 0.03
    assert tried > 30
    assert broken <= 0.1 * tried + 3


def _take(table: Any, rows: np.ndarray) -> Any:
    return type(table)(table.scores[:, rows], table.correct[:, rows], table.macs[:, rows])
