"""Methods side by side: what a budget buys, exits that a method does not have, and the files."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from specnet.evaluation.comparison import Cell, early_exit_methods
from specnet.evaluation.comparison.method_table import BUDGETS, method_rows, write_method_tables
from specnet.evaluation.plots import plot_methods
from specnet.evaluation.plots.methods import draw_methods
from specnet.training import RECIPES

STATIC_MACS = 1000


def cell(method: str, seed: int, accuracies: list[float], budgets: dict[float, float], **changes: Any) -> Cell:
    """Cell of exits with these accuracies, and with accuracies within these numbers of MACs."""
    shares = [1.0, *[0.0] * (len(accuracies) - 1)]
    report = {
        "exits": [{"combined_accuracy": accuracy} for accuracy in accuracies],
        "within_budget": [
            {"budget": budget, "accuracy": accuracy, "exit_shares": shares} for budget, accuracy in budgets.items()
        ],
        "static_macs": STATIC_MACS,
        "operating_point": {"accuracy": accuracies[-1], "mean_macs": 300, "exit_shares": shares},
    }
    detail = {"report": report, "cumulative_us": [10.0 * (k + 1) for k in range(len(accuracies))]}
    plain = {"kind": "network", "detail": {**detail, "training_seconds": 7.0}, "identity": {}}
    return Cell(method=method, seed=seed, fold=None, **{**plain, **changes})


CELLS = [
    cell("joint", 0, [0.5, 0.6, 0.7], {50: 0.4, 200: 0.6, 249: 0.65, 1000: 0.7}),
    cell("joint", 1, [0.6, 0.7, 0.8], {50: 0.5, 200: 0.7, 249: 0.75, 1000: 0.8}),
    cell("sdn", 0, [0.1, 0.2], {400: 0.15, 900: 0.2}),
    cell("sdn", 1, [0.3, 0.4], {600: 0.35, 900: 0.4}),
]


def test_a_budget_buys_the_best_that_was_found_within_it() -> None:
    joint, sdn = method_rows(CELLS)
    assert BUDGETS == (0.1, 0.25, 0.5, 1.0)
    assert [spread.mean for spread in joint.budgets if spread] == pytest.approx([0.45, 0.7, 0.7, 0.75])
    # nothing, nothing, only with one of two seeds, both
    assert sdn.budgets[:3] == (None, None, None)
    assert sdn.budgets[3] is not None
    assert sdn.budgets[3].mean == pytest.approx(0.3)
    assert [spread.mean for spread in joint.us if spread] == [10.0] * 4
    assert [spread.mean for spread in joint.exits] == pytest.approx([0.55, 0.65, 0.75])
    assert joint.training_seconds is not None
    assert joint.training_seconds.mean == 7.0


def test_gains_are_over_the_reference_on_the_same_seed() -> None:
    joint, sdn = method_rows(CELLS)
    assert joint.gain is not None
    assert (joint.gain.mean, joint.gain.sd, joint.share.mean) == (0.0, 0.0, 0.3)
    assert sdn.gain is not None
    assert sdn.gain.mean == pytest.approx(((0.2 - 0.7) + (0.4 - 0.8)) / 2)
    assert sdn.quarter_gain is None  # it has no exit that is cheap enough
    moved = cell("dks", 0, [0.6, 0.7, 0.9], {249: 0.75}), cell("dks", 1, [0.6, 0.7, 0.7], {249: 0.75})
    dks = method_rows([*CELLS, *moved])[-1]
    assert dks.gain is not None
    assert dks.quarter_gain is not None
    assert (dks.gain.mean, dks.quarter_gain.mean) == pytest.approx((0.05, 0.05))
    assert dks.gain.se == pytest.approx(0.15)
    assert method_rows(CELLS[2:])[0].gain is None


def test_methods_that_failed_somewhere_and_simple_ones_have_no_row() -> None:
    failed = cell("dks", 1, [0.5], {100: 0.5}, error="no memory")
    simple = cell("ridge", 0, [0.5], {100: 0.5}, kind="linear")
    cells = [*CELLS, cell("dks", 0, [0.5], {100: 0.5}), failed, simple]
    assert [row.method for row in method_rows(cells)] == ["joint", "sdn"]


def test_the_files_have_every_number(tmp_path: Path) -> None:
    table, page = write_method_tables(method_rows(CELLS), tmp_path)
    with table.open() as file:
        lines = {(line["method"], line["what"]): line for line in csv.DictReader(file)}
    assert float(lines["joint", "within 0.25"]["mean"]) == pytest.approx(0.7)
    assert float(lines["joint", "exit 2"]["sd"]) == pytest.approx(0.0707, abs=1e-3)
    assert ("sdn", "within 0.5") not in lines
    head, _, joint, sdn = page.read_text().splitlines()
    columns = [column.strip() for column in head.strip("|").split("|")]
    found = dict(zip(columns, (value.strip() for value in sdn.strip("|").split("|")), strict=True))
    # without exit 0, its exits are the later ones
    assert (found["exit 0"], found["exit 1"], found["exit 2"]) == ("", "20.0 +- 10.0", "30.0 +- 10.0")
    assert found["100% of MACs"] == "30.0 +- 10.0"
    assert joint.count("|") == sdn.count("|")


def test_what_is_compared_has_early_exits() -> None:
    assert set(early_exit_methods()) == {name for name, recipe in RECIPES.items() if not recipe.static}
    assert {"specnet", "boostnet", "quicknets", "branchynet"} <= set(early_exit_methods())


@pytest.mark.parametrize("cells", [[], CELLS[:1], CELLS], ids=["none", "one cell", "two methods"])
def test_the_figure_is_drawn_of_whatever_there_is(cells: list[Cell], tmp_path: Path) -> None:
    path = plot_methods(method_rows(cells), tmp_path / "methods.png", title="spectra")
    assert imread(path).std() > 0


def test_a_method_that_is_far_behind_does_not_hide_what_tells_the_others_apart() -> None:
    near = [cell(f"m{index}", 0, [0.5, value], {250: value}) for index, value in enumerate((0.80, 0.81, 0.82, 0.83))]
    hopeless = cell("pooled", 0, [0.05, 0.05], {250: 0.05})
    without, having = (draw_methods(method_rows(cells), "").axes[0] for cells in (near, [*near, hopeless]))
    assert [text.get_text() for text in having.texts] == ["5", "5"]
    assert not without.texts
    low, high = having.get_xlim()
    assert high - low < 20
    assert low < 80 < 83 < high
