"""The configuration that `init` writes has every key, says what each means, and cannot differ from the settings."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from device.cli import main
from device.config import DeviceConfiguration, load_device_configuration
from specnet.errors import ConfigurationError
from specnet.template import documented, render_template, struct_of

REQUIRED = {"device": "node-1", "bundle": "m.specnet", "state_dir": "/var/lib/specnet"}


def structs(kind: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    inner = [table for field in msgspec.structs.fields(kind) if (table := struct_of(field.type)) is not None]
    return [kind, *(found for table in inner for found in structs(table))]


@pytest.mark.parametrize("kind", structs(DeviceConfiguration), ids=lambda kind: kind.__name__)
def test_every_key_is_documented(kind: type[msgspec.Struct]) -> None:
    assert set(documented(kind)) == set(kind.__struct_fields__)
    assert all(len(text) > 8 for text in documented(kind).values())


def keys(kind: type[msgspec.Struct], above: str = "") -> set[str]:
    found: set[str] = set()
    for field in msgspec.structs.fields(kind):
        table = struct_of(field.type)
        found |= {above + field.name} if table is None else keys(table, f"{above}{field.name}.")
    return found


def keys_in(text: str) -> list[str]:
    found, table = [], ""
    for line in text.splitlines():
        if header := re.match(r"\[(.+)\]$", line):
            table = f"{header[1]}."
        elif setting := re.match(r"#?(\w+) =", line):
            found.append(table + setting[1])
    return found


def test_every_key_is_there_once() -> None:
    found = keys_in(render_template(DeviceConfiguration, REQUIRED))
    assert sorted(found) == sorted(keys(DeviceConfiguration))


def test_with_all_comments_taken_away_it_is_the_configuration_of_defaults(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    text = render_template(DeviceConfiguration, REQUIRED)
    assert all(len(line) <= 102 for line in text.splitlines())
    for content in (text, re.sub(r"^#(\w+ = .+)$", r"\1", text, flags=re.MULTILINE)):
        path.write_text(content)
        assert load_device_configuration(path, environment={}) == DeviceConfiguration(**REQUIRED)


@pytest.mark.parametrize("value", ['a "quoted" \\ one', "ä\tb", 3, 0.5, True, (1.0, 2.5), ("x", "y")])
def test_values_are_written_as_toml(tmp_path: Path, value: Any) -> None:
    class Settings(msgspec.Struct, frozen=True, kw_only=True):
        """One value.

        Parameters
        ----------
        value
            The value.
        """

        value: Any = None

    import tomllib

    found = tomllib.loads(render_template(Settings, {"value": value}))["value"]
    assert found == (list(value) if isinstance(value, tuple) else value)


def test_init_writes_what_the_other_commands_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, unit = tmp_path / "node.toml", tmp_path / "specnet-device.service"
    options = ["--device", "node-7", "--trust", "/etc/specnet/keys", "--unit", str(unit)]
    assert main(["init", str(path), *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(path), "unit": str(unit)}
    configuration = load_device_configuration(path, environment={})
    assert (configuration.device, configuration.models.trust_dir) == ("node-7", "/etc/specnet/keys")
    assert f"run --config {path} " in unit.read_text()
    assert "@" not in re.sub(r"SystemCallFilter=@\S+", "", unit.read_text())


def test_init_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, unit = tmp_path / "node.toml", tmp_path / "x.service"
    unit.write_text("mine")
    assert main(["init", str(path), "--unit", str(unit)]) == 2
    assert "not overwritten" in capsys.readouterr().err
    assert not path.exists()
    path.write_text("mine")
    assert main(["init", str(path)]) == 2
    assert (path.read_text(), unit.read_text()) == ("mine", "mine")


def test_init_names_impossible_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "a.toml"), "--device", "a/b"]) == 2
    assert "device is 1 to 64" in capsys.readouterr().err
    folder = tmp_path / "a b"
    folder.mkdir()
    assert main(["init", str(folder / "a.toml"), "--unit", str(folder / "u.service")]) == 2
    assert "plain characters" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "specnet-device.service"
    assert main(["init", str(tmp_path / "node.toml"), "--unit", str(unit)]) == 0
    # the executable need not be installed where the test runs
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE))
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_a_required_key_without_a_value_is_left_empty_and_complained_of(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(render_template(DeviceConfiguration, {}))
    with pytest.raises(ConfigurationError, match="device is 1 to 64"):
        load_device_configuration(path, environment={})
