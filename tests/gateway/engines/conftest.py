"""Bundles of real networks for the engines' tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_network_bundle import make_network_bundle

from specnet.bundle import Bundle, read_bundle


@pytest.fixture(scope="module")
def network_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "nano" / "1" / "model.specnet"
    make_network_bundle(path)
    return path


@pytest.fixture(scope="module")
def network_bundle(network_bundle_path: Path) -> Bundle:
    return read_bundle(network_bundle_path)
