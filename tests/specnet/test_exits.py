"""The combination of exits and the decision to leave, against loops a reader can check."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support_cached_logits import make_cached

from specnet.errors import ConfigurationError
from specnet.exits import COMBINERS, NEVER, REJECT_SCORES, SCORES, ExitPolicy, log_softmax, route
from specnet.wire.messages import MAX_STATE_VALUE

PARAMETERS = {
    "geometric": ((0.0, 1.0), (0.4, 0.9), (0.8, 0.3), (1.1, 0.2)),
    "schedule": ((3.0, 1.0, 0.0, -2.5), (2.0, 1.0, 1.5, -2.5), (2.0, 0.5, -1.0, -1.0), (1.0,) * 4),
    "joint_gate": ((1.0, 3.0, 0.5, -0.5, -2.0),) * 4,
    "gate": ((4.0, 1.0, 2.0, 0.5, -3.0), (3.0, 1.0, 1.0, 1.5, -3.5), (2.0, 0.5, 1.0, 1.0, -3.0), (1.0,) * 5),
}
TEMPERATURES = (1.1, 0.6, 1.9, 2.5)
BIASES = tuple(tuple(0.3 * ((3 * k + 5 * c) % 7) - 0.9 for c in range(6)) for k in range(4))
BOTH = [(combiner, score) for combiner in COMBINERS for score in SCORES]


def _policy(combiner: str, score: str, *, additive: bool = False, **changes: Any) -> ExitPolicy:
    plain = {"temperatures": TEMPERATURES, "thresholds": (NEVER,) * 4, "combiner": combiner, "score": score}
    parameters = {
        "combiner_parameters": PARAMETERS.get(combiner, ()),
        "score_parameters": PARAMETERS.get(score, ()),
    }
    return ExitPolicy(**(plain | parameters | {"additive": additive} | changes))


def _many(combiner: str, score: str, *, additive: bool, **changes: Any) -> ExitPolicy:
    """Additive exits have biases of classes as well."""
    return _policy(combiner, score, additive=additive, biases=BIASES if additive else (), **changes)


def _with_medians(policy: ExitPolicy, logits: np.ndarray) -> ExitPolicy:
    """Thresholds at medians of those still there, so that exits are taken; between values, so no rounding decides."""
    scores, there = route(policy, logits).all_scores, np.ones(logits.shape[1], dtype=np.bool_)
    thresholds = []
    for k in range(3):
        levels = np.unique(scores[k, there])
        if len(levels) < 2:  # patience says the same of all at exit 0
            thresholds.append(NEVER)
            continue
        middle = len(levels) // 2
        thresholds.append(float(levels[middle - 1 : middle + 1].mean(dtype=np.float64)))
        there &= scores[k] < np.float32(thresholds[-1])
    return msgspec.structs.replace(policy, thresholds=(*thresholds, 0.0))


def _softmax(values: list[float]) -> list[float]:
    top = max(values)
    powers = [math.exp(value - top) for value in values]
    return [power / sum(powers) for power in powers]


def _entropy_score(p: list[float]) -> float:
    return 1 + sum(x * math.log(x) for x in p if x > 0) / math.log(len(p))


def _score(name: str, answers: list[list[float]]) -> float:
    """Score of the last of the answers given so far."""
    p, labels = answers[-1], [answer.index(max(answer)) for answer in answers]
    ordered = sorted(p, reverse=True)
    if name == "max_probability":
        return ordered[0]
    if name == "margin":
        return ordered[0] - ordered[1]
    if name == "negentropy":
        return _entropy_score(p)
    if name == "patience":
        same = 1
        while same < len(labels) and labels[-same - 1] == labels[-1]:
            same += 1
        return 1 - 1 / same
    if name == "schedule":
        past = _score(name, answers[:-1]) if len(answers) > 1 else 0.0
        seen = [ordered[0], _entropy_score(p), past, 1.0]
        return 1 / (1 + math.exp(-sum(w * x for w, x in zip(PARAMETERS[name][len(answers) - 1], seen, strict=True))))
    agrees = float(len(labels) > 1 and labels[-1] == labels[-2])
    features = [ordered[0], ordered[0] - ordered[1], _entropy_score(p), agrees, 1.0]
    logit = sum(w * x for w, x in zip(PARAMETERS[name][len(answers) - 1], features, strict=True))
    return 1 / (1 + math.exp(-logit))


def _slow_route(policy: ExitPolicy, logits: np.ndarray, row: int) -> tuple[int, list[float]]:
    """One spectrum, exit after exit, in double precision."""
    logs: list[list[float]] = []
    answers: list[list[float]] = []
    products: list[list[float]] = []
    for k in range(policy.n_exits):
        raw = [float(value) for value in logits[k, row]]
        if policy.additive and k:
            raw = [value + float(first) for value, first in zip(raw, logits[0, row], strict=True)]
        biases = policy.biases[k] if policy.biases else (0.0,) * len(raw)
        tempered = [value / policy.temperatures[k] + bias for value, bias in zip(raw, biases, strict=True)]
        own = _softmax(tempered)
        logs.append([math.log(p) for p in own])
        if policy.combiner == "mean_log_probability":
            own = _softmax([sum(column) / (k + 1) for column in zip(*logs, strict=True)])
        elif policy.combiner == "geometric":
            running = [0.0] * len(own)
            for (a, b), log_p in zip(policy.combiner_parameters, logs, strict=False):
                running = [a * f + b * value for f, value in zip(running, log_p, strict=True)]
            own = _softmax(running)
        elif policy.combiner == "product":
            products.append([max(0.0, value) for value in tempered])
            left = [math.prod(column) for column in zip(*products, strict=True)]
            own = [value / sum(left) for value in left] if any(left) else own
        answers.append(own)
        if k == policy.n_exits - 1 or _score(policy.score, answers) >= policy.thresholds[k]:
            return k, own
    raise AssertionError("the last exit always answers")


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize(("combiner", "score"), BOTH)
def test_route_equals_a_loop_over_single_spectra(combiner: str, score: str, additive: bool) -> None:
    cached = make_cached(seed=3, n=100, temperatures=(1.0, 0.5, 2.0, 3.0))
    policy = _with_medians(_many(combiner, score, additive=additive), cached.logits)
    routing = route(policy, cached.logits)
    taken = len(set(routing.exit_index.tolist()))
    assert taken >= (2 if score == "patience" else 4), "exits should be taken by someone"
    for row in range(cached.n_spectra):
        exit_index, probabilities = _slow_route(policy, cached.logits, row)
        assert routing.exit_index[row] == exit_index
        np.testing.assert_allclose(routing.probabilities[row], probabilities, atol=2e-5)
    assert routing.all_probabilities.shape == routing.own_probabilities.shape == (4, 100, 6)
    assert routing.all_scores.shape == (4, 100)
    assert routing.known.shape == routing.reject_scores.shape == (100,)
    assert routing.all_scores.min() >= -1e-5
    assert routing.all_scores.max() <= 1 + 1e-5


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize(("combiner", "score"), BOTH)
def test_state_carried_across_a_split_gives_the_unsplit_answer(combiner: str, score: str, additive: bool) -> None:
    """A device runs exits 0..split, a gateway the rest with the state that arrived as bytes."""
    cached = make_cached(seed=4, n=60)
    policy = _many(combiner, score, additive=additive, reject="energy", reject_threshold=-2.0)
    policy = _with_medians(policy, cached.logits)
    whole = route(policy, cached.logits)
    for split in range(policy.n_exits - 1):
        state = policy.initial_state(cached.n_spectra, cached.n_classes)
        for k in range(split + 1):
            state = policy.decide(k, cached.logits[k], state).state
        received = np.frombuffer(state.astype("<f4").tobytes(), dtype="<f4").reshape(state.shape)
        assert received.shape == (cached.n_spectra, policy.state_size(cached.n_classes))
        assert received.shape[1] <= 3 * cached.n_classes + 2
        for k in range(split + 1, policy.n_exits):
            decision = policy.decide(k, cached.logits[k], received)
            received = decision.state
            np.testing.assert_array_equal(decision.probabilities, whole.all_probabilities[k])
            np.testing.assert_array_equal(decision.score, whole.all_scores[k])
            there = whole.exit_index == k
            np.testing.assert_array_equal(decision.known[there], whole.known[there])


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize(("combiner", "score"), BOTH)
def test_deciding_one_by_one_equals_deciding_together(combiner: str, score: str, additive: bool) -> None:
    cached = make_cached(seed=6, n=12)
    policy = _many(combiner, score, additive=additive)
    whole = route(policy, cached.logits)
    for row in range(12):
        alone = route(policy, cached.logits[:, row : row + 1])
        np.testing.assert_allclose(alone.all_probabilities[:, 0], whole.all_probabilities[:, row], atol=1e-6)
        np.testing.assert_allclose(alone.all_scores[:, 0], whole.all_scores[:, row], atol=1e-5)


@pytest.mark.parametrize(("combiner", "score"), BOTH)
def test_a_policy_survives_json(combiner: str, score: str) -> None:
    policy = _many(combiner, score, additive=True, reject="improbability", reject_threshold=0.4)
    assert msgspec.json.decode(msgspec.json.encode(policy), type=ExitPolicy) == policy


def test_a_policy_of_an_older_bundle_is_still_read() -> None:
    document = b'{"temperatures":[1.0,2.0],"thresholds":[0.5,0.0],"combiner":"last","score":"margin"}'
    policy = msgspec.json.decode(document, type=ExitPolicy)
    assert (policy.additive, policy.reject, policy.combiner_parameters) == (False, "", ())
    assert route(policy, make_cached(seed=0, n=5, evidence=(1.0, 1.0)).logits).known.all()


def test_a_policy_without_biases_is_written_as_before_there_were_any() -> None:
    """A device of an older version can read what it can use, and refuses what it would answer wrongly."""
    plain = _policy("geometric", "gate", additive=True)
    assert b"biases" not in msgspec.json.encode(plain)
    assert b"biases" in msgspec.json.encode(_many("geometric", "gate", additive=True))


def test_biases_are_added_to_tempered_logits() -> None:
    logits = np.array([[[2.0, 0.0]], [[1.0, 3.0]]], dtype=np.float32)
    policy = ExitPolicy(
        temperatures=(2.0, 1.0), thresholds=(NEVER, 0.0), combiner="last", biases=((-1.0, 1.0), (0.5, -1.5))
    )
    answers = route(policy, logits).all_probabilities[:, 0]
    np.testing.assert_allclose(answers[0], _softmax([0.0, 1.0]), atol=1e-6)
    np.testing.assert_allclose(answers[1], _softmax([1.5, 1.5]), atol=1e-6)


def test_what_one_exit_rules_out_does_not_come_back() -> None:
    logits = np.array([[[2.0, 1.0, -1.0]], [[1.0, 4.0, 9.0]], [[-5.0, -1.0, 3.0]]], dtype=np.float32)
    policy = ExitPolicy(temperatures=(1.0,) * 3, thresholds=(NEVER,) * 3, combiner="product", score="max_probability")
    answers = route(policy, logits).all_probabilities[:, 0]
    np.testing.assert_allclose(answers[0], [2 / 3, 1 / 3, 0], atol=1e-6)
    np.testing.assert_allclose(answers[1], [2 / 6, 4 / 6, 0], atol=1e-6)
    # nothing is left: the exit answers for itself
    np.testing.assert_allclose(answers[2], np.exp(log_softmax(logits[2, 0])), atol=1e-6)


def test_the_geometric_ensemble_can_be_any_of_the_simple_combiners() -> None:
    cached = make_cached(seed=7, n=80)

    def answers(combiner: str, rows: tuple[tuple[float, float], ...] = ()) -> np.ndarray:
        return route(_policy(combiner, "margin", combiner_parameters=rows), cached.logits).all_probabilities

    last = answers("last")
    np.testing.assert_allclose(answers("geometric", ((0.0, 1.0),) * 4), last, atol=1e-6)
    first_alone = answers("geometric", ((0.0, 1.0), *((1.0, 0.0),) * 3))
    np.testing.assert_array_equal(first_alone, np.broadcast_to(first_alone[0], last.shape))
    np.testing.assert_allclose(first_alone[0], last[0], atol=1e-6)
    mean = answers("geometric", tuple((k / (k + 1), 1 / (k + 1)) for k in range(4)))
    np.testing.assert_allclose(mean, answers("mean_log_probability"), atol=1e-6)


def test_additive_exits_add_to_raw_logits_of_exit_0_and_leave_exit_0_alone() -> None:
    cached = make_cached(seed=8, n=50)
    sums = cached.logits.copy()
    sums[1:] += sums[0]
    routing = route(_policy("last", "margin", additive=True), cached.logits)
    plain = route(_policy("last", "margin"), sums)
    np.testing.assert_allclose(routing.all_probabilities, plain.all_probabilities, atol=1e-6)
    np.testing.assert_allclose(routing.own_probabilities, routing.all_probabilities, rtol=1e-5)


def test_own_probabilities_are_those_before_combination() -> None:
    cached = make_cached(seed=9, n=50)
    own = route(_policy("mean_log_probability", "margin"), cached.logits).own_probabilities
    for k, temperature in enumerate(TEMPERATURES):
        np.testing.assert_allclose(own[k], np.exp(log_softmax(cached.logits[k] / np.float32(temperature))), atol=1e-6)


@pytest.mark.parametrize("reject", sorted(REJECT_SCORES))
def test_an_answer_is_known_up_to_the_reject_threshold_and_not_above(reject: str) -> None:
    cached = make_cached(seed=10, n=90)
    policy = _with_medians(_policy("geometric", "margin", reject=reject), cached.logits)
    scores = route(policy, cached.logits).reject_scores
    assert len(np.unique(scores)) > 80
    threshold = float(np.sort(scores)[60])
    judged = route(msgspec.structs.replace(policy, reject_threshold=threshold), cached.logits)
    np.testing.assert_array_equal(judged.known, scores <= np.float32(threshold))
    assert int(judged.known.sum()) == 61
    # what is strange by either score is what the network is unsure of here
    assert (
        judged.probabilities.max(axis=1)[judged.known].mean() > judged.probabilities.max(axis=1)[~judged.known].mean()
    )


def test_the_energy_is_of_the_exit_that_was_taken() -> None:
    cached = make_cached(seed=11, n=30)
    policy = _with_medians(_policy("last", "margin", additive=True, reject="energy"), cached.logits)
    routing = route(policy, cached.logits)
    for row, k in enumerate(routing.exit_index):
        z = cached.logits[k, row].astype(float) + (cached.logits[0, row] if k else 0)
        expected = -math.log(sum(math.exp(v / TEMPERATURES[k]) for v in z))
        assert routing.reject_scores[row] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("combiner", "score"), BOTH)
def test_the_largest_state_that_a_message_may_bring_gives_finite_answers(combiner: str, score: str) -> None:
    cached = make_cached(seed=12, n=20)
    for additive in (False, True):
        policy = _policy(combiner, score, additive=additive)
        size = policy.state_size(cached.n_classes)
        rng = np.random.default_rng(0)
        state = np.asarray(rng.choice([-MAX_STATE_VALUE, 0.0, 1.0, MAX_STATE_VALUE], (20, size)), dtype=np.float32)
        for k in range(1, 4):
            decision = policy.decide(k, cached.logits[k], state)
            assert np.isfinite(decision.probabilities).all()
            assert np.isfinite(decision.score).all()
            state = decision.state


def test_never_closes_an_exit_even_for_certain_predictions() -> None:
    certain = np.array([[[100.0, 0.0]], [[0.0, 100.0]]], dtype=np.float32)
    for score in SCORES:
        parameters = ((1e3,) * len(SCORES[score].parameter_names),) * 2 if SCORES[score].parameter_names else ()
        policy = ExitPolicy(
            temperatures=(1.0, 1.0),
            thresholds=(NEVER, 0.0),
            combiner="last",
            score=score,
            score_parameters=parameters,
        )
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
    size = SCORES[score].state_size(4)
    scores, state = SCORES[score](0, probabilities, np.zeros((5, size), np.float32), PARAMETERS.get(score, ((),))[0])
    assert state.shape == (5, size)
    assert (scores >= -1e-5).all()
    assert (scores <= 1 + 1e-5).all()
    assert (scores < NEVER).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"combiner": "median"}, "unknown combiner 'median'; known: last, mean_log_probability, geometric, product"),
        ({"reject": "taste"}, "unknown reject score 'taste'; known: improbability, energy"),
        ({"reject": "energy", "reject_threshold": float("nan")}, "a reject threshold is finite"),
        ({"combiner": "geometric"}, r"parameters of geometric: got 0 rows of \[\], expected 2 rows .* of a, b"),
        ({"combiner": "geometric", "combiner_parameters": ((0.0, 1.0), (0.5,))}, r"got 2 rows of \[1, 2\]"),
        ({"combiner": "geometric", "combiner_parameters": ((0.0, 1.0), (-0.5, 1.0))}, "geometric are 0 to 100"),
        ({"combiner": "geometric", "combiner_parameters": ((0.0, 1.0), (float("nan"), 1.0))}, "are 0 to 100"),
        ({"combiner": "last", "combiner_parameters": ((0.0, 1.0),) * 2}, "of last: got 2 rows .* expected none"),
        ({"score": "gate", "score_parameters": ((1.0,) * 4,) * 2}, "of gate: got 2 rows of .*bias"),
        ({"score": "gate", "score_parameters": ((2e3,) * 5,) * 2}, "gate are -1000 to 1000"),
        ({"score": "luck"}, "unknown score 'luck'"),
        ({"thresholds": (0.5,)}, "got 2 and 1"),
        ({"biases": ((0.1, -0.1),)}, r"biases are 2 rows .* of one number a class, got 1 rows of \[2\]"),
        ({"biases": ((0.1, -0.1), (0.0, 0.0, 0.0))}, r"got 2 rows of \[2, 3\]"),
        ({"biases": ((0.1,), (0.2,))}, r"got 2 rows of \[1\]"),
        ({"biases": ((0.1, float("nan")), (0.0, 0.0))}, "biases are -100 to 100 nats"),
        ({"biases": ((0.1, 101.0), (0.0, 0.0))}, "biases are -100 to 100 nats"),
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
