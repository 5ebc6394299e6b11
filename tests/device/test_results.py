from __future__ import annotations

import pytest
from support_device import pending_request as request

from device.results import MAX_AUDITS, ResultChecker
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


def test_audits_are_compared_once_and_forgotten() -> None:
    checker = ResultChecker("node", "b", 3)
    for label, verdict in ((1, "audit_agreed"), (2, "audit_disagreed")):
        checker.expect_audit((1, 7), label)
        assert checker.judge(result(), None) == verdict
        assert checker.judge(result(), None) == "repeated"
    checker.expect_audit((1, 7), 1)
    assert checker.judge(result(error="overloaded"), None) == "audit_failed"


def test_a_gateway_that_answers_no_audit_fills_no_memory() -> None:
    checker = ResultChecker("node", "b", 3)
    for sequence in range(MAX_AUDITS + 1):
        checker.expect_audit((1, sequence), 1)
    assert checker.judge(result(sequence=0), None) == "repeated"
    assert checker.judge(result(sequence=1), None) == "audit_agreed"
