"""The shapes that annotations promise, checked at run time: once more all tests of this folder, with checks on.

Checks have to be installed before `specnet.nn` is imported, so they run in a process of their own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MODULES = [f"specnet.nn.{name}" for name in ("blocks", "heads", "stage", "network")]
CHECKED = f"from jaxtyping import install_import_hook; install_import_hook({MODULES!r}, 'beartype.beartype')\n"


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_the_other_tests_of_this_folder_pass_with_shapes_checked() -> None:
    here = Path(__file__)
    others = sorted(str(path) for path in here.parent.glob("test_*.py") if path != here)
    assert len(others) >= 4
    packages = ",".join([*MODULES, "beartype.beartype"])  # an option of jaxtyping's own plugin for pytest
    done = _python("-m", "pytest", *others, "-q", "-p", "no:cacheprovider", f"--jaxtyping-packages={packages}")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


WRONG = """
import torch
from jaxtyping import TypeCheckError
from specnet.nn import create_model
network = create_model("nano", n_points=128, n_classes=3)
network(torch.zeros(2, 1, 128))
wrong = {
    "a missing axis": lambda: network(torch.zeros(2, 128)),
    "two channels": lambda: network(torch.zeros(2, 2, 128)),
    "integers": lambda: network(torch.zeros(2, 1, 128, dtype=torch.int64)),
    "unit": lambda: network.stage(1).unit(0)(torch.zeros(2, 8, 64)),
    "head": lambda: network.head(1)(torch.zeros(2, 64)),
    "linear exit": lambda: network.exit0(torch.zeros(2, 3, 128)),
    "array": lambda: network.run_stem([1.0, 2.0]),
}
for what, call in wrong.items():
    try:
        call()
    except TypeCheckError:
        continue
    raise SystemExit(f"not noticed: {what}")
print("all", len(wrong), "noticed")
"""


def test_wrong_shapes_are_noticed_in_that_mode() -> None:
    done = _python("-c", CHECKED + WRONG)
    assert (done.returncode, done.stdout) == (0, "all 7 noticed\n"), done.stderr[-2000:]
