"""Whatever moment the power goes: the old model or the new one, whole, and the work can be finished."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support_device import ROOT
from support_models import Releaser

PROGRAM = ROOT / "tests" / "support" / "model_kill_program.py"


@pytest.mark.parametrize(
    ("case", "before", "after"),
    [
        ("install", "tiny/2", "tiny/2,tiny/3"),
        ("activate", "tiny/2", "tiny/3"),
        ("start", "0 starts", "1 starts"),
        ("rollback", "tiny/3", "tiny/2"),
        ("fetch", "0 bytes", "120000 bytes"),
    ],
)
def test_killed_at_every_change_of_the_disk(
    tmp_path: Path, tiny_bundle: Path, releaser: Releaser, case: str, before: str, after: str
) -> None:
    releaser.release(2)
    release = releaser.release(3)
    done = subprocess.run(
        [sys.executable, str(PROGRAM), case, str(tmp_path), str(tiny_bundle), str(release.path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["moments"] >= 4
    # both sides of the decisive moment were met
    assert {before, after} <= set(found["outcomes"])
