"""Whether a device can do what its configuration promises of updates, and whether its clock lets it."""

from __future__ import annotations

import importlib.util
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support_models import Releaser

from device import selftest
from device.cli import main
from device.config import DeviceConfiguration
from device.models.updater import ModelUpdater
from device.wall_clock import synchronised


@pytest.fixture(autouse=True)
def nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker is waited for."""
    monkeypatch.setattr(selftest, "BROKER_TIMEOUT_S", 0.01)


@pytest.fixture
def without_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "cryptography" else find(name, *rest)
    )


def checked(configuration: DeviceConfiguration, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    path = Path(configuration.state_dir).with_name("node.toml")
    path.write_text(
        f'device = "{configuration.device}"\nbundle = "{configuration.bundle}"\n'
        f'state_dir = "{configuration.state_dir}"\n[broker]\nport = 1\n'
        f'[models]\ntrust_dir = "{configuration.models.trust_dir}"\n'
    )
    assert main(["selftest", "--config", str(path), "--json"]) == 1
    return {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}


def test_the_keys_that_are_trusted_are_named(
    configuration: DeviceConfiguration, releaser: Releaser, capsys: pytest.CaptureFixture[str]
) -> None:
    updates = checked(configuration, capsys)["updates"]
    assert updates["passed"]
    assert updates["detail"] == f"over the network and by hand; trusted: {releaser.key_id}"


def test_a_folder_without_keys_is_named(
    configuration: DeviceConfiguration, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nobody").mkdir()
    models = msgspec.structs.replace(configuration.models, trust_dir=str(tmp_path / "nobody"))
    updates = checked(msgspec.structs.replace(configuration, models=models), capsys)["updates"]
    assert not updates["passed"]
    assert "no public keys" in updates["detail"]


@pytest.mark.usefixtures("without_cryptography")
def test_keys_without_the_library_fail_the_selftest_and_switch_updates_off(
    configuration: DeviceConfiguration, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    updates = checked(configuration, capsys)["updates"]
    assert not updates["passed"]
    assert "pip install cryptography" in updates["detail"]
    with caplog.at_level(logging.ERROR):
        assert not ModelUpdater.wanted(configuration)
    assert "no updates over the network" in caplog.text


def test_updates_are_wanted_with_keys_and_the_library(configuration: DeviceConfiguration) -> None:
    assert ModelUpdater.wanted(configuration)


def test_a_clock_before_the_bundle_was_made_fails(
    configuration: DeviceConfiguration, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reset(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Reset:
            return cls(1970, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(selftest, "datetime", Reset)
    clock = checked(configuration, capsys)["clock"]
    assert not clock["passed"]
    assert "the wall clock says 1970-01-01 00:00 UTC, the bundle was made 20" in clock["detail"]


def test_the_kernel_says_something_of_its_clock() -> None:
    assert synchronised() in (True, False, None)
