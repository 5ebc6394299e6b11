"""What additive exits are added to, handed out with the spectra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from specnet.errors import ModelError

Item = tuple[Tensor, Tensor, Tensor]


class WithOffsets(Dataset[Item]):
    """Items ``(intensity, label, offset)`` of a torch dataset of ``(intensity, label)`` and offsets ``(n, C)``.

    Raises
    ------
    ModelError
        When there is not one offset a spectrum.
    """

    def __init__(self, data: Any, offsets: Float[Tensor, "n_spectra classes"]) -> None:
        self._data = data
        self._offsets = offsets
        if len(self._data) != len(offsets):
            raise ModelError(f"{len(self._data)} spectra need as many offsets, got {len(offsets)}")

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: int) -> Item:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """Fetch a batch at once, as torch's fetcher asks for it."""
        fetch = getattr(self._data, "__getitems__", None)
        items = fetch(indices) if fetch else [self._data[index] for index in indices]
        return [(*item, self._offsets[index]) for item, index in zip(items, indices, strict=True)]

    @property
    def in_memory(self) -> bool:
        """Whether the spectra are loaded."""
        return bool(getattr(self._data, "in_memory", True))
