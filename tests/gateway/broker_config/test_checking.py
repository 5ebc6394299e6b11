"""The check notices rules that do not hold and options that the broker does not take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support_broker import mosquitto_path, require
from support_secured import write_config

from gateway.broker_config import check_folder, read_plan
from gateway.check import Check

LAB = ("--device", "lab/node-1", "--gateway", "gateway-1", "--operator", "anna")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    require("mosquitto")
    write_config(tmp_path / "b", "--users", *LAB, "--no-check")
    return tmp_path / "b"


def failed(folder: Path) -> dict[str, Check]:
    checks = check_folder(mosquitto_path(), folder, read_plan(folder / "plan.json"))
    assert checks
    return {check.what: check for check in checks if not check.passed}


def test_rules_as_written_hold(folder: Path) -> None:
    assert failed(folder) == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text + "topic write specnet/v1/lab/+/offload/+/+\n", "a device cannot ask as another"),
        (lambda text: text + "topic read specnet/v1/lab/+/result\n", "a device cannot read another's result"),
        (lambda text: text + "topic write specnet/v1/+/+/cmd\n", "a device cannot command itself"),
        (lambda text: text + "topic write specnet/v1/+/+/state\n", "a last will in another's name is not spoken"),
        (lambda text: text + "topic write specnet/v1/+/model\n", "a device cannot announce a model"),
        (lambda text: text + "pattern readwrite specnet/#\n", "mosquitto takes it without a warning"),
    ],
)
def test_a_rule_that_is_too_wide_is_found(folder: Path, change: Callable[[str], str], expected: str) -> None:
    rules = folder / "acl"
    rules.write_text(change(rules.read_text()))
    found = failed(folder)
    assert expected in found
    assert "nothing was heard" not in found[expected].detail


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("topic write specnet/v1/lab/+/result\n", "a result reaches its device"),
        ("topic read specnet/v1/lab/model\n", "a model's announcement reaches a device"),
    ],
)
def test_a_rule_that_is_missing_is_found(
    folder: Path, line: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.broker_config.checking.PATIENCE_S", 0.5)  # it is waited for in vain
    rules = folder / "acl"
    rules.write_text(rules.read_text().replace(line, ""))
    assert expected in failed(folder)


def test_a_configuration_that_the_broker_refuses_is_a_failed_check_with_its_words(folder: Path) -> None:
    rules = folder / "acl"
    rules.write_text(rules.read_text() + "topic sometimes a\n")
    [check] = failed(folder).values()
    assert "Invalid topic access type" in check.detail
