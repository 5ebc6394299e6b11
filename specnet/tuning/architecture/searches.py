"""What a search for a shape is given and what it gives back, whichever way it goes about it; and all there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

from specnet.errors import ConfigurationError, ModelError
from specnet.tuning.architecture.judging import Task
from specnet.tuning.architecture.space import Architecture, SearchSpace

STUDY = "architecture"
COMPLETE, PRUNED = "complete", "pruned"


class NothingFoundError(ModelError):
    """A search ended before it had a shape to show."""


@dataclass(frozen=True)
class Budget:
    """What ends a search: whatever is used up first.

    Parameters
    ----------
    trials
        Shapes judged, those whose training was broken off included; None for any number.
    seconds
        Wall clock of this call; None for no limit.
    processor_seconds
        Of the search as a whole, everything that it trains included; None for no limit.
    epochs
        Of one training within the search; 0 for what the search finds fitting.
    """

    trials: int | None = None
    seconds: float | None = None
    processor_seconds: float | None = None
    epochs: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not (value >= 0 if field.name == "epochs" else value > 0):
                raise ConfigurationError(f"{field.name} of a search are {value}, expected more than 0")
        if self.trials is None and self.seconds is None and self.processor_seconds is None:
            raise ConfigurationError("a search without a number of trials needs a limit of its time")


@dataclass(frozen=True)
class Place:
    """Where a search keeps what it has done.

    Parameters
    ----------
    folder
        For files; it exists.
    storage
        URL of a database, or a journal on a share, that several machines search in; None for a journal in the folder.
    study
        Name within the storage.
    """

    folder: Path
    storage: str | None = None
    study: str = STUDY


@dataclass(frozen=True)
class Candidate:
    """A shape that was judged.

    Parameters
    ----------
    number
        In the order of the search, with gaps.
    architecture, macs, us
        Shape and cost; microseconds where they were measured.
    state
        `COMPLETE`, or `PRUNED` where training was broken off.
    epochs, seconds
        Trained for it alone, and processor seconds of that.
    nats, accuracy
        On calibration spectra, see `specnet.training.likelihood`; None where training diverged or nothing was judged.
    """

    number: int
    architecture: Architecture
    macs: int
    us: float | None
    state: str
    epochs: int
    seconds: float
    nats: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Found:
    """What a search found.

    Parameters
    ----------
    candidates
        All shapes that were judged, by number.
    infeasible
        Draws over the limit, which were not trained.
    seconds
        Processor seconds of the whole search.
    why
        Why it ended, in half a sentence.
    """

    candidates: tuple[Candidate, ...]
    infeasible: int
    seconds: float
    why: str

    @property
    def ranked(self) -> list[Candidate]:
        """Shapes that were trained and judged to the end, the best first."""
        whole = [one for one in self.candidates if one.state == COMPLETE and one.nats is not None]
        return sorted(whole, key=lambda one: (one.nats, one.number))

    @property
    def best(self) -> Candidate:
        """The shape with the least nats.

        Raises
        ------
        NothingFoundError
            When none was trained to the end.
        """
        if not self.ranked:
            raise NothingFoundError(
                f"no shape was trained to the end ({self.why}; {self.infeasible} draws over the limit): "
                "a search needs more time, a wider limit or another space"
            )
        return self.ranked[0]


@dataclass(frozen=True)
class Status:
    """How far a search is, shown while it runs."""

    finished: int
    pruned: int
    infeasible: int
    best: float | None
    text: str = ""


Report = Callable[[Status], None]


class Search(Protocol):
    """A way to search."""

    def __call__(
        self, task: Task, space: SearchSpace, budget: Budget, *, place: Place, report: Report = lambda status: None
    ) -> Found:
        """Search until the budget is used up; random numbers follow from the seed of the task's recipe.

        Raises
        ------
        SpecnetError
            When what is kept in `place` is another search's.
        """


@dataclass(frozen=True)
class Kind:
    """A search and what can be done with it.

    Parameters
    ----------
    run
        The search.
    shared
        Whether several processes can work on one.
    """

    run: Search
    shared: bool


def find_search(name: str) -> Kind:
    """Look a search up by name.

    Raises
    ------
    ConfigurationError
        For an unknown name.
    """
    if name not in SEARCHES:
        raise ConfigurationError(f"unknown search {name!r}; known: {', '.join(SEARCHES)}")
    return SEARCHES[name]


def _tpe(
    task: Task, space: SearchSpace, budget: Budget, *, place: Place, report: Report = lambda status: None
) -> Found:
    from specnet.tuning.architecture.trials import search_trials

    return search_trials("tpe", task, space, budget, place=place, report=report)


def _random(
    task: Task, space: SearchSpace, budget: Budget, *, place: Place, report: Report = lambda status: None
) -> Found:
    from specnet.tuning.architecture.trials import search_trials

    return search_trials("random", task, space, budget, place=place, report=report)


def _supernet(
    task: Task, space: SearchSpace, budget: Budget, *, place: Place, report: Report = lambda status: None
) -> Found:
    from specnet.tuning.architecture.supernet_search import search_supernet

    return search_supernet(task, space, budget, place=place, report=report)


SEARCHES: dict[str, Kind] = {
    "tpe": Kind(_tpe, shared=True),
    "random": Kind(_random, shared=True),
    "supernet": Kind(_supernet, shared=False),
}
"""All there are; modules are imported when one is used, because Optuna is an extra."""
