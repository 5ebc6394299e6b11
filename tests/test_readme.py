"""The README is true: its commands run, and the files that it names exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from specnet.cli import COMMANDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PROGRAMS = {"specnet": "specnet.cli", "specnet-device": "device.cli", "specnet-gateway": "gateway.cli"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[list[str]]:
    return [words for line in block.splitlines() if (words := shlex.split(line, comments=True))]


ALL_COMMANDS = [words for block in blocks("sh") for words in commands(block) if words[0] in PROGRAMS]


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", PROGRAMS[words[0]], *words[1:]]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def test_the_commands_from_spectra_to_a_bundle_run(tmp_path):
    marker = "<!-- the block below is run by tests/test_readme.py -->"
    block = README.split(marker)[1].split("```sh\n")[1].split("```")[0]
    steps = commands(block)
    assert len(steps) >= 9
    for words in steps:
        done = run(words, tmp_path)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr[-2000:]}"
        assert done.stdout.strip(), f"{shlex.join(words)} says nothing"
    assert (tmp_path / "minerals.png").stat().st_size > 10_000
    assert (tmp_path / "minerals.specnet").exists()


@pytest.mark.parametrize("words", ALL_COMMANDS, ids=shlex.join)
def test_every_command_and_option_exists(words, tmp_path):
    names = [word for word in words[1:] if not word.startswith("-")]
    depth = 2 if names[0] in {"models", "model", "bench"} or " ".join(names[:2]) in COMMANDS else 1
    done = run([words[0], *names[:depth], "--help"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "example:" in done.stdout.lower()
    for option in (word for word in words if word.startswith("--")):
        assert option in done.stdout


def test_the_device_configuration_is_valid(tmp_path):
    from device.config import load_device_configuration

    node, choosing, spectrometer, *_ = blocks("toml")
    path = tmp_path / "node.toml"
    path.write_text(node)
    assert load_device_configuration(path, environment={}).split == tomllib.loads(node)["split"]
    names = node.split("[")[0]
    path.write_text("\n".join(line for line in names.splitlines() if not line.startswith("split")) + f"\n{choosing}")
    assert load_device_configuration(path, environment={}).choosing.daily_joules == 500.0
    path.write_text(f"{names}\n{spectrometer}")
    assert load_device_configuration(path, environment={}).spectrometer.dark.subtract


def test_the_table_of_sinks_is_valid(tmp_path):
    from gateway.config import PREFIX, GatewaySettings
    from specnet.configuration import load_configuration

    (sinks,) = [block for block in blocks("toml") if "[sink]" in block]
    path = tmp_path / "gateway.toml"
    path.write_text(sinks)
    settings = load_configuration(GatewaySettings, path, environment={}, prefix=PREFIX)
    # what stands there are the defaults, except for where things are
    defaults = GatewaySettings().sink
    assert (settings.sink.spool, settings.sink.sqlite, settings.sink.hdf5) == (
        defaults.spool,
        defaults.sqlite,
        defaults.hdf5,
    )


def test_linked_files_and_make_targets_exist():
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("sh")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_python_example_runs(tmp_path):
    (code,) = blocks("python")
    fixture = ROOT / "tests" / "device" / "fixtures"
    code = code.replace("minerals.specnet", str(fixture / "tiny.specnet"))
    setup = f"import numpy as np\ncounts = np.load({str(fixture / 'tiny.npz')!r})['intensity']\naxis = None\n"
    show = "\nimport json; print(json.dumps([len(prediction.names), list(prediction.probabilities.shape)]))"
    done = subprocess.run(
        [sys.executable, "-c", setup + code + show], capture_output=True, text=True, cwd=ROOT, check=True
    )
    n, shape = json.loads(done.stdout)
    assert shape[0] == n > 0
