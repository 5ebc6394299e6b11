"""The choice of numbers, apart from any engine."""

from __future__ import annotations

import pytest

from gateway.engines.precision import candidates, choose_precision
from specnet.errors import BundleIntegrityError, ModelError


def test_half_precision_is_tried_first_where_it_is_asked_for() -> None:
    assert candidates("auto") == ("float16", "bfloat16", "float32")
    assert candidates("float32") == ("float32",)


@pytest.mark.parametrize(
    ("failing", "chosen"),
    [(set(), "float16"), ({"float16"}, "bfloat16"), ({"float16", "bfloat16"}, "float32")],
)
def test_the_first_that_passes_is_taken_and_the_others_are_remembered(failing: set[str], chosen: str) -> None:
    tried = []

    def test(precision: str) -> None:
        tried.append(precision)
        if precision in failing:
            raise BundleIntegrityError(f"deviates in {precision}")

    choice = choose_precision(candidates("auto"), test)
    assert choice.precision == chosen
    assert len(choice.refused) == len(failing)
    # the last one is checked by whoever loads the bundle, with the words that fit then
    assert "float32" not in tried


def test_a_bundle_that_cannot_be_built_is_no_question_of_precision() -> None:
    def test(precision: str) -> None:
        raise ModelError("shape")

    with pytest.raises(ModelError):
        choose_precision(candidates("auto"), test)
