"""Where metrics are shown, and to whom."""

from __future__ import annotations

import logging

import pytest

from gateway.config import MonitoringSettings
from gateway.endpoint import MonitoringEndpoint


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
def test_an_address_that_others_reach_is_warned_of(host: str, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING, "gateway"),
        MonitoringEndpoint(host, 0, metrics=bytes, problems=list) as endpoint,
    ):
        assert endpoint.port
    assert ("can read the metrics" in caplog.text) is warned


def test_metrics_are_on_loopback_unless_somebody_says_otherwise() -> None:
    assert MonitoringSettings().host == "127.0.0.1"
