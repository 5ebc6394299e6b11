from __future__ import annotations

import numpy as np
import pytest

from device.spectrometers.faults import FaultInjector, FaultPlan
from specnet.errors import ConfigurationError


def test_text_is_read() -> None:
    plan = FaultPlan.parse("garbage=0.01, half=0.02,unplug@7")
    assert plan == FaultPlan({"garbage": 0.01, "half": 0.02}, {7: "unplug"})
    assert FaultPlan.parse("") == FaultPlan()


@pytest.mark.parametrize(
    "text",
    ["melt=0.1", "garbage=often", "garbage=1.0", "half=-0.1", "garbage=nan", "half=0.6,unplug=0.6", "half@-1", "x"],
)
def test_mistakes_are_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match="fault"):
        FaultPlan.parse(text)


def test_probabilities_are_met_and_planned_faults_happen_once() -> None:
    injector = FaultInjector(FaultPlan({"garbage": 0.2, "half": 0.1}, {3: "unplug"}), np.random.default_rng(0))
    assert injector.next_fault(3) == "unplug"
    drawn = [injector.next_fault(3) for _ in range(5000)]
    assert "unplug" not in drawn
    assert drawn.count("garbage") / 5000 == pytest.approx(0.2, abs=0.02)
    assert drawn.count("half") / 5000 == pytest.approx(0.1, abs=0.02)


def test_garbage_is_one_line() -> None:
    injector = FaultInjector(FaultPlan(), np.random.default_rng(0))
    assert not any(b"\n" in injector.garbage() for _ in range(100))
