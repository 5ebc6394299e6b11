"""Fixtures that tests of several packages share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# test modules are imported one by one (importlib mode), so what they share has to be found by name
sys.path.insert(0, str(Path(__file__).parent / "support"))

if TYPE_CHECKING:
    from support_broker import Broker


def _start(kind: str, folder: Path) -> Iterator[Broker]:
    from support_broker import Broker, require

    require(kind)
    with Broker(kind, folder=folder) as broker:
        yield broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A mosquitto process of this test alone."""
    yield from _start("mosquitto", tmp_path / "mosquitto")


@pytest.fixture
def amqtt_broker(tmp_path: Path) -> Iterator[Broker]:
    """An amqtt process of this test alone: MQTT 3.1.1 only."""
    yield from _start("amqtt", tmp_path / "amqtt")


@pytest.fixture(params=["mosquitto", "amqtt"])
def any_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Both kinds of broker, one after the other."""
    yield from _start(request.param, tmp_path / request.param)
