"""Borders between the packages: what may import what, and what stays out of a device's memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "scipy", "sklearn", "h5py", "onnx", "matplotlib", "rich", "pydantic", "cryptography")
CORE = (
    "specnet.errors",
    "specnet.spectra",
    "specnet.preprocessing",
    "specnet.exits",
    "specnet.codec",
    "specnet.handover",
    "specnet.manifest",
    "specnet.bundle",
    "specnet.signing",
    "specnet.wire",
    "specnet.configuration",
    "specnet.mqtt",
    "specnet.runtime",
    "specnet.profiles",
    "specnet.systemd",
    "specnet.upkeep",
    "specnet.template",
    "specnet.service_files",
)


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["specnet", "device", "device.cli", "device.service", *CORE])
def test_a_device_loads_nothing_heavy(module):
    loaded = modules_after(f"import {module}")
    assert module in loaded
    assert not loaded & set(HEAVY)


def test_device_and_gateway_are_apart():
    assert not any(name.split(".")[0] == "gateway" for name in modules_after("import device.cli"))
    assert not any(name.split(".")[0] == "device" for name in modules_after("import gateway.cli"))


def test_a_gateway_on_a_cpu_needs_no_torch():
    assert "torch" not in modules_after("import gateway.cli, gateway.service")


def test_import_contracts_hold():
    executable = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([executable], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]


def test_modules_are_small_and_none_is_a_drawer():
    for path in [p for package in ("specnet", "device", "gateway") for p in (ROOT / package).rglob("*.py")]:
        lines = path.read_text().count("\n")
        assert lines <= 400, f"{path.relative_to(ROOT)} has {lines} lines: is there more than one concept in it?"
        assert path.stem not in {"utils", "helpers", "common", "misc"}


def test_without_the_extra_train_the_command_line_says_what_is_missing(tmp_path):
    (tmp_path / "rich.py").write_text("raise ModuleNotFoundError('no rich here', name='rich')")
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from specnet.cli import main; sys.exit(main(['inspect', 'a.h5']))"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )
    assert done.returncode == 2
    assert done.stderr == "specnet: rich is not installed; pip install 'specnet-edge[train]'\n"
