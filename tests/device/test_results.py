from __future__ import annotations

import msgspec
import pytest
from support_device import pending_request as request

from device.results import ResultChecker
from specnet.wire import Result


def result(**changes: object) -> Result:
    return Result(**{"device": "node", "boot": 1, "sequence": 7, "bundle": "b", "label": 1, **changes})


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "answered"),
        ({"error": "no such bundle", "label": 0}, "answered"),
        ({"device": "other"}, "foreign"),
        ({"bundle": "c"}, "foreign"),
        ({"label": 3}, "impossible"),
    ],
)
def test_a_result_for_a_pending_request(changes: dict[str, object], verdict: str) -> None:
    assert ResultChecker("node", "b", 3).judge(result(**changes), request(7)) == verdict


def test_a_result_that_nobody_waits_for() -> None:
    assert ResultChecker("node", "b", 3).judge(result(), None) == "repeated"


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "audit_agreed"),
        ({"label": 2}, "audit_disagreed"),
        ({"error": "overloaded"}, "audit_failed"),
        ({"bundle": "c"}, "foreign"),
    ],
)
def test_a_result_for_an_audit_sample_is_compared(changes: dict[str, object], verdict: str) -> None:
    audit = msgspec.structs.replace(request(7), audit=True)
    assert ResultChecker("node", "b", 3).judge(result(**changes), audit) == verdict
