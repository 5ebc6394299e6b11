"""Spectra for training: a torch dataset over a file of any size."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Dataset

from specnet.datasets.reading import SpectraFile
from specnet.errors import DatasetError

Transform = Callable[[NDArray[Any]], NDArray[Any]]
"""Spectra ``(n, n_points)`` in, spectra ``(n, n_points_out)`` out."""

MEMORY_SHARE = 0.25
LOAD_SPECTRA = 4096


class SpectraDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Labelled spectra of a file.

    Items are ``(intensity, label)``: float32 ``(n_points,)`` and int64 ``()``. In memory, `transform` runs once over
    all spectra; otherwise on each batch that is fetched. It is for deterministic preprocessing, not for augmentation.

    A file handle is opened in each process when it is first needed and never crosses a process boundary, so the dataset
    works with ``DataLoader(num_workers=...)`` under fork and spawn.

    Parameters
    ----------
    path
        The HDF5 file.
    rows
        Indices of the spectra to use; all when None.
    in_memory
        Whether to load the spectra now; None loads them when they take less than a quarter of the machine's memory.
    transform
        Applied to the intensities.

    Raises
    ------
    DatasetError
        When the file cannot be read, has no labels, or has no such rows.
    """

    def __init__(
        self,
        path: Path | str,
        rows: ArrayLike | None = None,
        *,
        in_memory: bool | None = None,
        transform: Transform | None = None,
    ) -> None:
        self.path = Path(path)
        self.transform = transform
        self._file: SpectraFile | None = None
        self._owner = 0
        self._loaded: torch.Tensor | None = None
        with SpectraFile(self.path) as file:
            if file.labels is None:
                raise DatasetError(f"{self.path} has no labels")
            self.rows = _check_rows(rows, file.n_spectra, self.path)
            self.labels = torch.from_numpy(file.labels[self.rows])
            self.class_names, self.axis = file.class_names, file.axis
            needed = len(self.rows) * file.n_points * 4
            if in_memory if in_memory is not None else needed <= MEMORY_SHARE * _machine_memory():
                self._loaded = self._load(file)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Fetch a batch at once, as torch's fetcher asks for it."""
        index = torch.as_tensor(indices, dtype=torch.int64)
        spectra = self._loaded[index] if self._loaded is not None else self._fetch(index.numpy())
        return list(zip(spectra, self.labels[index], strict=True))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None, "_owner": 0}

    @property
    def in_memory(self) -> bool:
        """Whether the spectra are loaded."""
        return self._loaded is not None

    def _fetch(self, index: NDArray[np.int64]) -> torch.Tensor:
        # a handle inherited by fork shares its file position and locks with the parent: never touch it, open another
        if self._file is None or self._owner != os.getpid():
            self._file, self._owner = SpectraFile(self.path), os.getpid()
        return self._prepare(self._file.read(self.rows[index]))

    def _load(self, file: SpectraFile) -> torch.Tensor:
        starts = range(0, max(1, len(self.rows)), LOAD_SPECTRA)
        return torch.cat([self._prepare(file.read(self.rows[start : start + LOAD_SPECTRA])) for start in starts])

    def _prepare(self, intensity: NDArray[Any]) -> torch.Tensor:
        prepared = intensity if self.transform is None else self.transform(intensity)
        return torch.from_numpy(np.ascontiguousarray(prepared, dtype=np.float32))


def _check_rows(rows: ArrayLike | None, n_spectra: int, path: Path) -> NDArray[np.int64]:
    numbers = np.arange(n_spectra)
    if rows is None:
        return numbers
    index = np.asarray(rows)
    try:
        return np.asarray(numbers[index.astype(np.int64) if index.size == 0 else index])
    except IndexError as error:
        raise DatasetError(f"{path} has {n_spectra} spectra: {error}") from error


def _machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
