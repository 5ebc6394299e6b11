"""Spectra as a file that `specnet-device simulate` replays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from specnet.files import write_atomically


def write_replay(path: Path, counts: NDArray[np.uint32]) -> Path:
    """Write counts ``(n, n_points)``, whole or not at all."""

    def save(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, intensity=counts)

    return write_atomically(path, save)
