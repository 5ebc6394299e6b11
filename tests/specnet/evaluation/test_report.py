from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from support_cached_logits import make_cached

from specnet.calibration import CachedLogits, Calibration, calibrate
from specnet.errors import ModelError
from specnet.evaluation import DepthMaps, evaluate
from specnet.exits import route

CLASSES = [f"mineral {i}" for i in range(6)]
TEMPERATURES = (1.0, 0.5, 2.0, 3.0)
MICROSECONDS = [10.0, 50.0, 80.0, 100.0]


def _depth(n: int) -> DepthMaps:
    rng = np.random.default_rng(0)
    shapes = ((40, 2), (20, 3), (10, 1))
    depths = [rng.integers(0, u + 1, (n, p)).astype(np.uint8) for p, u in shapes]
    return DepthMaps(depths, [u for _, u in shapes])


@pytest.fixture(scope="module")
def held() -> CachedLogits:
    return make_cached(seed=0, temperatures=TEMPERATURES)


@pytest.fixture(scope="module")
def test() -> CachedLogits:
    return make_cached(seed=1, n=900, temperatures=TEMPERATURES)


@pytest.fixture(scope="module")
def calibration(held: CachedLogits) -> Calibration:
    return calibrate(held)


@pytest.fixture(scope="module")
def report(test: CachedLogits, calibration: Calibration, held: CachedLogits) -> dict[str, Any]:
    depth = _depth(test.n_spectra)
    times = MICROSECONDS
    return evaluate(test, calibration, held, classes=CLASSES, split_by="sample_id", depth=depth, cumulative_us=times)


def test_every_promised_field_is_there_and_is_json(report: dict[str, Any]) -> None:
    again = json.loads(json.dumps(report, allow_nan=False))
    assert again == report
    assert {"classes", "n_test", "exits", "static_macs", "budgeted", "operating_point", "split_by"} <= set(report)
    for entry in report["exits"]:
        assert {"exit", "macs", "accuracy", "balanced_accuracy", "ece"} <= set(entry)
    for entry in report["budgeted"]:
        assert {"mean_macs", "accuracy", "balanced_accuracy", "exit_shares", "thresholds"} <= set(entry)
    promised = {"mean_macs", "mean_us", "accuracy", "balanced_accuracy", "exit_shares", "active_share"}
    assert promised <= set(report["operating_point"])
    assert (report["n_test"], report["classes"], report["split_by"]) == (900, CLASSES, "sample_id")


def test_own_and_combined_predictions_of_an_exit_are_told_apart(
    report: dict[str, Any], test: CachedLogits, calibration: Calibration
) -> None:
    combined = route(calibration.policy, test.logits).all_probabilities
    for k, entry in enumerate(report["exits"]):
        assert entry["accuracy"] == (test.logits[k].argmax(axis=1) == test.labels).mean()
        assert entry["combined_accuracy"] == (combined[k].argmax(axis=1) == test.labels).mean()
        assert entry["macs"] == test.macs[k].mean()
        assert entry["ece"] < 0.08, "tempered predictions of this network are calibrated"
    assert report["static"]["accuracy"] == report["exits"][-1]["accuracy"]


def test_the_operating_point_is_what_a_loop_over_spectra_finds(
    report: dict[str, Any], test: CachedLogits, calibration: Calibration
) -> None:
    policy, point = calibration.policy, report["operating_point"]
    exits, right, macs = [], 0, 0
    for i in range(test.n_spectra):
        state = policy.initial_state(1, test.n_classes)
        for k in range(test.n_exits):
            decision = policy.decide(k, test.logits[k, i : i + 1], state)
            state = decision.state
            if decision.leave[0]:
                break
        exits.append(k)
        right += int(decision.probabilities.argmax() == test.labels[i])
        macs += int(test.macs[k, i])
    assert point["accuracy"] == right / test.n_spectra
    assert point["mean_macs"] == macs / test.n_spectra
    assert point["exit_shares"] == [exits.count(k) / test.n_spectra for k in range(test.n_exits)]
    assert point["mean_us"] == pytest.approx(np.mean([MICROSECONDS[k] for k in exits]))
    done = possible = 0
    depth = _depth(test.n_spectra)
    for i, k in enumerate(exits):
        for stage in range(k):
            done += int(depth.depths[stage][i].sum())
            possible += depth.depths[stage].shape[1] * depth.units[stage]
    assert point["active_share"] == done / possible


def test_worth_and_compute_on_peaks_are_there_where_they_can_be(
    report: dict[str, Any], test: CachedLogits, calibration: Calibration, held: CachedLogits
) -> None:
    assert report["worth"] is None
    assert report["compute_on_peaks"] is None
    depth, routing = _depth(test.n_spectra), route(calibration.policy, test.logits)
    regions, unit_macs = np.random.default_rng(0).random((6, 160)) < 0.2, (10, 20, 40)
    again = evaluate(
        test,
        calibration,
        held,
        classes=CLASSES,
        split_by="",
        depth=depth,
        peaks=(regions, unit_macs),
        linear_exit=True,
    )
    assert again["worth"]["linear"] == again["exits"][0]["accuracy"]
    assert again["worth"]["network"] == again["operating_point"]["accuracy"]
    assert again["worth"]["deeper_share"] == pytest.approx(1 - again["operating_point"]["exit_shares"][0])
    found = depth.compute_on_peaks(regions, test.labels, unit_macs, routing.exit_index)
    assert found is not None
    assert again["compute_on_peaks"]["enrichment"] == found.enrichment == pytest.approx(1.0, abs=0.1)
    last = depth.compute_on_peaks(regions, test.labels, unit_macs, np.full(test.n_spectra, 3))
    assert last is not None
    assert again["compute_on_peaks_at_last_exit"] == asdict(last)
    assert again["compute_on_peaks"]["peak_share_of_positions"] == pytest.approx(0.2, abs=0.05)


def test_budgets_span_the_network_and_are_met_on_unseen_spectra(report: dict[str, Any]) -> None:
    budgets = [entry["budget"] for entry in report["budgeted"]]
    assert 8 <= len(budgets) <= 16
    assert budgets == sorted(budgets)
    for entry in report["budgeted"]:
        assert entry["mean_macs"] == pytest.approx(entry["budget"], rel=0.15, abs=1500)
        assert sum(entry["exit_shares"]) == pytest.approx(1.0)
    assert report["budgeted"][-1]["accuracy"] > report["budgeted"][0]["accuracy"]


def test_thresholds_do_not_depend_on_the_test_split(
    report: dict[str, Any], test: CachedLogits, calibration: Calibration, held: CachedLogits
) -> None:
    rng = np.random.default_rng(5)
    shuffled = CachedLogits(test.logits[:, ::-1].copy(), rng.permutation(test.labels), test.macs, test.static_macs)
    other = evaluate(shuffled, calibration, held, classes=CLASSES, split_by="sample_id")
    for part in ("budgeted", "within_budget"):
        assert [e["thresholds"] for e in other[part]] == [e["thresholds"] for e in report[part]]
    assert other["operating_point"]["thresholds"] == report["operating_point"]["thresholds"]
    assert other["operating_point"]["accuracy"] < report["operating_point"]["accuracy"]


def test_within_a_budget_nothing_is_spent_on_depth_that_does_not_help() -> None:
    def reverse(cached: CachedLogits) -> CachedLogits:
        return CachedLogits(cached.logits[::-1].copy(), cached.labels, cached.macs, cached.static_macs)

    held, test = reverse(make_cached(seed=2)), reverse(make_cached(seed=3))
    report = evaluate(test, calibrate(held), held, classes=CLASSES, split_by="")
    assert report["budgeted"][-1]["mean_macs"] > 100_000
    assert report["within_budget"][-1]["mean_macs"] < 20_000
    assert report["within_budget"][-1]["accuracy"] > report["budgeted"][-1]["accuracy"]


def test_a_calibration_of_another_training_is_noticed(report: dict[str, Any], test: CachedLogits) -> None:
    assert report["calibration_current"]
    old = calibrate(make_cached(seed=0, evidence=(2.0, 1.0, 1.0, 1.0)))
    held = make_cached(seed=0)
    assert not evaluate(test, old, held, classes=CLASSES, split_by="")["calibration_current"]


def test_without_times_and_depths_these_numbers_are_absent(
    test: CachedLogits, calibration: Calibration, held: CachedLogits
) -> None:
    point = evaluate(test, calibration, held, classes=CLASSES, split_by="")["operating_point"]
    assert point["mean_us"] is None
    assert point["active_share"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": CLASSES[:5]}, "got 5 class names for 6 classes"),
        ({"cumulative_us": [1.0, 2.0]}, "got 2 times for 4 exits"),
        ({"depth": _depth(3)}, "depth maps are of 3 spectra and 3 stages, expected 900 and 3"),
        ({"test": make_cached(seed=0, n=50, evidence=(1.0, 1.0))}, "the calibration has 4 exits, the network 2"),
        ({"calibration_split": make_cached(seed=0, n_classes=5)}, "4 exits and 5 classes, test logits 4 and 6"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    test: CachedLogits, calibration: Calibration, held: CachedLogits, changes: dict[str, Any], message: str
) -> None:
    arguments = {"test": test, "calibration_split": held, "classes": CLASSES} | changes
    with pytest.raises(ModelError, match=message):
        evaluate(calibration=calibration, split_by="", **arguments)


def test_active_share_of_a_hand_computed_case() -> None:
    depth = DepthMaps([np.array([[1, 2], [0, 2]]), np.array([[1], [0]])], [2, 1])
    assert depth.active_share(np.array([2, 1])) == pytest.approx((3 + 2 + 1) / (4 + 4 + 1))
    assert depth.active_share(np.array([0, 0])) == 0.0


@pytest.mark.parametrize(
    ("depths", "units", "message"),
    [
        ([], [], "got 0 for 0 stages"),
        ([np.zeros((2, 3), int)], [1, 1], "got 1 for 2 stages"),
        ([np.zeros((2, 3), int), np.zeros((3, 3), int)], [1, 1], r"stage 2 are \(2, positions\), got \(3, 3\)"),
        ([np.full((2, 3), 4)], [3], "a depth of stage 1 is 4, the stage has 3 units"),
    ],
)
def test_depth_maps_that_cannot_be(depths: list[np.ndarray], units: list[int], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        DepthMaps(depths, units)
