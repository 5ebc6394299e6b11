"""Bundles and stores for the gateway's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_bundle import DeviceSide, make_bundle


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
