"""What depth is worth to one run, and how that is said."""

from __future__ import annotations

import numpy as np
import pytest
from support_cached_logits import make_cached

from specnet.calibration import CachedLogits, calibrate
from specnet.errors import ModelError
from specnet.evaluation import Worth, worth_of_run
from specnet.exits import Routing, route


def _routed(evidence: tuple[float, ...]) -> tuple[CachedLogits, Routing]:
    cached = make_cached(seed=1, n=800, evidence=evidence)
    return cached, route(calibrate(make_cached(seed=0, evidence=evidence)).policy, cached.logits)


def test_a_network_that_sees_more_pays() -> None:
    cached, routing = _routed((1.2, 1.0, 1.0))
    worth = worth_of_run(cached, routing)
    line = cached.logits[0].argmax(axis=1) == cached.labels
    deep = routing.probabilities.argmax(axis=1) == cached.labels
    assert (worth.linear, worth.network) == (line.mean(), deep.mean())
    assert worth.gain == pytest.approx(worth.network - worth.linear)
    gained, lost = (deep & ~line).mean(), (line & ~deep).mean()
    assert worth.gain == pytest.approx(gained - lost)
    variance = gained + lost - (gained - lost) ** 2  # of a number that is 1, 0 or -1
    assert worth.standard_error == pytest.approx(np.sqrt(variance / 799))
    assert worth.deeper_share == (routing.exit_index > 0).mean() > 0
    assert worth.pays
    assert "a line will do" not in worth.sentence("test spectra")


def test_a_paired_error_is_smaller_than_that_of_two_independent_samples() -> None:
    worth = worth_of_run(*_routed((1.5, 0.4)))
    independent = np.sqrt((worth.linear * (1 - worth.linear) + worth.network * (1 - worth.network)) / 799)
    assert worth.standard_error is not None
    assert worth.standard_error < 0.9 * independent


def test_a_network_that_sees_nothing_more_is_said_to_be_needless() -> None:
    worth = worth_of_run(*_routed((1.2, 0.0, 0.0)))
    assert not worth.pays
    assert worth.sentence("test spectra").endswith(": on these data a line will do")


def test_the_sentences() -> None:
    assert Worth(0.841, 0.859, 0.018, 0.009, 0.29).sentence("calibration spectra") == (
        "a linear model (exit 0) is right on 84.1% of the calibration spectra; the network adds 1.8 +- 0.9 points and "
        "answers 29% of them deeper than exit 0"
    )
    assert Worth(0.9, 0.895, -0.005, 0.004, 0.1).sentence("test spectra") == (
        "a linear model (exit 0) is right on 90.0% of the test spectra; the network takes away 0.5 +- 0.4 points and "
        "answers 10% of them deeper than exit 0: on these data a line will do"
    )
    assert "adds 0.3 +- 0.4 points" in Worth(0.9, 0.903, 0.003, 0.004, 0.1).sentence("test spectra")
    assert not Worth(0.9, 0.903, 0.003, 0.004, 0.1).pays
    assert not Worth(0.9, 0.9, 0.0, 0.0, 0.0).pays


def test_a_single_spectrum_has_no_standard_error() -> None:
    cached, _ = _routed((1.2, 1.0))
    one = cached.take(np.array([0]))
    worth = worth_of_run(one, route(calibrate(cached).policy, one.logits))
    assert worth.standard_error is None
    assert "+-" not in worth.sentence("test spectra")


def test_a_routing_of_other_spectra_is_refused() -> None:
    cached, routing = _routed((1.2, 1.0))
    with pytest.raises(ModelError, match="logits are of 10 spectra, the routing of 800"):
        worth_of_run(cached.take(np.arange(10)), routing)
