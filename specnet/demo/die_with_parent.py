"""Run a program that ends when its parent does: ``python die_with_parent.py PARENT_PID PROGRAM [ARGUMENT ...]``.

Started as a file of its own, because a broker left behind by a killed demonstration would hold its port, and because
the alternative, a function between fork and exec of the parent, is unsafe in a process with threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: list[str]) -> None:
    """Ask the kernel for SIGKILL at the parent's death, where it is Linux, and become the program."""
    parent, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # the parent may have died before the line above
        if os.getppid() != parent:
            sys.exit(1)
    os.execvp(program[0], program)  # noqa: S606 - becoming the program is the purpose


if __name__ == "__main__":
    main(sys.argv[1:])
