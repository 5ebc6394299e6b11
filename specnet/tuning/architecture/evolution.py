"""Evolution over shapes whose judgement is cheap, and random search to compare it with.

Legend: P parents.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from specnet.errors import ConfigurationError
from specnet.tuning.architecture.space import Architecture, SearchSpace

DRAWS = 400
"""Draws in a row, all over the limit or judged before, after which a space is taken to be exhausted."""
EXHAUSTED = "no shape within the limit is left"

Judge = Callable[[Architecture], float]
Feasible = Callable[[Architecture], bool]
Stop = Callable[[Architecture], str]


@dataclass(frozen=True)
class Breeding:
    """How one generation follows from the ones before it.

    Parameters
    ----------
    population
        Shapes of a generation.
    parents
        The best of all shapes so far that the next generation comes from.
    crossed
        Share of a generation that has two parents; the others have one and are mutated, and so are children of two
        that have been judged before.
    rate
        Probability that mutation draws a choice anew.
    """

    population: int = 20
    parents: int = 8
    crossed: float = 0.5
    rate: float = 0.2

    def __post_init__(self) -> None:
        if not 1 <= self.parents <= self.population:
            raise ConfigurationError(
                f"{self.parents} parents of a population of {self.population}, expected 1 to {self.population}"
            )
        for name in ("crossed", "rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}, expected from 0 to 1")


@dataclass(frozen=True)
class Scored:
    """A shape and its nats; infinite where it cannot be used."""

    architecture: Architecture
    nats: float


@dataclass(frozen=True)
class Generation:
    """What a generation brought.

    Parameters
    ----------
    number
        From 0, the random one.
    judged
        Shapes judged so far.
    best
        The best of them.
    median
        Median nats of this generation alone.
    """

    number: int
    judged: int
    best: Scored
    median: float


@dataclass
class Ancestry:
    """All that a search has judged.

    Parameters
    ----------
    scored
        Every shape once, in the order of judgement.
    generations
        One entry a generation; random search has a single one.
    infeasible
        Draws over the limit.
    why
        Why the search ended, in half a sentence.
    """

    scored: list[Scored] = field(default_factory=list)
    generations: list[Generation] = field(default_factory=list)
    infeasible: int = 0
    why: str = ""

    @property
    def ranked(self) -> list[Scored]:
        """Shapes, the best first; of equal ones the one that was judged first."""
        return sorted(self.scored, key=lambda one: one.nats)


Report = Callable[[Ancestry], None]


def evolve(
    space: SearchSpace,
    judge: Judge,
    shapes: int,
    seed: int,
    *,
    feasible: Feasible = lambda architecture: True,
    breeding: Breeding | None = None,
    stop: Stop = lambda architecture: "",
    report: Report = lambda found: None,
) -> Ancestry:
    """Search by evolution: the best shapes so far are crossed and mutated (Guo et al. 2020, algorithm 1).

    Every shape is judged once. The same seed gives the same shapes, as long as judge and limit say the same.

    Parameters
    ----------
    space
        What is chosen from.
    judge
        Nats of a shape, lower is better.
    shapes
        Number of shapes that are judged.
    seed
        Of all draws.
    feasible
        Whether a shape may be judged at all.
    breeding
        How generations follow from each other.
    stop
        Asked before each judgement, with the shape that is next; a reason to end, or an empty string.
    report
        Called after each judgement with all that there are.

    Raises
    ------
    ConfigurationError
        When no shape of `DRAWS` draws is feasible.
    """
    breeding, rng, found = breeding or Breeding(), np.random.default_rng(seed), Ancestry()
    pool = _Pool(space, feasible, rng, found)
    while len(found.scored) < shapes and not found.why:
        parents = [one.architecture for one in found.ranked[: breeding.parents]]
        size = min(breeding.population, shapes - len(found.scored))

        def child(index: int, parents: list[Architecture] = parents, size: int = size) -> Architecture | None:
            if not parents:
                return pool.random()
            return pool.child(parents, breeding, crossed=index < round(breeding.crossed * size))

        if not _judge_generation(found, size, child, judge, stop, report):
            found.why = found.why or EXHAUSTED
    found.why = found.why or f"{shapes} shapes judged"
    return found


def random_search(
    space: SearchSpace,
    judge: Judge,
    shapes: int,
    seed: int,
    *,
    feasible: Feasible = lambda architecture: True,
    stop: Stop = lambda architecture: "",
    report: Report = lambda found: None,
) -> Ancestry:
    """Judge random shapes, every one once: what evolution has to beat. Parameters and errors as for `evolve`."""
    found = Ancestry()
    pool = _Pool(space, feasible, np.random.default_rng(seed), found)
    if _judge_generation(found, shapes, lambda index: pool.random(), judge, stop, report) < shapes:
        found.why = found.why or EXHAUSTED
    found.why = found.why or f"{shapes} shapes judged"
    return found


def _judge_generation(
    found: Ancestry,
    size: int,
    draw: Callable[[int], Architecture | None],
    judge: Judge,
    stop: Stop,
    report: Report,
) -> int:
    """Judge at most `size` new shapes; give how many there were."""
    nats: list[float] = []
    for index in range(size):
        drawn = draw(index)
        if drawn is None:
            break
        found.why = stop(drawn)
        if found.why:
            break
        score = judge(drawn)
        nats.append(math.inf if math.isnan(score) else score)
        found.scored.append(Scored(drawn, nats[-1]))
        report(found)
    if nats:
        number, median = len(found.generations), float(np.median(nats))
        found.generations.append(Generation(number, len(found.scored), found.ranked[0], median))
    return len(nats)


class _Pool:
    """Shapes that are feasible and have not been given out."""

    def __init__(self, space: SearchSpace, feasible: Feasible, rng: np.random.Generator, found: Ancestry) -> None:
        self.space, self.feasible, self.rng, self.found = space, feasible, rng, found
        self.given: set[Architecture] = set()

    def random(self) -> Architecture | None:
        """Draw from the whole space; None where nothing seems to be left."""
        for _ in range(DRAWS):
            if self._take(drawn := self.space.sample(self.rng)):
                return drawn
        if not self.given:
            raise ConfigurationError(
                f"none of {DRAWS} shapes drawn from the space is within the limit; it needs a wider limit or smaller "
                "choices"
            )
        return None

    def child(self, parents: list[Architecture], breeding: Breeding, *, crossed: bool) -> Architecture | None:
        """Draw from the neighbourhood of the parents; where that is exhausted, from the whole space."""
        for _ in range(DRAWS):
            drawn = parents[int(self.rng.integers(len(parents)))]
            if crossed:
                drawn = self.space.cross(drawn, parents[int(self.rng.integers(len(parents)))], self.rng)
            if not crossed or drawn in self.given:  # parents that are alike have children that are known
                drawn = self.space.mutate(drawn, self.rng, breeding.rate)
            if self._take(drawn):
                return drawn
        return self.random()

    def _take(self, drawn: Architecture) -> bool:
        if drawn in self.given:
            return False
        if not self.feasible(drawn):
            self.found.infeasible += 1
            return False
        self.given.add(drawn)
        return True
