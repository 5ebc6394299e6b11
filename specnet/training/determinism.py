"""Algorithms of torch that give the same numbers every time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils.deterministic


@contextmanager
def deterministic() -> Iterator[None]:
    """Use them within the block; what the caller had set is restored.

    Fresh memory stays as it is: filling it, which torch then does unless told otherwise, is a safeguard for programs
    that read what they have not written, and takes an eighth of a training's time.
    """
    memory: Any = torch.utils.deterministic  # its properties are not in the types
    before = torch.are_deterministic_algorithms_enabled()
    filling = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        memory.fill_uninitialized_memory = filling
