"""scikit-learn's own judgement of the estimator, all of it: there are no expected failures."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from specnet import SpecNetClassifier

pytestmark = pytest.mark.usefixtures("one_thread")

# two epochs pass through the dense and the hard phase of the schedule; a large batch makes few steps
QUICK = SpecNetClassifier(preset="nano", epochs=2, batch_size=256, augmentation="light")


@parametrize_with_checks([QUICK])  # type: ignore[untyped-decorator]
def test_scikit_learn_check(estimator: SpecNetClassifier, check: Callable[[SpecNetClassifier], None]) -> None:
    check(estimator)
