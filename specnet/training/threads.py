"""How many processor threads a training uses."""

from __future__ import annotations

import os

import torch

from specnet.errors import ConfigurationError

SINGLE = ("nano", "tiny", "peaks")
"""Presets whose layers are too small to share: a second thread gains a third on an idle machine, and where another
process wants the core as well, threads that wait for each other made a step fifty times slower (measured, 2 cores)."""


def use_threads(preset: str, threads: int | None = None) -> int:
    """Set torch's threads for a preset, or to what the user wants; returns the number.

    Raises
    ------
    ConfigurationError
        When fewer than one thread is asked for.
    """
    if threads is not None and threads < 1:
        raise ConfigurationError(f"threads are at least 1, got {threads}")
    neighbours = os.environ.get("LOCAL_WORLD_SIZE", "1")  # torchrun's processes on this machine share its cores
    cores = len(os.sched_getaffinity(0)) // max(1, int(neighbours) if neighbours.isdecimal() else 1)
    number = threads or (1 if preset in SINGLE else max(1, cores))
    torch.set_num_threads(number)
    return number
