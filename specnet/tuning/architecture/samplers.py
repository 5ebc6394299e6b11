"""Which shape is tried next: Optuna's samplers with random numbers that follow from the number of the trial.

A sampler that is seeded once draws the same shapes again in every process that joins a study, and after every restart.
Seeded by study and trial, one process that is not interrupted always draws the same ones, and several never share any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from specnet.tuning.architecture.space import WHOLE, Architecture, SearchSpace

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    # Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization"
    "tpe": lambda seed: TPESampler(seed=seed, n_startup_trials=10),
    "random": lambda seed: RandomSampler(seed=seed),
}


class NumberedSampler(BaseSampler):
    """A fresh sampler for every trial.

    Parameters
    ----------
    name
        In `SAMPLERS`.
    seed
        Of the search.
    """

    def __init__(self, name: str, seed: int) -> None:
        self._make = SAMPLERS[name]
        self._seed = seed
        self._current = self._make(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Seed it."""
        seed = np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0]
        self._current = self._make(int(seed))
        self._current.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Parameters that are drawn together."""
        return self._current.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw them."""
        return self._current.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw one of the others."""
        return self._current.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Let it store what it needs."""
        self._current.after_trial(study, trial, state, values)


def suggest(trial: Trial, space: SearchSpace) -> Architecture:
    """Draw a shape: widths and units only of the stages that it has.

    Numbers are drawn by their place among the choices, so that a sampler knows which are next to each other.
    """

    def one(name: str, choices: tuple[int, ...]) -> int:
        ordered = sorted(set(choices))
        return ordered[trial.suggest_int(name, 0, len(ordered) - 1)]

    n_stages = one("stages", space.stages)
    numbers = {name: one(name, getattr(space, name)) for name in WHOLE if name != "block"}
    return Architecture(
        widths=tuple(one(f"width_{k + 1}", space.widths[k]) for k in range(n_stages)),
        units=tuple(one(f"units_{k + 1}", space.units) for k in range(n_stages)),
        block=str(trial.suggest_categorical("block", list(space.blocks))),
        **numbers,
    )
