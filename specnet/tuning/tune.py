"""From options, conditions and wishes to a deployment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from specnet.errors import ConfigurationError
from specnet.training.bottleneck_files import weights_sha256
from specnet.training.run import Run
from specnet.tuning.choice import Wishes, choose
from specnet.tuning.deployment import (
    Deployment,
    best_of_options,
    created_now,
    describe_conditions,
    option_name,
    points_to_switch,
    slower_link,
    unfit_options,
)
from specnet.tuning.latency import Conditions
from specnet.tuning.options import Option
from specnet.tuning.points import all_points, front, worth_trying


def tune(
    run: Run,
    data: Path,
    options: Sequence[Option],
    conditions: Conditions,
    wishes: Wishes,
    *,
    objective: str = "p95_ms",
    max_risk: float | None = None,
    confidence: float = 0.95,
    advance: Callable[[str], None] = lambda text: None,
) -> Deployment:
    """Judge all candidates and choose.

    Parameters
    ----------
    run, data
        What is tuned, and the file that it was trained on.
    options
        As `specnet.tuning.options.list_options` gives them.
    conditions, wishes, objective
        What it runs on, what it has to fulfil, and what is made small then.
    max_risk, confidence
        Accuracy that may be lost against the whole network with that confidence; None for no promise.
    advance
        Called with the name of each option before it is judged.

    Raises
    ------
    ConfigurationError
        When nothing fulfils the wishes.
    """
    whole = next(option for option in options if not option.sends).table

    points = all_points(options, conditions, whole, max_risk=max_risk, confidence=confidence, advance=advance)
    chosen = choose(points, wishes, objective)
    slow_conditions = replace(conditions, link=slower_link(conditions.link))
    slow = all_points(options, slow_conditions, whole, among=worth_trying(points), advance=advance)
    try:
        slower = choose(slow, wishes, objective)
    except ConfigurationError:
        slower = None
    return Deployment(
        created=created_now(),
        run=run.path.resolve().name,
        data=data.name,
        weights_sha256=weights_sha256(run),
        n_spectra=whole.n_spectra,
        **describe_conditions(conditions),
        wishes=wishes.to_dict(),
        objective=objective,
        max_risk=max_risk,
        confidence=confidence,
        chosen=chosen,
        slower=slower,
        operating_points=points_to_switch(points, chosen, slower, options[0].n_stages),
        best_of_options=best_of_options(points, wishes, objective),
        front=tuple(front(points)),
        unfit=unfit_options([option_name(option) for option in options], points, wishes),
    )
