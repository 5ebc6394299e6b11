"""Interruptions that libraries turn into something else.

Each in a process of its own: a signal that goes astray would take the tests along.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parents[2] / "support"


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("SIGINT", ["KeyboardInterrupt NoneType"]),
        ("SIGTERM", ["KeyboardInterrupt NoneType"]),
        ("another error", ["KeyboardInterrupt TypeError"]),
        ("swallowed", ["KeyboardInterrupt NoneType"]),
        ("asked", ["found when asked", "KeyboardInterrupt NoneType"]),
        ("no signal", ["ValueError NoneType"]),
    ],
)
def test_a_signal_is_a_keyboard_interrupt_and_handlers_come_back(way: str, said: list[str]) -> None:
    program = SUPPORT / "interruption_program.py"
    done = subprocess.run([sys.executable, str(program), way], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == said, done.stderr
    assert done.returncode == 0, done.stderr
