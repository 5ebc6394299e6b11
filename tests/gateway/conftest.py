"""Bundles, stores and requests for the gateway's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support_bundle import DeviceSide, make_bundle, spectra

from gateway.engine import OnnxEngine
from gateway.intake import check_request
from gateway.models import ServedModel, prepare
from gateway.work import Work
from specnet.bundle import read_bundle
from specnet.mqtt import Incoming


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one good bundle, hand version 1."""
    folder = tmp_path / "store"
    make_bundle(folder / "hand" / "1" / "model.specnet")
    return folder


@pytest.fixture
def bundle_path(store: Path) -> Path:
    """The bundle of `store`."""
    return store / "hand" / "1" / "model.specnet"


@pytest.fixture
def device_side(bundle_path: Path) -> DeviceSide:
    """A device that runs this bundle."""
    return DeviceSide(bundle_path)


@pytest.fixture
def engine() -> OnnxEngine:
    """An engine without a bundle."""
    return OnnxEngine()


@pytest.fixture
def model(engine: OnnxEngine, bundle_path: Path) -> ServedModel:
    """The bundle, loaded into `engine`."""
    return prepare(engine, read_bundle(bundle_path), bundle_path)


@pytest.fixture
def make_work(model: ServedModel, device_side: DeviceSide) -> Callable[..., Work]:
    """Make a checked request: ``make_work(sequence, split=1, audit=False)`` for spectrum `sequence` of seed 0."""
    measured = spectra(200)

    def make(sequence: int, *, split: int = 1, audit: bool = False) -> Work:
        request = device_side.request(measured[sequence], sequence, split=split, audit=audit)
        incoming = Incoming(topic="", payload=b"", qos=1, retain=False)
        return check_request(request, incoming, {model.bundle_id: model}.get)

    return make
