"""The command line as a user meets it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from support_broker import Broker
from support_bundle import make_bundle
from support_gateway import GatewayProcess, run_cli


def one_line(text: str) -> str:
    [line] = [line for line in text.splitlines() if line.startswith("specnet-gateway: ")]
    return line


def test_add_then_list(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b.specnet", name="minerals", version=3)
    added = run_cli("models", "add", tmp_path / "b.specnet", "--store", tmp_path / "store", "--json")
    assert added.returncode == 0
    path = json.loads(added.stdout)["path"]
    listed = json.loads(run_cli("models", "list", "--store", tmp_path / "store", "--json").stdout)
    [model] = listed["models"]
    assert (model["name"], model["version"], model["path"], model["splits"]) == ("minerals", 3, path, 3)
    table = run_cli("models", "list", "--store", tmp_path / "store").stdout.splitlines()
    assert table[0].split() == ["name", "version", "id", "classes", "splits", "path"]
    assert table[1].split()[:2] == ["minerals", "3"]


def test_a_bad_bundle_is_listed_with_its_reason(store: Path) -> None:
    (store / "hand" / "2").mkdir()
    (store / "hand" / "2" / "model.specnet").write_bytes(b"rubbish")
    listed = json.loads(run_cli("models", "list", "--store", store, "--json").stdout)
    assert len(listed["models"]) == 1
    assert "zip" in listed["bad"][0]["reason"]


def test_selftest_says_what_works_and_what_does_not(store: Path, broker: Broker) -> None:
    address = f"{broker.host}:{broker.port}"
    good = run_cli("selftest", "--store", store, "--broker", address, "--json")
    assert good.returncode == 0
    assert json.loads(good.stdout)["passed"] is True
    assert {"what": f"broker {address}", "passed": True, "detail": "MQTT 5"} in json.loads(good.stdout)["checks"]
    broker.stop()
    bad = run_cli("selftest", "--store", store, "--broker", address)
    assert bad.returncode == 1
    assert f"broker {address}" in bad.stdout
    assert "FAILED" in bad.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve", "--store", "/does/not/exist"], "model store '/does/not/exist' is no folder"),
        (["serve", "--broker", "localhost:many"], "broker.port: expected `int`"),
        (["serve", "--max-batch", "0"], "max_batch is from 1 to 1024, got 0"),
        (["serve", "--site", "a/b"], "site (or '+' for all) is 1 to 64 of letters"),
        (["serve", "--config", "/does/not/exist.toml"], "cannot read configuration"),
        (["models", "add", "/does/not/exist.specnet"], "cannot read bundle"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    done = run_cli(*arguments)
    assert done.returncode == 2
    assert message in one_line(done.stderr)
    assert "Traceback" not in done.stderr


def test_an_address_in_use_is_named(store: Path, broker: Broker) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = ["--state-dir", store.with_name("state"), "--metrics-port", port]
        done = run_cli("serve", "--store", store, "--broker", f"{broker.host}:{broker.port}", *words)
    assert done.returncode == 2
    assert f"monitoring cannot listen on 127.0.0.1:{port}" in one_line(done.stderr)


@pytest.mark.parametrize(
    "command", [["serve"], ["models", "list"], ["models", "add"], ["selftest"], ["profile"], ["init"]]
)
def test_help_has_an_example(command: list[str]) -> None:
    done = run_cli(*command, "--help")
    assert done.returncode == 0
    assert "example: specnet-gateway " + " ".join(command) in " ".join(done.stdout.split())


def test_file_environment_and_option_are_merged_in_this_order(store: Path, broker: Broker, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('name = "from-file"\nmax_batch = 3\n[monitoring]\nport = 1\n')
    with GatewayProcess(
        store, broker, "--config", str(config), "--name", "from-option", SPECNET_GATEWAY_NAME="from-environment"
    ) as gateway:
        assert gateway.ready["metrics_port"] > 1  # GatewayProcess gives --metrics-port 0
        assert gateway.terminate() == 0
