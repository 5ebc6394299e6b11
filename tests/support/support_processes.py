"""Several processes of one program that find each other, as torchrun starts them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

SECONDS = 120


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run_together(program: Path, n: int, *words: object) -> list[str]:
    """Run a program as n processes of one group; stdout of each. Fails with the first stderr when one fails."""
    # the group must not need a name server; one thread each, as torchrun does
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    children = [
        subprocess.Popen(
            [sys.executable, str(program), *map(str, words)],
            env={**os.environ, **shared, "WORLD_SIZE": str(n), "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(n)
    ]
    try:
        said = [child.communicate(timeout=SECONDS) for child in children]
    finally:
        for child in children:
            child.kill()
    for child, (_, err) in zip(children, said, strict=True):
        assert child.returncode == 0, err[-3000:]
    return [out for out, _ in said]
