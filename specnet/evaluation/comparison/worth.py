"""What depth is worth on this data, in one sentence, so that nobody deploys a network where a line will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specnet.evaluation.comparison.cell import Cell
from specnet.evaluation.comparison.network_cell import EXIT_0, OPERATING_POINT
from specnet.evaluation.comparison.rows import Row, paired, summarise

DEFAULT_RECIPE = "specnet"


@dataclass(frozen=True)
class Worth:
    """A network against the best linear model.

    Parameters
    ----------
    linear, network
        Names of the methods; ``exit 0 alone`` is that of the network.
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
    """Compare the default recipe, or else the first network, with the best linear model; None without both.

    Linear models are the baselines that are, and exit 0 alone of the network itself: calibration may correct what it
    makes of single classes, and a gain that a line has too is none of depth.
    """
    networks = [cell.method for cell in cells if cell.kind == "network"]
    network = DEFAULT_RECIPE if DEFAULT_RECIPE in networks else next(iter(networks), "")
    failed = {cell.method for cell in cells if cell.error}
    relevant = [c for c in cells if c.method == network or (c.kind == "linear" and c.method not in failed)]
    rows, baseline = summarise(relevant)
    found = {(row.method, row.variant): row for row in rows if row.accuracy is not None}
    deep = found.get((network, OPERATING_POINT))
    lines = [found[name] for name in ((baseline, ""), (network, EXIT_0)) if name in found]
    if deep is None or deep.macs is None or not lines:
        return None
    line = max(lines, key=_accuracy)
    difference = paired(relevant, deep, line)
    if difference is None or line.macs is None:
        return None
    ratio = deep.macs.mean / line.macs.mean
    name = line.variant or line.method
    return Worth(
        linear=name,
        network=network,
        linear_accuracy=_accuracy(line),
        difference=difference.mean,
        se=difference.se,
        mac_ratio=ratio,
        sentence=_sentence(name, network, _accuracy(line), difference.mean, difference.se, ratio),
    )


def _accuracy(row: Row) -> float:
    assert row.accuracy is not None
    return row.accuracy.mean


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
