"""The shapes that annotations promise, checked at run time: once more all tests of this folder, with checks on.

Checks have to be installed before `specnet.nn` is imported, so they run in a process of their own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

OURS = ("blocks", "halting", "heads", "taps", "stage", "network", "supernet", "statistics")
BASELINES = ("convolution", "resnet1d", "msdnet1d")
MODULES = [f"specnet.nn.{name}" for name in (*OURS, *BASELINES)]
WRONG = f"""
from jaxtyping import TypeCheckError, install_import_hook
install_import_hook({MODULES!r}, "beartype.beartype")
import torch
from specnet.nn import create_model
network = create_model("nano", n_points=128, n_classes=3)
network(torch.zeros(2, 1, 128))
wrong = {{
    "a missing axis": lambda: network(torch.zeros(2, 128)),
    "two channels": lambda: network(torch.zeros(2, 2, 128)),
    "integers": lambda: network(torch.zeros(2, 1, 128, dtype=torch.int64)),
    "unit": lambda: network.stage(1).unit(0)(torch.zeros(2, 8, 64)),
    "head": lambda: network.head(1)(torch.zeros(2, 64)),
    "linear exit": lambda: network.exit0(torch.zeros(2, 3, 128)),
    "array": lambda: network.run_stem([1.0, 2.0]),
}}
for what, call in wrong.items():
    try:
        call()
    except TypeCheckError:
        print("noticed:", what)
    else:
        print("MISSED:", what)
"""


@pytest.fixture(scope="module")
def checked() -> str:
    """Output of the wrong calls, then of the other tests."""
    here = Path(__file__)
    others = sorted(str(path) for path in here.parent.glob("test_*.py") if path != here)
    assert len(others) >= 4
    # the hook comes before pytest, which would like to rewrite the assertions of jaxtyping's plugin
    quiet = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
    tests = f"import pytest, sys; sys.exit(pytest.main({[*others, '-q', '-p', 'no:cacheprovider', '-W', quiet]!r}))"
    done = subprocess.run([sys.executable, "-c", WRONG + tests], capture_output=True, text=True, check=False)
    return f"{done.stdout}\n{done.stderr}\nexit code {done.returncode}"


def test_wrong_shapes_are_noticed_in_that_mode(checked: str) -> None:
    assert "MISSED" not in checked
    assert checked.count("noticed: ") == 7


def test_the_other_tests_of_this_folder_pass_with_shapes_checked(checked: str) -> None:
    assert checked.endswith("exit code 0"), checked[-3000:]
    assert " passed" in checked
