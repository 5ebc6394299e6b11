"""What the trials of a study stand for: which count, which were over the limit, and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from specnet.tuning.architecture.searches import COMPLETE, PRUNED, Candidate, Found, Status
from specnet.tuning.architecture.space import Architecture

SHAPE, RESULT, OVER_LIMIT, SPENT, OWNER, BEAT, AGAIN = (
    "shape",
    "result",
    "over_limit",
    "spent_seconds",
    "owner",
    "beat",
    "again",
)
"""Names of user attributes; all of them are JSON."""


@dataclass(frozen=True)
class Ledger:
    """The trials of a study at one moment."""

    trials: Sequence[FrozenTrial]

    @property
    def judged(self) -> list[FrozenTrial]:
        """Trials that count: trained to the end, pruned, or diverged."""
        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        return [trial for trial in self.trials if trial.state in ended and RESULT in trial.user_attrs]

    @property
    def running(self) -> list[FrozenTrial]:
        """Trials that some process has begun and not ended; it may be dead."""
        return [trial for trial in self.trials if trial.state == TrialState.RUNNING]

    @property
    def infeasible(self) -> int:
        """Draws over the limit."""
        return sum(OVER_LIMIT in trial.user_attrs for trial in self.trials)

    @property
    def seconds(self) -> float:
        """Processor seconds of all trials, those included that were given up."""
        whole = sum(float(trial.user_attrs[RESULT]["seconds"]) for trial in self.judged)
        return whole + sum(float(trial.user_attrs.get(SPENT, 0.0)) for trial in self.trials)

    def has(self, architecture: Architecture, before: int) -> bool:
        """Whether a shape has been judged, or is in the hands of a process that began it before trial `before`."""
        plain = architecture.to_dict()
        known = [*self.judged, *(trial for trial in self.running if trial.number < before)]
        return any(trial.user_attrs.get(SHAPE, {}).get("architecture") == plain for trial in known)

    def status(self, text: str = "") -> Status:
        """Summary for who watches."""
        judged = self.judged
        values = [trial.value for trial in judged if trial.state == TrialState.COMPLETE and trial.value is not None]
        pruned = sum(trial.state == TrialState.PRUNED for trial in judged)
        return Status(len(judged), pruned, self.infeasible, min(values, default=None), text)

    def found(self, why: str) -> Found:
        """Everything that was judged."""
        return Found(tuple(_candidate(trial) for trial in self.judged), self.infeasible, self.seconds, why)


def _candidate(trial: FrozenTrial) -> Candidate:
    shape, result = trial.user_attrs[SHAPE], trial.user_attrs[RESULT]
    return Candidate(
        number=trial.number,
        architecture=Architecture.from_dict(shape["architecture"]),
        macs=shape["macs"],
        us=shape["us"],
        state=COMPLETE if trial.state == TrialState.COMPLETE else PRUNED,
        epochs=result["epochs"],
        seconds=result["seconds"],
        nats=None if result["accuracy"] is None else trial.value,
        accuracy=result["accuracy"],
    )
