"""Promises of risk are counted over calibration splits drawn from a population whose risk is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom
from support_cached_logits import make_cached
from support_trained import Trained

from specnet.cli import main
from specnet.errors import ConfigurationError
from specnet.evaluation.risk_resampling import CHOICES, PLAIN, Population, halves, resample_risk

RESAMPLES = 400


def test_bounds_keep_the_promise_and_a_choice_without_one_does_not() -> None:
    fitting, rest = halves(make_cached(seed=0, n=4000), seed=0)
    population = Population.of(fitting, rest, additive=False)
    found = {
        one.method: one
        for one in resample_risk(population, n=300, max_risk=0.03, confidence=0.9, resamples=RESAMPLES, seed=0)
    }
    assert set(found) == set(CHOICES)
    allowed = binom.ppf(0.999, RESAMPLES, 0.1) / RESAMPLES
    assert found["ucb"].violations <= allowed
    assert found[PLAIN].violations > 2 * allowed
    assert found["crc"].mean_risk <= 0.03 + 3 * found["crc"].risks.std() / np.sqrt(RESAMPLES)
    assert found["ucb"].mac_share < 1  # it is not safe by never leaving early
    assert found[PLAIN].mean_macs < found["crc"].mean_macs < found["ucb"].mean_macs


def test_the_population_starts_with_never_leaving_early() -> None:
    fitting, rest = halves(make_cached(seed=0, n=200), seed=0)
    population = Population.of(fitting, rest, additive=False)
    assert not population.losses[0].any()
    assert population.macs[0] == pytest.approx(rest.macs[-1].mean())
    assert fitting.n_spectra + rest.n_spectra == 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "got 5 of 0"),
        ({"resamples": 0}, "got 0 of 9"),
        ({"max_risk": 1.0}, "got 1.0"),
        ({"confidence": 0.0}, "0.0"),
    ],
)
def test_numbers_out_of_range_are_named(change: dict[str, float], message: str) -> None:
    population = Population.of(*halves(make_cached(seed=0, n=100), seed=0), additive=False)
    options = {"n": 9, "resamples": 5, "max_risk": 0.1, "confidence": 0.9, "seed": 0, **change}
    with pytest.raises(ConfigurationError, match=message):
        resample_risk(population, **options)  # type: ignore[arg-type]


def test_the_command_judges_a_run(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "risk.json"
    words = ["bench", "risk", str(trained.run.path), str(trained.data), "--max-risk", "0.2", "--resamples", "50"]
    assert main([*words, "--out", str(out), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert json.loads(out.read_text()) == document
    assert [one["method"] for one in document["methods"]] == list(CHOICES)
    assert document["n_split"] == document["n_population"] > 10
