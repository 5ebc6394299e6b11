"""What depth is worth on this data, in one sentence, so that nobody deploys a network where a line will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specnet.evaluation.comparison.cell import Cell
from specnet.evaluation.comparison.network_cell import OPERATING_POINT
from specnet.evaluation.comparison.rows import summarise

DEFAULT_RECIPE = "specnet"


@dataclass(frozen=True)
class Worth:
    """A network against the best linear model.

    Parameters
    ----------
    linear, network
        Names of the methods.
    linear_accuracy
        Mean accuracy of the linear model.
    difference, se
        Mean paired difference of the network's operating point to it, and its standard error; None for a single cell.
    mac_ratio
        How many times the linear model's MACs the network spends.
    sentence
        The same in words.
    """

    linear: str
    network: str
    linear_accuracy: float
    difference: float
    se: float | None
    mac_ratio: float
    sentence: str


def worth_of_depth(cells: Sequence[Cell]) -> Worth | None:
    """Compare the default recipe, or else the first network, with the best linear model; None without both."""
    networks = [cell.method for cell in cells if cell.kind == "network"]
    network = DEFAULT_RECIPE if DEFAULT_RECIPE in networks else next(iter(networks), "")
    failed = {cell.method for cell in cells if cell.error}
    relevant = [c for c in cells if c.method == network or (c.kind == "linear" and c.method not in failed)]
    rows, linear = summarise(relevant)
    found = {(row.method, row.variant): row for row in rows}
    line, deep = found.get((linear, "")), found.get((network, OPERATING_POINT))
    if line is None or deep is None or line.accuracy is None or line.macs is None or deep.macs is None:
        return None
    if deep.difference is None:
        return None
    ratio = deep.macs.mean / line.macs.mean
    difference, se = deep.difference.mean, deep.difference.se
    return Worth(
        linear=linear,
        network=network,
        linear_accuracy=line.accuracy.mean,
        difference=difference,
        se=se,
        mac_ratio=ratio,
        sentence=_sentence(linear, network, line.accuracy.mean, difference, se, ratio),
    )


def _sentence(linear: str, network: str, accuracy: float, difference: float, se: float | None, ratio: float) -> str:
    change = "adds" if difference >= 0 else "takes away"
    spread = "" if se is None else f" +- {100 * se:.1f}"
    words = (
        f"a linear model ({linear}) is right on {accuracy:.1%} of these spectra; the network ({network}) {change} "
        f"{100 * abs(difference):.1f}{spread} points for {ratio:,.{0 if ratio >= 10 else 1}f} times its MACs"
    )
    if se is None:
        return f"{words}; one run alone does not tell whether that is chance"
    if difference > se:
        return f"{words}: depth pays here"
    return f"{words}: a line will do here"
