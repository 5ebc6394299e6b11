"""The demonstration in a size for tests, as a process that can be interrupted, and what it must leave behind."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import tomllib
import uuid
from collections.abc import Callable
from pathlib import Path

from safetensors.numpy import load_file
from support_broker import wait_until

from specnet.bundle import read_bundle
from specnet.datasets import read_spectra
from specnet.datasets.simulation import PRESETS
from specnet.demo.model import RECIPE

ROOT = Path(__file__).resolve().parents[2]
INTERRUPTED = 130
SPECTRA = 200
LIGHT_TRAINING = dataclasses.replace(RECIPE, preset="nano", epochs=1)
LIGHT_SIMULATION = dataclasses.replace(PRESETS["demo"], n_classes=6, n_points=300, spectra_per_class=200)

SMALL_ENDLESS_DEMO = """
import dataclasses, functools, sys
sys.path.insert(0, sys.argv[1])
from specnet import cli
from specnet.demo import model
from support_demo import LIGHT_SIMULATION, LIGHT_TRAINING
endless = dataclasses.replace(LIGHT_TRAINING, epochs=100_000)
model.prepare = functools.partial(model.prepare, training=endless, simulation=LIGHT_SIMULATION)
sys.exit(cli.main(sys.argv[2:]))
"""


class Program:
    """A Python program with its own mark in the environment, by which every descendant is found; a context manager."""

    def __init__(self, *arguments: object) -> None:
        self._mark = f"SPECNET_TEST_MARK={uuid.uuid4()}"
        name, _, value = self._mark.partition("=")
        self._process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, name: value},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # as in a terminal, where nothing else of the tests is in its group
            start_new_session=True,
        )
        self.errors: list[str] = []
        self._output: list[str] = []
        self._threads = [
            threading.Thread(target=self._collect, args=pipe, daemon=True)
            for pipe in ((self._process.stdout, self._output), (self._process.stderr, self.errors))
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _collect(stream: object, lines: list[str]) -> None:
        lines.extend(stream)

    def wait_for(self, condition: Callable[[], object], what: str, timeout: float = 60.0) -> None:
        """Wait for a condition while the program runs."""
        wait_until(lambda: condition() or self._process.poll() is not None, what, timeout)
        assert self._process.poll() is None, f"ended before {what}: {''.join(self.errors)}"

    def says(self, text: str) -> bool:
        """Whether it has written this to stderr."""
        return any(text in line for line in self.errors)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process alone."""
        self._process.send_signal(number)

    def wait(self, timeout: float = 60.0) -> int:
        """Exit code."""
        code = self._process.wait(timeout)
        for thread in self._threads:
            thread.join(10)
        return code

    @property
    def output(self) -> str:
        """What it wrote to stdout."""
        return "".join(self._output)

    def descendants(self) -> list[str]:
        """Command lines of processes that it has started, directly or not, and that still live."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self._mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append((int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()))
            except OSError:  # it ended meanwhile, or belongs to somebody else
                continue
        return [command for pid, command in found if pid != self._process.pid]

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *details: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.wait()
        for stream in (self._process.stdout, self._process.stderr):
            stream.close()


def demo(folder: Path, *options: object) -> Program:
    """``specnet demo`` as a process."""
    return Program("-m", "specnet.cli", "demo", "--out", folder, "--spectra", SPECTRA, *options)


def small_endless_demo(folder: Path) -> Program:
    """``specnet demo`` as a process, with a small network that trains until it is interrupted."""
    support = Path(__file__).parent
    return Program("-c", SMALL_ENDLESS_DEMO, support, "demo", "--out", folder)


def check_files(folder: Path) -> None:
    """Every file is whole: an interrupted demonstration leaves no temporary and no half-written one."""
    assert not list(folder.rglob("*.tmp"))
    readers: dict[str, Callable[[Path], object]] = {
        ".h5": read_spectra,
        ".json": lambda path: json.loads(path.read_text()),
        ".toml": lambda path: tomllib.loads(path.read_text()),
        ".specnet": read_bundle,
        ".safetensors": load_file,
    }
    for path in folder.rglob("*"):
        if path.suffix in readers:
            readers[path.suffix](path)
