from __future__ import annotations

import json
from pathlib import Path

import pytest
from support_models import make_version

from specnet.cli import main


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, object]:
    assert main([*map(str, words), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_from_a_key_to_a_verified_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_version(tmp_path / "tiny.specnet", 7)
    pair = answer(capsys, "sign", "keygen", tmp_path / "release")
    signed = answer(capsys, "sign", "sign", bundle, "--key", pair["private"])
    assert (signed["name"], signed["version"], signed["key_id"]) == ("tiny", 7, pair["key_id"])
    assert signed["path"] == f"{bundle}.sig"
    verified = answer(capsys, "sign", "verify", bundle, "--trust", pair["public"])
    assert verified["verified"] is True
    assert verified["sha256"] == signed["sha256"]


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_version(tmp_path / "tiny.specnet", 7)
    answer(capsys, "sign", "keygen", tmp_path / "release")
    answer(capsys, "sign", "keygen", tmp_path / "other")
    answer(capsys, "sign", "sign", bundle, "--key", tmp_path / "release.key")
    for words, complaint in (
        (("keygen", tmp_path / "release"), "never overwritten"),
        (("sign", bundle, "--key", tmp_path / "release.pem"), "mode 0"),
        (("sign", tmp_path / "missing.specnet", "--key", tmp_path / "release.key"), "missing.specnet"),
        (("verify", bundle, "--trust", tmp_path / "other.pem"), "signed with key"),
        (("verify", bundle, "--trust", tmp_path / "nowhere"), "trusted in"),
        (("verify", bundle, "--signature", bundle, "--trust", tmp_path), "signature"),
    ):
        assert main(["sign", *map(str, words)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        [line] = captured.err.splitlines()
        assert complaint in line
