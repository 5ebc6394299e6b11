"""`specnet-gateway broker-config` as its user meets it: a first run, further runs, mistakes."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from support_broker import require
from support_gateway import run_cli
from support_secured import write_config

from gateway.broker_config import command
from gateway.broker_config.passwords import read_hashes
from specnet.errors import ConfigurationError

TLS = ("--tls", "--server-name", "gateway.local", "--broker-version", "2.0", "--no-check")
PLAIN = ("--users", "--broker-version", "2.0", "--no-check")
LAB = ("--device", "lab/node-1", "--gateway", "gateway-1", "--operator", "anna")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def complaint(folder: Path, *arguments: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        write_config(folder, *arguments)
    return str(caught.value)


def test_the_configuration_is_checked_with_the_broker_that_is_installed(tmp_path: Path) -> None:
    require("mosquitto")
    said = write_config(tmp_path / "b", "--tls", "--server-name", "gateway.local", *LAB)
    assert (said["checked"], said["passed"]) == (True, True)
    tried = {check["what"] for check in said["checks"]}
    assert {
        "mosquitto takes it without a warning",
        "a client without a certificate is refused",
        "a device's request reaches a gateway",
        "a device cannot ask as another",
        "a device cannot read another's result",
        "who sends more is disconnected",
    } <= tried
    assert set(said["expires"]) >= {"tls/ca.pem", "tls/server.pem", "clients/devices/lab/node-1/client.pem"}


@pytest.mark.parametrize(
    "arguments",
    [("--users", "--site", "lab"), ("--users", "--tls", "--server-name", "10.0.0.1", *LAB), ("--insecure-localhost",)],
    ids=["passwords", "passwords over tls", "anonymous"],
)
def test_every_proof_of_identity_passes_its_check(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    require("mosquitto")
    said = write_config(tmp_path / "b", *arguments)
    assert (said["checked"], said["passed"]) == (True, True)


def test_secrets_are_readable_for_their_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    write_config(folder, *TLS, *LAB)
    secret = {name for name in contents(folder) if name.endswith(".key")} | {"acl"}
    assert len(secret) == 6
    write_config(tmp_path / "p", *PLAIN, *LAB)
    paths = [folder / name for name in secret]
    paths += [tmp_path / "p" / name for name in ("passwords", "clients/devices/lab/node-1/password")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    write_config(tmp_path, *TLS, *LAB)
    before = contents(tmp_path)
    said = write_config(tmp_path, *TLS, *LAB)
    assert contents(tmp_path) == before
    assert (said["created"], said["replaced"]) == ([], [])


def test_a_later_run_adds_a_device_and_keeps_authority_and_secrets(tmp_path: Path) -> None:
    write_config(tmp_path, *TLS, *LAB)
    before = contents(tmp_path)
    names = tmp_path / "names.txt"
    names.write_text("plant/node-7\n\nlab/node-2\n")
    said = write_config(tmp_path, *TLS, "--devices", names)
    after = contents(tmp_path)
    assert said["users"] == ["lab/node-1", "lab/node-2", "plant/node-7", "gateway-1", "anna"]
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"acl", "plan.json", "mosquitto.conf"}
    assert "clients/devices/plant/node-7/client.key" in said["created"]
    assert b"user plant/node-7\n" in after["acl"]
    assert b"topic read specnet/v1/plant/+/offload/+/+\n" in after["acl"]


def test_a_key_that_was_carried_to_its_device_is_not_made_again(tmp_path: Path) -> None:
    write_config(tmp_path, *TLS, *LAB)
    key = tmp_path / "clients/devices/lab/node-1/client.key"
    certificate = key.with_suffix(".pem").read_bytes()
    key.unlink()
    write_config(tmp_path, *TLS, "--device", "lab/node-2")
    assert not key.exists()
    write_config(tmp_path, *TLS, "--device", "lab/node-1", "--force")
    assert key.exists()
    assert key.with_suffix(".pem").read_bytes() != certificate


def test_without_the_authoritys_key_everything_works_but_signing(tmp_path: Path) -> None:
    require("mosquitto")
    write_config(tmp_path, *TLS, *LAB, "--device", "lab/node-2")
    (tmp_path / "tls/ca.key").rename(tmp_path.parent / "in-the-safe.key")
    said = write_config(tmp_path, *TLS[:-1], "--remove", "lab/node-2")
    assert said["checked"] is False
    assert any("ca.key is not here to make certificates for a trial" in note for note in said["notes"])
    assert "cannot read key" in complaint(tmp_path, *TLS, "--device", "lab/node-3")
    assert b"node-3" not in (tmp_path / "acl").read_bytes()


def test_who_is_removed_is_in_no_rule_and_has_no_password(tmp_path: Path) -> None:
    write_config(tmp_path, *PLAIN, *LAB, "--device", "lab/node-2")
    assert set(read_hashes(tmp_path / "passwords")) == {"lab/node-1", "lab/node-2", "gateway-1", "anna"}
    said = write_config(tmp_path, *PLAIN, "--remove", "lab/node-1")
    assert "lab/node-1" not in said["users"]
    assert b"node-1" not in (tmp_path / "acl").read_bytes()
    assert set(read_hashes(tmp_path / "passwords")) == {"lab/node-2", "gateway-1", "anna"}
    assert "has no 'lab/node-1'" in complaint(tmp_path, *PLAIN, "--remove", "lab/node-1")


def test_passwords_stand_in_no_file_of_the_broker_and_in_no_output(tmp_path: Path) -> None:
    said = json.dumps(write_config(tmp_path, *PLAIN, *LAB))
    password = (tmp_path / "clients/devices/lab/node-1/password").read_text().strip()
    assert len(password) >= 43
    for name in ("mosquitto.conf", "acl", "passwords", "plan.json"):
        assert password not in (tmp_path / name).read_text()
    assert password not in said


@pytest.mark.parametrize("name", ["mosquitto.conf", "acl"])
def test_a_file_that_somebody_changed_is_overwritten_by_force_only(tmp_path: Path, name: str) -> None:
    write_config(tmp_path, *TLS, *LAB)
    with (tmp_path / name).open("a") as file:
        file.write("# mine\n")
    before = contents(tmp_path)
    assert f"{name} was not written by this command, or was changed since" in complaint(
        tmp_path, *TLS, "--device", "lab/node-2"
    )
    assert contents(tmp_path) == before
    write_config(tmp_path, *TLS, "--device", "lab/node-2", "--force")
    assert "# mine" not in (tmp_path / name).read_text()


def test_a_configuration_that_was_there_before_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mosquitto.conf").write_text("listener 1883\n")
    assert "give --force to overwrite it" in complaint(tmp_path, *TLS, *LAB)
    assert contents(tmp_path) == {"mosquitto.conf": b"listener 1883\n"}


def test_another_name_of_the_server_needs_its_certificate_anew(tmp_path: Path) -> None:
    write_config(tmp_path, *TLS, *LAB)
    more = (*TLS, "--server-name", "10.1.2.3")
    assert "server.pem is not for 10.1.2.3: give --force" in complaint(tmp_path, *more)
    authority = (tmp_path / "tls/ca.pem").read_bytes()
    write_config(tmp_path, *more, "--force")
    assert (tmp_path / "tls/ca.pem").read_bytes() == authority


def test_the_files_may_be_installed_elsewhere(tmp_path: Path) -> None:
    write_config(tmp_path, *TLS, *LAB, "--installed-at", "/mosquitto/config", "--state-dir", "/mosquitto/data")
    text = (tmp_path / "mosquitto.conf").read_text()
    assert "\nacl_file /mosquitto/config/acl\n" in text
    assert "\ncertfile /mosquitto/config/tls/server.pem\n" in text
    assert "\npersistence_location /mosquitto/data/\n" in text
    assert str(tmp_path) not in text


def test_mosquitto_2_1_has_plugins_where_they_are_given(tmp_path: Path) -> None:
    version = ("--broker-version", "2.1", "--plugin-dir", "/opt/plugins", "--no-check")
    write_config(tmp_path, "--users", *LAB, *version)
    text = (tmp_path / "mosquitto.conf").read_text()
    assert "\nglobal_plugin /opt/plugins/mosquitto_acl_file.so\nplugin_opt_acl_file " in text
    assert "\nglobal_plugin /opt/plugins/mosquitto_password_file.so\nplugin_opt_password_file " in text


def test_without_mosquitto_it_says_that_nothing_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "mosquitto_path", lambda: None)
    assert "give --broker-version 2.0 or 2.1" in complaint(tmp_path / "a", "--tls", "--server-name", "g", *LAB)
    said = write_config(tmp_path / "b", *TLS[:-1], *LAB)
    assert (said["checked"], said["passed"]) == (False, None)
    assert "NOT checked: mosquitto is not installed here" in said["notes"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*LAB,), "say how clients prove who they are"),
        ((*PLAIN,), "nobody is named"),
        (("--tls", *LAB), "--tls needs a --server-name"),
        ((*TLS, "--device", "node-1"), "a device is SITE/NAME"),
        ((*TLS, "--device", f"{'s' * 40}/{'d' * 40}"), "a certificate's common name has at most 64"),
        ((*TLS, *LAB, "--days", "0"), "--days is from 0.01 to 3650, got 0.0"),
        ((*TLS, *LAB, "--listen", "here"), "--listen is [HOST:]PORT, got 'here'"),
        ((*TLS, *LAB, "--plugin-dir", "/x"), "--plugin-dir is for mosquitto 2.1"),
        (("--insecure-localhost", "--tls"), "--insecure-localhost is without --tls"),
        (("--insecure-localhost", "--listen", "0.0.0.0:1883", "--no-check"), "listens on 127.0.0.1 only"),
        ((*TLS, "--devices", "/does/not/exist"), "cannot read list of devices /does/not/exist"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_configured(
    tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    assert message in complaint(tmp_path / "b", *arguments)
    assert not (tmp_path / "b" / "mosquitto.conf").exists()


def test_on_the_command_line_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = run_cli("broker-config", "--out", tmp_path / "b", *TLS, "--device", "node-1")
    assert done.returncode == 2
    assert done.stderr == "specnet-gateway: a device is SITE/NAME, as in lab/node-1; got 'node-1'\n"


def test_the_text_for_people_says_what_is_new_and_what_to_do(tmp_path: Path) -> None:
    done = run_cli("broker-config", "--out", tmp_path / "b", *TLS, *LAB)
    assert done.returncode == 0
    assert f"new       {tmp_path}/b/clients/devices/lab/node-1/client.pem, until 20" in done.stdout
    assert "note      NOT checked, as you wished" in done.stdout
    assert f"start: mosquitto -c {tmp_path}/b/mosquitto.conf" in done.stdout


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot write" in complaint(tmp_path / "file" / "b", *TLS, *LAB)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "plan.json").write_text("{")
    assert "is no plan of a broker" in complaint(damaged, *TLS, *LAB)


def test_another_proof_of_identity_is_no_accident(tmp_path: Path) -> None:
    write_config(tmp_path, *TLS, *LAB)
    assert "is for another proof of identity (certificates)" in complaint(tmp_path, *PLAIN)


def test_help_has_an_example() -> None:
    text = " ".join(run_cli("broker-config", "--help", COLUMNS="400").stdout.split())
    assert "example: specnet-gateway broker-config --out broker --tls" in text
