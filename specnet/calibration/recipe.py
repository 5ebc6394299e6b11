"""What is fitted on calibration spectra before any threshold, in one step, so that it can be done fold by fold.

Legend: n spectra, E exits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.calibration.cached import CachedLogits
from specnet.calibration.combiner import fit_combination
from specnet.calibration.folds import cross_fitting
from specnet.calibration.gate import fit_gate
from specnet.calibration.joint_gate import fit_joint_gate
from specnet.calibration.schedule import fit_schedule
from specnet.errors import ConfigurationError
from specnet.exits import SCORES, ExitPolicy, Parameters, route

FITTERS: dict[str, Callable[[NDArray[np.float32], CachedLogits], Parameters]] = {
    "gate": lambda answers, cached: fit_gate(answers, cached.labels),
    "joint_gate": lambda answers, cached: fit_joint_gate(answers, cached.labels, cached.macs, cached.static_macs),
    "schedule": lambda answers, cached: fit_schedule(answers, cached.labels),
}
"""By score: its numbers, from combined probabilities ``(E, n, C)`` and the spectra that they are of."""


@dataclass(frozen=True)
class Recipe:
    """Names of what is to be fitted.

    Parameters
    ----------
    combiner, score
        Names in `specnet.exits.COMBINERS` and `specnet.exits.SCORES`.
    additive
        Whether exits after exit 0 add to its logits.
    biased
        Whether every class gets a bias at every exit.

    Raises
    ------
    ConfigurationError
        On an unknown score.
    """

    combiner: str
    score: str = "max_probability"
    additive: bool = False
    biased: bool = False

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ConfigurationError(f"unknown score {self.score!r}; known: {', '.join(SCORES)}")

    def fit(self, cached: CachedLogits) -> ExitPolicy:
        """Temperatures and biases, then the combiner's weights, then the gate: a policy that never leaves early."""
        combined = fit_combination(cached, self.combiner, additive=self.additive, biased=self.biased)
        parameters: Parameters = ()
        if SCORES[self.score].parameter_names:
            answers = route(combined, cached.logits).all_probabilities
            parameters = FITTERS[self.score](answers, cached)
        return msgspec.structs.replace(combined, score=self.score, score_parameters=parameters)


@dataclass(frozen=True)
class HeldOutMerit:
    """What leaving at each exit is worth to spectra held out from fitting: score and merit, each ``(E, n)``.

    A right answer is worth 1 and a wrong one 0, but with a hundred spectra the best of many candidates by that measure
    is mostly the luckiest. A calibrated confidence says the same on average and hardly varies, but is wrong where
    calibration is. The merit is the mean of both.
    """

    scores: NDArray[np.float32]
    merit: NDArray[np.float32]

    @classmethod
    def of(cls, cached: CachedLogits, recipe: Recipe) -> Self:
        """Fit the recipe on all folds but one, judge that one; every spectrum once."""
        scores = np.empty((cached.n_exits, cached.n_spectra), dtype=np.float32)
        merit = np.empty_like(scores)
        for fitting, rows in cross_fitting(cached):
            held = cached.take(rows)
            routing = route(recipe.fit(fitting), held.logits)
            right = routing.all_probabilities.argmax(axis=-1) == held.labels
            scores[:, rows] = routing.all_scores
            merit[:, rows] = (right + routing.all_probabilities.max(axis=-1)) / 2
        return cls(scores, merit)

    def taken(self, thresholds: tuple[float, ...]) -> NDArray[np.float32]:
        """Merit ``(n,)`` of each spectrum at the exit where these thresholds let it go."""
        leave = self.scores >= np.asarray(thresholds, dtype=np.float32)[:, np.newaxis]
        leave[-1] = True
        return self.merit[leave.argmax(axis=0), np.arange(self.merit.shape[1])]  # type: ignore[no-any-return]
