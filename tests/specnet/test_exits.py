"""The combination of exits and the decision to leave, against loops a reader can check."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support_cached_logits import make_cached

from specnet.errors import ConfigurationError
from specnet.exits import COMBINERS, NEVER, SCORES, ExitPolicy, log_softmax, route


def _softmax(values: list[float]) -> list[float]:
    top = max(values)
    powers = [math.exp(value - top) for value in values]
    return [power / sum(powers) for power in powers]


def _score(name: str, p: list[float]) -> float:
    ordered = sorted(p, reverse=True)
    if name == "max_probability":
        return ordered[0]
    if name == "margin":
        return ordered[0] - ordered[1]
    return 1 + sum(x * math.log(x) for x in p if x > 0) / math.log(len(p))


def _slow_route(policy: ExitPolicy, logits: np.ndarray, row: int) -> tuple[int, list[float]]:
    """One spectrum, exit after exit, in double precision."""
    running: list[list[float]] = []
    for k in range(policy.n_exits):
        own = _softmax([float(value) / policy.temperatures[k] for value in logits[k, row]])
        running.append([math.log(p) for p in own])
        if policy.combiner == "mean_log_probability":
            own = _softmax([sum(column) / (k + 1) for column in zip(*running, strict=True)])
        if k == policy.n_exits - 1 or _score(policy.score, own) >= policy.thresholds[k]:
            return k, own
    raise AssertionError("the last exit always answers")


@pytest.mark.parametrize("combiner", sorted(COMBINERS))
@pytest.mark.parametrize("score", sorted(SCORES))
def test_route_equals_a_loop_over_single_spectra(combiner: str, score: str) -> None:
    cached = make_cached(seed=3, n=150, temperatures=(1.0, 0.5, 2.0, 3.0))
    policy = ExitPolicy(
        temperatures=(1.1, 0.6, 1.9, 2.5), thresholds=(0.62345, 0.51234, 0.41234, 0.0), combiner=combiner, score=score
    )
    routing = route(policy, cached.logits)
    assert len(set(routing.exit_index.tolist())) == 4, "every exit should be taken by someone"
    for row in range(cached.n_spectra):
        exit_index, probabilities = _slow_route(policy, cached.logits, row)
        assert routing.exit_index[row] == exit_index
        np.testing.assert_allclose(routing.probabilities[row], probabilities, atol=2e-5)


@pytest.mark.parametrize("combiner", sorted(COMBINERS))
def test_state_carried_across_a_split_gives_the_unsplit_answer(combiner: str) -> None:
    """A device runs exits 0..split, a gateway the rest with the state that arrived as bytes."""
    cached = make_cached(seed=4, n=60)
    policy = ExitPolicy(temperatures=(1.0, 1.5, 0.7, 1.0), thresholds=(0.8, 0.7, 0.6, 0.0), combiner=combiner)
    whole = route(policy, cached.logits)
    for split in range(policy.n_exits - 1):
        state = policy.initial_state(cached.n_spectra, cached.n_classes)
        for k in range(split + 1):
            state = policy.decide(k, cached.logits[k], state).state
        received = np.frombuffer(state.tobytes(), dtype=np.float32).reshape(state.shape)
        assert received.shape == (cached.n_spectra, policy.state_size(cached.n_classes))
        for k in range(split + 1, policy.n_exits):
            decision = policy.decide(k, cached.logits[k], received)
            received = decision.state
            np.testing.assert_array_equal(decision.probabilities, whole.all_probabilities[k])


def test_never_closes_an_exit_even_for_certain_predictions() -> None:
    certain = np.array([[[100.0, 0.0]], [[0.0, 100.0]]], dtype=np.float32)
    for score in SCORES:
        policy = ExitPolicy(temperatures=(1.0, 1.0), thresholds=(NEVER, 0.0), combiner="last", score=score)
        assert route(policy, certain).exit_index.tolist() == [1]


def test_a_score_equal_to_the_threshold_leaves() -> None:
    cached = make_cached(seed=5, n=40)
    base = ExitPolicy(temperatures=(1.0,) * 4, thresholds=(NEVER,) * 4)
    score = float(route(base, cached.logits).all_scores[0, 7])
    exact = ExitPolicy(temperatures=(1.0,) * 4, thresholds=(score, NEVER, NEVER, 0.0))
    above = ExitPolicy(temperatures=(1.0,) * 4, thresholds=(np.nextafter(np.float32(score), 2), NEVER, NEVER, 0.0))
    assert route(exact, cached.logits).exit_index[7] == 0
    assert route(above, cached.logits).exit_index[7] == 3


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (5, 4), elements=st.floats(-1e4, 1e4, width=32)), st.sampled_from(sorted(SCORES)))
def test_probabilities_sum_to_one_and_scores_stay_in_range(logits: np.ndarray, score: str) -> None:
    probabilities = np.exp(log_softmax(logits))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    scores = SCORES[score](probabilities)
    assert (scores >= -1e-5).all()
    assert (scores <= 1 + 1e-5).all()
    assert (scores < NEVER).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"combiner": "median"}, "unknown combiner 'median'; known: last, mean_log_probability"),
        ({"score": "luck"}, "unknown score 'luck'"),
        ({"thresholds": (0.5,)}, "got 2 and 1"),
        ({"temperatures": (1.0, 0.0)}, "temperatures are positive"),
        ({"temperatures": (1.0, float("nan"))}, "temperatures are positive"),
        ({"thresholds": (float("inf"), 0.0)}, "thresholds are finite"),
        ({"temperatures": (), "thresholds": ()}, "got 0 and 0"),
        ({"temperatures": (1.0,) * 65, "thresholds": (1.0,) * 65}, "at most 64"),
    ],
)
def test_an_invalid_policy_is_refused_with_what_was_found(changes: dict[str, object], message: str) -> None:
    plain: dict[str, object] = {"temperatures": (1.0, 1.0), "thresholds": (0.5, 0.0)}
    with pytest.raises(ConfigurationError, match=message):
        ExitPolicy(**(plain | changes))  # type: ignore[arg-type]


def test_logits_of_another_number_of_exits_are_refused() -> None:
    policy = ExitPolicy(temperatures=(1.0, 1.0), thresholds=(0.5, 0.0))
    with pytest.raises(ConfigurationError, match="the policy has 2 exits, the logits have 4"):
        route(policy, make_cached(seed=0, n=3).logits)
