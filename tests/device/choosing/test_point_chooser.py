from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_points import DWELL_MAX_S, DWELL_S, PLACEMENTS, World, make_table

from device.choosing.chooser import FixedPoint, PointChooser
from device.choosing.measurements import Measurements
from device.choosing.table import DecisionTable
from specnet.bundle import Bundle
from specnet.errors import ConfigurationError
from specnet.placement import Placement

GOOD, SLOW = 0.03, 0.4
DAY_S = 86_400.0


@pytest.fixture(scope="module")
def table(bundle: Bundle) -> DecisionTable:
    return make_table(bundle.manifest)


def world(table: DecisionTable, round_trip_s: object) -> World:
    return World(PointChooser(table, DWELL_S, DWELL_MAX_S, 0.0), table, round_trip_s)  # type: ignore[arg-type]


def test_the_table_has_the_chosen_point_first_and_then_the_others_by_accuracy(table: DecisionTable) -> None:
    assert [(row.name, row.split, row.codec) for row in table.rows] == [
        ("chosen", 1, "int8"), ("slow-link", 2, "int8"), ("local", 3, "")
    ]  # fmt: skip
    limits = [row.limit_ms for row in table.rows]
    # 20 + 8 * 4100 bits at 1 Mbit/s and 200 + 8 * 600 bits at 100 kbit/s, both times the square root of 10
    assert limits == pytest.approx([167.0, 784.2, float("inf")], rel=1e-3)


def test_points_that_are_the_same_or_need_too_much_are_left_out(bundle: Bundle) -> None:
    twice = PLACEMENTS | {"thrifty": PLACEMENTS["local"]}
    assert [row.name for row in make_table(bundle.manifest, twice).rows] == ["chosen", "slow-link", "local"]
    assert [row.name for row in make_table(bundle.manifest, deepest=2).rows] == ["chosen", "slow-link"]


@pytest.mark.parametrize("placements", [{}, {"chosen": Placement(1, "int8")}, {"local": PLACEMENTS["local"]}])
def test_a_bundle_that_says_nothing_of_its_points_cannot_be_chosen_from(
    bundle: Bundle, placements: dict[str, Placement]
) -> None:
    with pytest.raises(ConfigurationError, match=r"does not say what its point 'chosen' takes.*export it again"):
        make_table(bundle.manifest, placements)


def test_a_good_link_keeps_the_chosen_point(table: DecisionTable) -> None:
    node = world(table, lambda now: GOOD)
    node.run(600)
    assert node.points == []
    assert node.seen[-1].trips > 20, "the simulated node sends nothing, so this shows nothing"


def test_good_slow_gone_and_good_again(table: DecisionTable) -> None:
    def link(now: float) -> float | None:
        return GOOD if now < 60 or now >= 300 else SLOW if now < 150 else None

    node = world(table, link)
    node.run(500)
    assert node.points[:2] == ["slow-link", "local"]
    assert node.chooser.point == "chosen"
    phases = ((0, 60), (60, 150), (150, 300))
    assert [sum(low < when <= high for when, _, _ in node.changes) for low, high in phases] == [0, 1, 1]
    first, second = (why for _, _, why in node.changes[:2])
    assert first.startswith("round trips of ")
    assert first.endswith(" ms, at most 167 ms")
    assert second.startswith("the broker is away for ")
    assert "nothing speaks against it any more" in node.changes[-1][2]
    assert len(node.points) <= 4


def test_without_a_local_point_a_link_that_is_gone_leaves_the_one_that_sends_least(bundle: Bundle) -> None:
    placements = {name: one for name, one in PLACEMENTS.items() if name != "local"}
    node = world(make_table(bundle.manifest, placements), lambda now: GOOD if now < 30 else None)
    node.run(120)
    assert node.points == ["slow-link"]


def test_a_broker_that_starts_anew_changes_nothing(table: DecisionTable) -> None:
    node = world(table, lambda now: None if now % 60 < DWELL_S / 2 else GOOD)
    node.run(1200)
    assert node.points == []


@pytest.mark.parametrize("half_period_s", [15, 40])
def test_a_link_that_swings_within_the_window_is_a_slow_link(table: DecisionTable, half_period_s: int) -> None:
    node = world(table, lambda now: GOOD if now // half_period_s % 2 == 0 else SLOW)
    node.run(3600)
    assert node.points == ["slow-link"]


@pytest.mark.parametrize("half_period_s", [70, 120])
def test_a_link_that_swings_slowly_makes_few_changes(table: DecisionTable, half_period_s: int) -> None:
    node = world(table, lambda now: GOOD if now // half_period_s % 2 == 0 else SLOW)
    node.run(3600)
    # the way back doubles from 10 s to 640 s in six steps, and each stay away is at least that long from there
    assert 4 <= len(node.changes) <= 2 * (6 + 3600 // DWELL_MAX_S + 1)
    assert node.chooser.return_s > 4 * DWELL_S
    assert len(node.changes) < 3600 // half_period_s / 1.5, "it follows every swing"


def test_phases_that_last_are_followed_both_ways(table: DecisionTable) -> None:
    node = world(table, lambda now: GOOD if now // 300 % 2 == 0 else SLOW)
    node.run(1500)
    assert node.points == ["slow-link", "chosen", "slow-link", "chosen"]
    assert node.chooser.return_s == DWELL_S


def test_between_the_two_thresholds_nothing_changes_whichever_point_is_in_force(table: DecisionTable) -> None:
    between = 0.12  # above half of the limit of 167 ms and below it
    above = world(table, lambda now: between)
    above.run(600)
    assert above.points == []
    below = world(table, lambda now: SLOW if now < 60 else between)
    below.run(600)
    assert below.points == ["slow-link"]


def test_a_backlog_that_grows_asks_for_fewer_bytes(table: DecisionTable) -> None:
    chosen, slow_link, _ = table.rows
    crowded = Measurements(trips=20, strain=0.5, outbox=30, outbox_growth_s=0.5, spectra_s=1.0, delivered_bytes_s=400.0)
    target, why = table.choose(chosen, crowded)
    assert (target, why) == (slow_link, "30 requests in the outbox, 0.5 more a second")
    assert table.choose(chosen, replace(crowded, outbox_growth_s=-0.1)) == (chosen, "")
    assert table.choose(chosen, replace(crowded, delivered_bytes_s=100.0))[0].name == "local"
    # it is not taken again before the outbox has gone down
    assert table.choose(slow_link, replace(crowded, outbox_growth_s=-0.1)) == (slow_link, "")
    assert table.choose(slow_link, replace(crowded, outbox_growth_s=-0.1, outbox=2))[0] is chosen


def test_overdue_requests_count_where_the_tuned_link_would_have_kept_the_deadline(table: DecisionTable) -> None:
    chosen, _, _ = table.rows
    late = Measurements(trips=20, strain=0.5, overdue_share=0.5)
    target, why = table.choose(chosen, late)
    assert (target.name, why) == ("slow-link", "50 % of the requests overdue, at most 20 %")
    hurried = replace(table, deadline_ms=10.0)
    assert hurried.choose(chosen, late) == (chosen, "")


def test_a_budget_that_runs_out_is_spread_over_the_day(table: DecisionTable) -> None:
    chooser = PointChooser(table, DWELL_S, DWELL_MAX_S, 0.0)
    takes = {row.name: row.expected.energy_mj for row in table.rows}
    left_j, now, points = 500.0, 0.0, ["chosen"]
    while now < DAY_S:  # a spectrum a second: 10 mJ would take 864 J, 2 mJ take 173 J
        now += 20.0
        left_j -= 20 * takes[chooser.point] / 1e3
        measured = Measurements(
            trips=5,
            strain=0.5,
            spectra_s=1.0,
            energy_left_j=left_j,
            energy_left_s=DAY_S - now,
            mj_per_spectrum=takes[chooser.point],
        )
        if why := chooser.decide(now, measured):
            points.append(chooser.point)
            assert "mJ a spectrum" in why or "J left" in why
    assert points[:2] == ["chosen", "slow-link"]
    assert left_j > 0, "the budget did not last"
    assert left_j < 250, "the budget was hardly used"
    assert len(points) < 12


def test_measured_energy_corrects_what_was_predicted(table: DecisionTable) -> None:
    chosen, _, _ = table.rows
    day = {"spectra_s": 1.0, "energy_left_s": 1000.0, "trips": 5}
    rich = Measurements(energy_left_j=15.0, mj_per_spectrum=10.0, **day)  # type: ignore[arg-type]
    assert table.choose(chosen, rich) == (chosen, "")
    # everything takes twice what was predicted: 20, 10 and 4 mJ of 15 for each
    target, why = table.choose(chosen, replace(rich, mj_per_spectrum=20.0))
    assert (target.name, why) == ("slow-link", "20 mJ a spectrum, 15 mJ are left for each")
    assert table.choose(chosen, replace(rich, energy_left_j=-1.0))[0].name == "local"


_FIGURES = st.builds(
    Measurements,
    away_s=st.sampled_from([0.0, 5.0, 100.0]),
    trips=st.integers(0, 64),
    strain=st.floats(0, 1e4),
    waiting_ms=st.floats(0, 1e6),
    waiting_strain=st.floats(0, 1e4),
    overdue_share=st.floats(0, 1),
    delivered_bytes_s=st.floats(0, 1e6),
    spectra_s=st.floats(0, 100),
    outbox=st.integers(0, 10_000),
    outbox_growth_s=st.floats(-100, 100),
    energy_left_j=st.none() | st.floats(-10, 1e5),
    energy_left_s=st.floats(1, DAY_S),
    mj_per_spectrum=st.floats(0, 1e4),
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(st.tuples(st.floats(0, 30), _FIGURES), max_size=60))
def test_whatever_is_measured_points_exist_and_stay_for_the_dwell_time(
    table: DecisionTable, steps: list[tuple[float, Measurements]]
) -> None:
    first, again = (PointChooser(table, DWELL_S, DWELL_MAX_S, 0.0) for _ in range(2))
    fixed = FixedPoint("chosen")
    now, since = 0.0, 0.0
    for pause, measured in steps:
        now += pause
        before, lasts = first.point, first.return_s
        why = first.decide(now, measured)
        assert first.point in PLACEMENTS
        assert bool(why) is (first.point != before)
        if why:
            names = [row.name for row in table.rows]
            better = names.index(first.point) < names.index(before)
            assert now - since >= (lasts if better else DWELL_S)
            since = now
        assert DWELL_S <= first.return_s <= DWELL_MAX_S
        assert (again.decide(now, measured), again.point) == (why, first.point)
        assert fixed.decide(now, measured) == ""
        assert (fixed.point, fixed.probed) == ("chosen", None)
