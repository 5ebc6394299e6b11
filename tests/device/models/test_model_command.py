"""``specnet-device model``: what somebody at the device does by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support_broker import make_certificates
from support_http import FileServer
from support_models import Releaser

from device.cli import main
from device.models.starting import open_model
from device.models.store import ModelStore


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Path, releaser: Releaser) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(
        f'device = "node-1"\nbundle = "{tiny_bundle}"\nstate_dir = "{tmp_path / "state"}"\nsplit = 1\n'
        f'[models]\ntrust_dir = "{releaser.trust}"\n'
    )
    return path


def model(config: Path, capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main(["model", *map(str, words), "--config", str(config), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def refused(config: Path, capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["model", *map(str, words), "--config", str(config)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    return line


def test_install_activate_roll_back_remove(
    tmp_path: Path, config: Path, releaser: Releaser, capsys: pytest.CaptureFixture[str], tiny_bundle: Path
) -> None:
    assert model(config, capsys, "list")["active"] is None
    first, second = releaser.release(2), releaser.release(3)
    installed = model(config, capsys, "install", first.path)
    assert (installed["installed"]["version"], installed["active"]) == (2, None)
    assert installed["installed"]["key_id"] == releaser.key_id
    assert model(config, capsys, "activate", "tiny/2")["active"] == "tiny/2"
    store = ModelStore(tmp_path / "state")
    open_model(store, tiny_bundle)
    store.confirm(store.find("tiny", 2))
    done = model(config, capsys, "install", second.path, "--activate")
    assert (done["active"], done["previous"], done["on_trial"]) == ("tiny/3", "tiny/2", True)
    assert [(m["label"], m["role"]) for m in done["models"]] == [("tiny/2", "previous"), ("tiny/3", "active")]
    back = model(config, capsys, "rollback")
    assert (back["active"], back["previous"], back["on_trial"]) == ("tiny/2", None, False)
    assert [r["label"] for r in back["refused"]] == ["tiny/3"]
    assert "was refused before: taken back by hand" in refused(config, capsys, "activate", "tiny/3")
    assert "it stays" in refused(config, capsys, "remove", "tiny/2")
    assert model(config, capsys, "remove", "tiny/3")["removed"] == "tiny/3"
    assert main(["model", "--json", "list", "--config", str(config)]) == 0
    assert json.loads(capsys.readouterr().out)["active"] == "tiny/2"
    assert main(["model", "list", "--config", str(config)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("in use: tiny/2\n")
    assert "refused tiny/3: taken back by hand" in text


def test_mistakes_are_one_line(
    tmp_path: Path, config: Path, releaser: Releaser, capsys: pytest.CaptureFixture[str]
) -> None:
    release = releaser.release(2)
    unsigned = tmp_path / "unsigned.specnet"
    unsigned.write_bytes(release.data)
    for words, complaint in (
        (["install", unsigned], "unsigned.specnet.sig"),
        (["install", tmp_path / "missing.specnet", "--signature", f"{release.path}.sig"], "missing.specnet"),
        (["install", release.path, "--signature", f"{releaser.release(4).path}.sig"], "signed are"),
        (["install", "http://127.0.0.1:1/x.specnet"], "cannot be fetched"),
        (["install", "http://127.0.0.1:1/x", "--signature", "y"], "--signature is for files"),
        (["activate", "tiny"], "NAME/VERSION"),
        (["activate", "tiny/9"], "is not installed; installed are: none"),
        (["remove", "../9"], "is not installed"),
        (["rollback"], "there is none before it"),
    ):
        assert complaint in refused(config, capsys, *words), words


def test_going_back_needs_force_at_the_device(
    config: Path, releaser: Releaser, capsys: pytest.CaptureFixture[str]
) -> None:
    model(config, capsys, "install", releaser.release(3).path, "--activate")
    older = releaser.release(2)
    assert "older than 3" in refused(config, capsys, "install", older.path)
    assert model(config, capsys, "install", older.path, "--activate", "--force")["active"] == "tiny/2"


def test_from_an_address_signature_first(
    tmp_path: Path, config: Path, releaser: Releaser, capsys: pytest.CaptureFixture[str]
) -> None:
    release = releaser.release(2)
    ca, certificate, key = make_certificates(tmp_path)
    files = {"/m/tiny-2.specnet": release.data, "/m/tiny-2.specnet.sig": release.signature_document}
    with FileServer(files, (certificate, key)) as server:
        server.cut_after = [len(release.signature_document), 40_000]
        url = server.url("/m/tiny-2.specnet")
        assert "CERTIFICATE_VERIFY_FAILED" in refused(config, capsys, "install", url)
        config.write_text(config.read_text() + f'ca_file = "{ca}"\n')
        done = model(config, capsys, "install", url, "--activate")
        assert done["active"] == "tiny/2"
        assert server.ranges == [None, None, "bytes=40000-"]
        stranger = Releaser(tmp_path / "stranger", "stranger").release(5)
        server.files = {"/m/s": stranger.data, "/m/s.sig": stranger.signature_document}
        server.ranges = []
        assert "signed with key" in refused(config, capsys, "install", server.url("/m/s"))
        assert server.ranges == [None]  # the signature alone was fetched
    assert not (tmp_path / "state" / "models" / "incoming").exists()


def test_without_trust_a_bundle_needs_no_signature_and_a_folder_without_keys_is_a_mistake(
    tmp_path: Path, config: Path, releaser: Releaser, capsys: pytest.CaptureFixture[str]
) -> None:
    release = releaser.release(2)
    empty = tmp_path / "no-keys"
    empty.mkdir()
    wrong = ["install", release.path, "--set", f"models.trust_dir={empty}"]
    assert "has no public keys" in refused(config, capsys, *wrong)
    nobody = ["install", release.path, "--set", "models.trust_dir="]
    assert model(config, capsys, *nobody)["installed"]["key_id"] == ""
    assert "nobody is trusted yet" in refused(config, capsys, *nobody, "--signature", "x")


@pytest.mark.parametrize("action", ["list", "install", "activate", "rollback", "remove"])
def test_every_action_has_an_example(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["model", action, "--help"])
    assert f"Example:\n  specnet-device model {action}" in capsys.readouterr().out
