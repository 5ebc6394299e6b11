"""Evolution over shapes: better than chance, within the limit, the same for a seed, and ending by itself."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import median

import numpy as np
import pytest

from specnet.errors import ConfigurationError
from specnet.tuning.architecture.evolution import Ancestry, Breeding, evolve, random_search
from specnet.tuning.architecture.space import Architecture, SearchSpace

SPACE = SearchSpace.for_axis(1000)
TARGET = Architecture((12, 24, 32, 64), (2, 0, 3, 1), "ghost", 12, 32, 16)
SMALL = SearchSpace((1,), ((4, 8),), (0, 1), ("plain",), (4,), (4,), (2, 3))
"""Eight shapes."""


def distance(architecture: Architecture) -> float:
    """Choices that differ from the target, a missing or surplus stage for two; 0 at the target alone."""
    shared = zip(architecture.widths, TARGET.widths, strict=False), zip(architecture.units, TARGET.units, strict=False)
    wrong = sum(mine != its for pairs in shared for mine, its in pairs)
    whole = ("block", "stem_channels", "head_bins", "head_channels")
    wrong += sum(getattr(architecture, name) != getattr(TARGET, name) for name in whole)
    return float(wrong + 2 * abs(architecture.n_stages - TARGET.n_stages))


def test_it_gets_closer_to_the_optimum_than_chance_with_as_many_judgements() -> None:
    evolved = [evolve(SPACE, distance, 300, seed).ranked[0].nats for seed in range(5)]
    drawn = [random_search(SPACE, distance, 300, seed).ranked[0].nats for seed in range(5)]
    assert max(evolved) < min(drawn)
    assert median(evolved) <= 1
    assert TARGET in SPACE
    assert distance(TARGET) == 0


def test_no_shape_is_judged_twice_and_generations_are_logged() -> None:
    calls: list[Architecture] = []

    def judge(architecture: Architecture) -> float:
        calls.append(architecture)
        return distance(architecture)

    seen: list[int] = []
    found = evolve(SPACE, judge, 90, 3, breeding=Breeding(population=25), report=lambda a: seen.append(len(a.scored)))
    assert len(set(calls)) == len(calls) == 90
    assert [one.architecture for one in found.scored] == calls
    assert all(one.nats == distance(one.architecture) for one in found.scored)
    assert seen == list(range(1, 91))
    assert [generation.judged for generation in found.generations] == [25, 50, 75, 90]
    bests = [generation.best.nats for generation in found.generations]
    assert bests == sorted(bests, reverse=True)
    assert bests[-1] == found.ranked[0].nats
    assert found.generations[-1].median < found.generations[0].median
    assert found.why == "90 shapes judged"


@pytest.mark.parametrize("walk", [evolve, random_search])
def test_a_seed_decides_everything(walk: object) -> None:
    assert callable(walk)

    def shapes(seed: int) -> list[Architecture]:
        found: Ancestry = walk(SPACE, distance, 60, seed)
        return [one.architecture for one in found.scored]

    assert shapes(1) == shapes(1) != shapes(2)


@pytest.mark.parametrize("walk", [evolve, random_search])
def test_only_shapes_within_the_limit_are_judged(walk: object) -> None:
    assert callable(walk)
    judged: list[Architecture] = []

    def judge(architecture: Architecture) -> float:
        judged.append(architecture)
        return -float(sum(architecture.widths))

    found: Ancestry = walk(SPACE, judge, 80, 0, feasible=lambda architecture: sum(architecture.widths) <= 100)
    assert len(judged) == 80
    assert max(sum(architecture.widths) for architecture in judged) <= 100
    assert found.infeasible > 0


@pytest.mark.parametrize("walk", [evolve, random_search])
def test_an_exhausted_space_ends_the_search(walk: object) -> None:
    assert callable(walk)
    found: Ancestry = walk(SMALL, lambda architecture: 1.0, 50, 0)
    assert len(found.scored) == 8
    assert found.why == "no shape within the limit is left"


def test_a_narrow_limit_is_reached_through_children_where_draws_fail() -> None:
    narrow = replace(TARGET, units=(2, 0, 3, 2))

    def near(architecture: Architecture) -> bool:
        return sum(a != b for a, b in zip(_choices(architecture), _choices(narrow), strict=False)) <= 3

    lucky = next(seed for seed in range(10_000) if near(SPACE.sample(np.random.default_rng(seed))))
    found = evolve(SPACE, distance, 12, lucky, feasible=near)
    assert len(found.scored) == 12
    assert len(random_search(SPACE, distance, 12, lucky, feasible=near).scored) < 12


def _choices(architecture: Architecture) -> tuple[object, ...]:
    values = architecture.to_dict()
    return (
        architecture.n_stages,
        *(x for value in values.values() for x in (value if isinstance(value, list) else [value])),
    )


def test_a_limit_that_nothing_meets_is_a_mistake_of_the_user() -> None:
    with pytest.raises(ConfigurationError, match="none of 400 shapes"):
        evolve(SPACE, distance, 10, 0, feasible=lambda architecture: False)


def test_a_shape_without_a_number_is_never_the_best() -> None:
    def judge(architecture: Architecture) -> float:
        return math.nan if architecture.block == "plain" else distance(architecture)

    found = evolve(SPACE, judge, 60, 0)
    assert any(math.isinf(one.nats) for one in found.scored)
    assert all(math.isfinite(one.nats) == (one.architecture.block != "plain") for one in found.scored)
    assert math.isfinite(found.ranked[0].nats)


def test_it_ends_when_it_is_told_to_and_keeps_what_it_has() -> None:
    left = iter([""] * 30 + ["time is over"])
    found = evolve(SPACE, distance, 100, 0, stop=lambda shape: next(left))
    assert len(found.scored) == 30
    assert found.why == "time is over"
    assert [generation.judged for generation in found.generations] == [20, 30]


def test_impossible_breeding_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="30 parents of a population of 20"):
        Breeding(parents=30)
    with pytest.raises(ConfigurationError, match=r"rate is 1\.5"):
        Breeding(rate=1.5)


def test_random_search_draws_as_the_space_does() -> None:
    rng = np.random.default_rng(4)
    drawn = [SPACE.sample(rng) for _ in range(30)]
    assert [one.architecture for one in random_search(SPACE, distance, 30, 4).scored] == drawn
