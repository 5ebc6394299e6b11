"""The gateway without a GPU must not pay for torch, and never sees the device's code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("foreign", ["torch", "scipy", "sklearn", "h5py", "onnx", "device", "rich", "matplotlib"])
def test_the_gateways_command_line_loads_nothing_foreign(foreign: str) -> None:
    code = f"import sys, gateway.cli; sys.exit({foreign!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
