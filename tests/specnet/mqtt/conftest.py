"""Every test of the session runs over both ways to speak MQTT 5."""

from __future__ import annotations

from typing import Any

import pytest

from specnet.mqtt import MqttSession
from specnet.mqtt.connection import Connection
from specnet.mqtt.direct import DirectConnection

WAYS = {"paho": Connection, "direct": DirectConnection}


@pytest.fixture(autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make sessions with the one or the other, where the test is parametrised (see `pytest_generate_tests`)."""
    chosen = WAYS[getattr(request, "param", "paho")]
    monkeypatch.setitem(MqttSession.__init__.__kwdefaults__, "link", chosen)
    return chosen


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise the tests in modules about the session."""
    if metafunc.module.__name__.rpartition(".")[2].startswith("test_session"):
        metafunc.parametrize("way", list(WAYS), indirect=True)
