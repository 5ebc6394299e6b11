"""Releases of the test model, and stores with some of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_models import Releaser

from device.config import DeviceConfiguration
from device.models.installing import Installer
from device.models.settings import ModelSettings
from device.models.store import ModelStore


@pytest.fixture(scope="session")
def releaser(tmp_path_factory: pytest.TempPathFactory) -> Releaser:
    """Somebody whose key is in the folder `releaser.trust`."""
    return Releaser(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def configuration(tmp_path: Path, tiny_bundle: Path, releaser: Releaser) -> DeviceConfiguration:
    """A device that trusts `releaser` and comes with version 1."""
    return DeviceConfiguration(
        site="lab",
        device="node-1",
        bundle=str(tiny_bundle),
        state_dir=str(tmp_path / "state"),
        split=1,
        models=ModelSettings(trust_dir=str(releaser.trust)),
    )


@pytest.fixture
def store(configuration: DeviceConfiguration) -> ModelStore:
    return ModelStore(configuration.state_dir)


@pytest.fixture
def installer(configuration: DeviceConfiguration, store: ModelStore) -> Installer:
    return Installer(configuration, store)
