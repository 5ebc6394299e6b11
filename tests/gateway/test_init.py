"""The configuration that `init` writes has every key of the settings and loads back to them; the unit is valid."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import msgspec
import pytest

from gateway.cli import main
from gateway.config import PREFIX, GatewaySettings
from gateway.init_command import HEADER
from specnet.configuration import load_configuration
from specnet.template import documented, render_template, struct_of


def tables_of(kind: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct]]:
    fields = msgspec.structs.fields(kind)
    return {field.name: table for field in fields if (table := struct_of(field.type)) is not None}


def structs(kind: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    return [kind, *(found for table in tables_of(kind).values() for found in structs(table))]


def keys(kind: type[msgspec.Struct], above: str = "") -> set[str]:
    tables = tables_of(kind)
    found = {above + name for name in kind.__struct_fields__ if name not in tables}
    return found.union(*(keys(table, f"{above}{name}.") for name, table in tables.items()))


def load(path: Path, **environment: str) -> GatewaySettings:
    return load_configuration(GatewaySettings, path, environment=environment, prefix=PREFIX)


@pytest.mark.parametrize("kind", structs(GatewaySettings), ids=lambda kind: kind.__name__)
def test_every_key_is_documented(kind: type[msgspec.Struct]) -> None:
    assert set(documented(kind)) == set(kind.__struct_fields__)


def test_every_key_is_there_once_and_all_of_them_together_are_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    text = render_template(GatewaySettings, {}, HEADER)
    found, table = [], ""
    for line in text.splitlines():
        if header := re.match(r"\[(.+)\]$", line):
            table = f"{header[1]}."
        elif setting := re.match(r"#?(\w+) =", line):
            found.append(table + setting[1])
    assert sorted(found) == sorted(keys(GatewaySettings))
    for content in (text, re.sub(r"^#(\w+ = .+)$", r"\1", text, flags=re.MULTILINE)):
        path.write_text(content)
        assert load(path) == GatewaySettings()


def test_init_writes_what_the_other_commands_read_and_the_environment_overrides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, unit = tmp_path / "gateway.toml", tmp_path / "specnet-gateway.service"
    words = ["--broker", "broker.local:8883", "--group", "night", "--store", "/srv/models", "--unit", str(unit)]
    assert main(["init", str(path), *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(path), "unit": str(unit)}
    settings = load(path)
    assert (settings.broker.host, settings.broker.port) == ("broker.local", 8883)
    assert (settings.group, settings.store) == ("night", "/srv/models")
    changed = load(path, SPECNET_GATEWAY_BROKER__HOST="other", SPECNET_GATEWAY_LOG__FORMAT="json")
    assert (changed.broker.host, changed.log.format, changed.group) == ("other", "json", "night")
    assert f"serve --config {path}\n" in unit.read_text()
    assert "@" not in unit.read_text().replace("specnet-gateway@.service", "").replace("=@system-service", "")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--site", "a/b"], "site (or '+' for all) is 1 to 64"),
        (["--broker", "here:many"], "broker.port"),
        (["--unit", "a b.d/x.service"], "plain characters"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    assert main(["init", str(folder / "gateway.toml"), *words]) == 2
    assert complaint in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_init_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, unit = tmp_path / "gateway.toml", tmp_path / "x.service"
    unit.write_text("mine")
    assert main(["init", str(path), "--unit", str(unit)]) == 2
    assert "not overwritten" in capsys.readouterr().err
    assert not path.exists()
    assert unit.read_text() == "mine"


def written_unit(tmp_path: Path, *words: str) -> Path:
    unit = tmp_path / "specnet-gateway.service"
    assert main(["init", str(tmp_path / "gateway.toml"), "--unit", str(unit), *words]) == 0
    return unit


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_systemd_accepts_the_unit(tmp_path: Path, device: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze IS NOT INSTALLED: the unit was not verified")
    unit = written_unit(tmp_path, "--device", device)
    # the executable need not be installed where the test runs
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE))
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_a_gpu_is_seen_by_the_unit_for_one_only(tmp_path: Path) -> None:
    for device, seen in (("cpu", False), ("cuda", True)):
        (tmp_path / device).mkdir()
        text = written_unit(tmp_path / device, "--device", device).read_text()
        assert ("DeviceAllow=char-nvidia* rw" in text) is seen
        assert ("PrivateDevices=yes" in text) is not seen


def test_systemd_waits_longer_for_the_end_than_draining_takes_by_default(tmp_path: Path) -> None:
    text = written_unit(tmp_path).read_text()
    [waits] = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(waits) > GatewaySettings().drain_s + 20
    assert tomllib.loads((tmp_path / "gateway.toml").read_text())["broker"] == {}
