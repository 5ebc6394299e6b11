"""Means, spreads, paired differences and the sentence, from cells with known numbers."""

from __future__ import annotations

import numpy as np
import pytest
from support_cells import make_cell

from specnet.evaluation.comparison import Cell, Spread, summarise, worth_of_depth
from specnet.evaluation.comparison.network_cell import network_rows
from specnet.evaluation.comparison.rows import mean_curves


def test_a_single_value_has_no_spread():
    assert Spread.of({(0, None): 0.5}) == Spread(mean=0.5, sd=None, se=None, n=1)


def test_seeds_on_one_test_part_are_spread_over_themselves():
    spread = Spread.of({(0, None): 0.1, (1, None): 0.2, (2, None): 0.6})
    assert spread.mean == pytest.approx(0.3)
    assert spread.sd == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1))
    assert spread.se == pytest.approx(spread.sd / np.sqrt(3))


def test_with_folds_the_error_is_that_of_the_folds_because_seeds_share_their_spectra():
    values = {(seed, fold): 0.1 * fold for fold in range(4) for seed in range(5)}
    spread = Spread.of(values)
    assert spread.n == 20
    assert spread.se == pytest.approx(np.std([0.0, 0.1, 0.2, 0.3], ddof=1) / np.sqrt(4))


def test_differences_are_paired_by_seed_and_fold():
    cells = [make_cell("ridge", 0.5 + 0.1 * seed, seed) for seed in range(3)]
    cells += [make_cell("lda", 0.4, seed) for seed in range(3)]
    cells += [make_cell("specnet", 0.52 + 0.1 * seed, seed, kind="network") for seed in range(3)]
    rows, best = summarise(cells)
    assert best == "ridge"
    assert [row.label for row in rows] == ["ridge", "lda", "specnet, operating point", "specnet, last exit"]
    ridge, lda, point, last = rows
    assert ridge.difference == Spread(0.0, 0.0, 0.0, 3)
    assert lda.difference is not None
    assert lda.difference.mean == pytest.approx(-0.2)
    assert point.difference is not None
    assert point.accuracy is not None
    assert point.difference.mean == pytest.approx(0.02)
    # the seeds differ by ten points, the methods hardly: that is what pairing is for
    assert point.difference.se == pytest.approx(0, abs=1e-9)
    assert point.accuracy.se == pytest.approx(0.1 / np.sqrt(3))
    assert last.difference is not None
    assert last.difference.mean == pytest.approx(-0.08)


def test_a_method_that_failed_somewhere_has_its_error_and_is_no_reference():
    cells = [make_cell("ridge", 0.5, 0), make_cell("ridge", 0.5, 1), make_cell("lda", 0.9, 0)]
    cells += [Cell("lda", 1, None, identity={}, error="no luck"), Cell("hydra", 0, None, identity={}, error="not here")]
    rows, best = summarise(cells)
    assert best == "ridge"
    ridge, lda, hydra = rows
    assert (lda.accuracy is not None and lda.accuracy.n, lda.errors) == (1, {"no luck": 1})
    assert lda.difference is not None
    assert lda.difference.mean == pytest.approx(0.4)
    assert (hydra.accuracy, hydra.difference, hydra.errors) == (None, None, {"not here": 1})
    assert ridge.errors == {}


def test_what_was_chosen_is_counted():
    cells = [make_cell("ridge", 0.5, seed, detail={"preprocessing": name}) for seed, name in enumerate("aba")]
    ((row,), _) = summarise(cells)
    assert row.preprocessing == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        ((0.93, 0.94, 0.96), "adds 4.3 +- 0.9 points for 1.0 times its MACs: depth pays here"),
        ((0.88, 0.90, 0.93), "adds 0.3 +- 1.5 points for 1.0 times its MACs: a line will do here"),
        ((0.80, 0.81, 0.80), "takes away 9.7 +- 0.3 points for 1.0 times its MACs: a line will do here"),
    ],
)
def test_the_sentence_says_whether_depth_pays(accuracies, words):
    cells = [make_cell("ridge", 0.9, seed) for seed in range(3)]
    cells += [make_cell("minirocket", 0.99, seed, kind="baseline") for seed in range(3)]
    cells += [make_cell("specnet", accuracy, seed, kind="network") for seed, accuracy in enumerate(accuracies)]
    worth = worth_of_depth(cells)
    assert worth is not None
    assert worth.linear == "ridge"  # minirocket is better, and no line
    assert worth.sentence.startswith("a linear model (ridge) is right on 90.0% of these spectra")
    assert words in worth.sentence


def test_a_gain_that_exit_0_has_too_is_none_of_depth():
    cells = [make_cell("ridge", 0.9, seed) for seed in range(3)]
    for seed, accuracy in enumerate((0.94, 0.95, 0.96)):
        cell = make_cell("specnet", accuracy, seed, kind="network")
        cell.rows.append({**cell.rows[0], "variant": "exit 0 alone", "accuracy": accuracy + 0.01})
        cells.append(cell)
    worth = worth_of_depth(cells)
    assert worth is not None
    assert worth.linear == "exit 0 alone"
    assert worth.difference == pytest.approx(-0.01)
    assert "a linear model (exit 0 alone) is right on 96.0% of these spectra" in worth.sentence
    assert worth.sentence.endswith("a line will do here")
    without_baselines = worth_of_depth(cells[3:])
    assert without_baselines == worth


def test_one_run_alone_claims_nothing_and_without_a_network_nothing_is_said():
    cells = [make_cell("ridge", 0.5), make_cell("specnet", 0.9, kind="network")]
    worth = worth_of_depth(cells)
    assert worth is not None
    assert "does not tell" in worth.sentence
    assert worth_of_depth(cells[:1]) is None
    assert worth_of_depth(cells[1:]) is None


def test_a_network_is_judged_at_its_point_at_a_quarter_and_at_its_last_exit():
    def entry(accuracy: float, macs: float, shares: list[float], budget: float = 0) -> dict[str, object]:
        both = {"accuracy": accuracy, "balanced_accuracy": accuracy}
        return {**both, "mean_macs": macs, "exit_shares": shares, "budget": budget}

    report = {
        "static_macs": 400,
        "static": {"accuracy": 0.8, "balanced_accuracy": 0.7},
        "exits": [{"macs": 10.0}, {"macs": 390.0}],
        "operating_point": entry(0.9, 200, [0.5, 0.5]),
        "within_budget": [
            entry(0.5, 10, [1, 0], 10),
            entry(0.6, 48, [0.9, 0.1], 100),
            entry(0.7, 120, [0.7, 0.3], 160),
        ],
    }
    rows = network_rows(report | {"worth": None}, [2.0, 40.0])
    assert [row["variant"] for row in rows] == ["operating point", "quarter of budget", "last exit"]
    line = {"accuracy": 0.55, "balanced_accuracy": 0.5, "macs": 10.0}
    with_line = network_rows(report | {"worth": {}, "exits": [line, {"macs": 390.0}]}, [2.0, 40.0])
    assert with_line == [*rows[:2], {"variant": "exit 0 alone", **line, "us": 2.0}, rows[2]]
    assert [row["accuracy"] for row in rows] == [0.9, 0.6, 0.8]
    assert [row["macs"] for row in rows] == [200, 48, 390]
    assert [row["us"] for row in rows] == pytest.approx([21.0, 5.8, 40.0])


def test_curves_are_averaged_where_all_cells_have_them():
    def curve(*points: tuple[float, float]) -> list[dict[str, float]]:
        return [{"share": share, "accuracy": accuracy, "macs": 10, "us": 1} for share, accuracy in points]

    cells = [
        make_cell("specnet", 0.5, 0, kind="network", curve=curve((0.02, 0.1), (0.1, 0.4), (1.0, 0.5))),
        make_cell("specnet", 0.5, 1, kind="network", curve=curve((0.1, 0.6), (1.0, 0.7))),
        make_cell("ridge", 0.5, 1),
    ]
    curves = mean_curves(cells)
    assert list(curves) == ["specnet"]
    assert [(point["share"], point["accuracy"]) for point in curves["specnet"]] == [(0.1, 0.5), (1.0, 0.6)]
