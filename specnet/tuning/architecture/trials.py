"""Searching by training one network after the other, Optuna choosing which; by any number of processes together.

Trials that promise nothing are broken off by the median rule: worse at an epoch than half of those that were trained to
the end had been at that epoch. It compares trainings of one schedule, all of whose learning rates fall together;
successive halving and Hyperband need more trials to fill their brackets than a search on a small machine has.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import replace

from optuna import Study, TrialPruned
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.pruners import MedianPruner
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from specnet.errors import ConfigurationError, ModelError
from specnet.nn import SpecNet
from specnet.training.config import TrainConfig
from specnet.training.likelihood import Judged
from specnet.training.loop import train_network
from specnet.tuning.architecture.heartbeat import Owner, Watch, beating
from specnet.tuning.architecture.judging import Cost, Task, build, judge, measure
from specnet.tuning.architecture.ledger import AGAIN, BEAT, OVER_LIMIT, OWNER, RESULT, SHAPE, SPENT, Ledger
from specnet.tuning.architecture.samplers import NumberedSampler, suggest
from specnet.tuning.architecture.searches import Budget, Found, Place, Report
from specnet.tuning.architecture.space import Architecture, SearchSpace
from specnet.tuning.architecture.storage import identity_of, open_study

SHARE = 0.25
"""Of the epochs of a whole training."""
FEWEST_EPOCHS = 6
FIRST_REPORT = 0.25
"""Share of a trial's epochs before which nothing is broken off, and 2 epochs at least: warm-up tells nothing."""
WHOLE_TRIALS = 4
"""Trials that are trained to the end before any is broken off."""
MOST_DRAWS = 300
"""Draws in a row that are over the limit, or known; then the space has no more."""
POLL_S = 0.5


class _OutOfTimeError(Exception):
    """The time of the search is used up in the middle of a trial."""


def search_trials(
    name: str,
    task: Task,
    space: SearchSpace,
    budget: Budget,
    *,
    place: Place,
    report: Report = lambda status: None,
) -> Found:
    """Search until the study has as many trials as it shall have, or time is up.

    A study that was interrupted goes on; trials that a killed process left behind are begun again and count once.

    Parameters
    ----------
    name
        ``"tpe"`` or ``"random"``.
    task, space, budget, place, report
        See `specnet.tuning.architecture.searches.Search`.

    Raises
    ------
    ConfigurationError
        When the storage cannot be used or fails, or its study is of other data, another recipe, space or limit.
    ModelError
        When the space has shapes that the axis does not bear.
    """
    epochs = trial_epochs(task.config, budget.epochs)
    study = open_study(place, identity_of(task, space, name, epochs))
    study.sampler = NumberedSampler(name, task.config.seed)
    study.pruner = MedianPruner(n_startup_trials=WHOLE_TRIALS, n_warmup_steps=first_report(epochs))
    try:
        return _Worker(study, task, space, budget, epochs, report).run()
    except (StorageInternalError, SQLAlchemyError) as error:
        what = f"the storage failed in the middle of the search: {str(error).splitlines()[0]}"
        raise ConfigurationError(f"{what}; what was judged is kept, and the same command goes on from there") from error


def trial_epochs(config: TrainConfig, asked: int) -> int:
    """Epochs of a trial: as asked, or a share of the recipe's."""
    return asked or min(config.epochs, max(FEWEST_EPOCHS, round(SHARE * config.epochs)))


def first_report(epochs: int) -> int:
    """First epoch after which a trial may be broken off."""
    return max(2, math.ceil(FIRST_REPORT * epochs))


class _Worker:
    """One process of a search."""

    def __init__(
        self, study: Study, task: Task, space: SearchSpace, budget: Budget, epochs: int, report: Report
    ) -> None:
        self._study = study
        self._task = task
        self._space = space
        self._budget = budget
        self._epochs = epochs
        self._report = report
        self._begin = time.monotonic()
        self._spent_from = time.process_time()
        self._watch = Watch()
        self._owner = Owner.this_process().to_dict()
        self._draws = 0

    def run(self) -> Found:
        """Begin trials until there is a reason not to."""
        while (why := self._reason_to_end(self._ledger())) is None:
            self._give_up_dead()
            if self._full(self._ledger()):
                self._report(self._ledger().status("waiting for trials of other processes"))
                time.sleep(POLL_S)
                continue
            self._run_trial(self._study.ask())
        return self._ledger().found(why)

    def _ledger(self) -> Ledger:
        return Ledger(self._study.get_trials(deepcopy=False))

    def _reason_to_end(self, ledger: Ledger) -> str | None:
        if self._budget.trials is not None and len(ledger.judged) >= self._budget.trials:
            return f"{len(ledger.judged)} shapes judged"
        if self._time_is_up(ledger):
            return "time is up"
        if self._draws >= MOST_DRAWS:
            return f"{MOST_DRAWS} draws in a row were over the limit or known"
        return None

    def _time_is_up(self, ledger: Ledger, spent: float = 0.0) -> bool:
        """Whether a limit is reached, with processor seconds that are not in the ledger yet.

        Between trials the ledger alone counts: what this process has spent since goes on the bill of its next trial,
        so that a search which is over stays over when it is started again.
        """
        seconds, processor = self._budget.seconds, self._budget.processor_seconds
        if seconds is not None and time.monotonic() - self._begin >= seconds:
            return True
        return processor is not None and ledger.seconds + spent >= processor

    def _full(self, ledger: Ledger, before: int | None = None) -> bool:
        """Whether those that count, and those that may, are as many as wanted; of the latter those `before` only."""
        if self._budget.trials is None:
            return False
        running = [trial for trial in ledger.running if before is None or trial.number < before]
        return len(ledger.judged) + len(running) >= self._budget.trials

    def _spent(self) -> float:
        return time.process_time() - self._spent_from

    def _give_up_dead(self) -> None:
        for trial in self._ledger().running:
            if self._watch.is_dead(trial.number, trial.user_attrs.get(OWNER), trial.user_attrs.get(BEAT)):
                self._give_up(trial)

    def _give_up(self, trial: FrozenTrial, spent: float = 0.0) -> None:
        """End a trial without a result, and have its shape trained by whoever comes next."""
        if not self._tell(trial.number, state=TrialState.FAIL):
            return  # another process was first
        params = {**trial.user_attrs.get(AGAIN, {}), **trial.params}
        if params:
            self._study.enqueue_trial(params, user_attrs={AGAIN: params, SPENT: spent})

    def _run_trial(self, trial: Trial) -> None:
        trial.set_user_attr(OWNER, self._owner)
        if self._full(self._ledger(), before=trial.number):  # several processes asked at the same moment
            self._give_up(self._frozen(trial))
            return
        try:
            with beating(lambda beat: trial.set_user_attr(BEAT, beat)):
                self._draw(trial)
        except _OutOfTimeError:
            self._give_up(self._frozen(trial), self._take_spent())
        except KeyboardInterrupt:
            # the interruption may have hit the storage; then the next process sees that this one is dead
            with suppress(Exception):
                self._give_up(self._frozen(trial), self._take_spent())
            raise
        except UpdateFinishedTrialError:
            return  # another process took this one for dead, and the shape is in its hands
        except BaseException:
            self._tell(trial.number, state=TrialState.FAIL)
            raise

    def _frozen(self, trial: Trial) -> FrozenTrial:
        return self._ledger().trials[trial.number]

    def _take_spent(self) -> float:
        spent, self._spent_from = self._spent(), time.process_time()
        return spent

    def _tell(self, number: int, nats: float | None = None, state: TrialState | None = None) -> bool:
        """End a trial; False when another process has, which took this one for dead."""
        try:
            self._study.tell(number, nats, state=state)
        except (UpdateFinishedTrialError, ValueError):
            if self._ledger().trials[number].state.is_finished():
                return False
            raise
        return True

    def _draw(self, trial: Trial) -> None:
        architecture = suggest(trial, self._space)
        if self._ledger().has(architecture, before=trial.number):
            self._draws += 1
            self._tell(trial.number, state=TrialState.FAIL)
            return
        network = build(self._task, architecture)
        cost = measure(network, self._task)
        trial.set_user_attr(SHAPE, {"architecture": architecture.to_dict(), "macs": cost.macs, "us": cost.us})
        if not self._task.limit.allows(cost):
            self._draws += 1
            self._refuse(trial, cost)
            return
        self._draws = 0
        self._report(self._ledger().status(f"trial {trial.number}: {cost.macs:,} MACs"))
        self._train(trial, architecture, network)
        self._report(self._ledger().status())

    def _refuse(self, trial: Trial, cost: Cost) -> None:
        """Let the sampler know by how much a shape is over the limit; it was not trained and does not count."""
        limit = self._task.limit
        for name, value, most in (("macs", cost.macs, limit.macs), ("us", cost.us, limit.us)):
            if value is not None and most is not None:
                trial.set_constraint(name, math.log(value / most))
        trial.set_user_attr(OVER_LIMIT, True)
        trial.set_user_attr(SPENT, self._take_spent())
        self._tell(trial.number, state=TrialState.PRUNED)

    def _train(self, trial: Trial, architecture: Architecture, network: SpecNet) -> None:
        config = replace(self._task.config, **architecture.training_options, epochs=self._epochs)
        done, judged = 0, None

        def report(epoch: int, values: dict[str, float]) -> None:
            nonlocal done, judged
            done = epoch
            if epoch == self._epochs:
                return
            if self._time_is_up(self._ledger(), self._spent()):
                raise _OutOfTimeError
            if epoch >= first_report(self._epochs):
                judged = judge(network, self._task)
                trial.report(judged.nats, epoch)
                if trial.should_prune():
                    raise TrialPruned

        state = TrialState.PRUNED
        try:
            train_network(network, self._task.training, config, offsets=self._task.offsets, report=report)
            judged, state = judge(network, self._task), TrialState.COMPLETE
        except TrialPruned:
            pass
        except ModelError:  # the loss is not finite, which says what a shape is good for
            judged = None
        self._end(trial, judged, state, done)

    def _end(self, trial: Trial, judged: Judged | None, state: TrialState, epochs: int) -> None:
        if judged is None or not math.isfinite(judged.nats):
            judged, state = None, TrialState.PRUNED
        accuracy = None if judged is None else judged.accuracy
        trial.set_user_attr(RESULT, {"epochs": epochs, "seconds": self._take_spent(), "accuracy": accuracy})
        whole = judged is not None and state == TrialState.COMPLETE
        self._tell(trial.number, judged.nats if judged is not None and whole else None, state)
