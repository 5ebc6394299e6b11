"""Names, limits and types of the HDF5 layout; ``data/schema.md`` describes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import h5py

from specnet.errors import DatasetError
from specnet.spectra import Quantity

FORMAT_NAME = "specnet-spectra"
FORMAT_VERSION = "1.0"

CHUNK_SPECTRA = 64
"""Spectra per chunk: small enough to read one spectrum quickly, large enough to compress."""

MAX_TABLE_BYTES = 4 * 2**30
MAX_SPECTRA = 20_000_000
MAX_CHUNK_BYTES = 256 * 2**20
MAX_COLUMNS = 256
MAX_TEXT = 65_536

MAX_BANDS = 5_000_000

FOLDS_DATASET = "group_kfold_5"
BANDS_GROUP = "substances"

COLUMN_UNITS = {"laser_nm": "nm", "integration_time": "ms"}
"""Units of well-known columns of ``samples/``."""

UNIT_SPELLINGS = {
    "cm-1": "1/cm",
    "cm^-1": "1/cm",
    "cm**-1": "1/cm",
    "cm⁻¹": "1/cm",
    "nanometer": "nm",
    "nanometre": "nm",
    "µm": "um",
    "μm": "um",
    "micrometer": "um",
    "micrometre": "um",
}
"""How other programs write the units that `SpectralAxis` knows."""


def enumeration(values: dict[str, int], base: str) -> Any:
    """HDF5 enumeration type of named integers."""
    return h5py.enum_dtype(values, basetype=base)


def child(group: h5py.Group, name: str, path: Path) -> h5py.Group | h5py.Dataset | None:
    """Member of a group inside the same file; None when it is not there.

    Raises
    ------
    DatasetError
        When the member lies in another file: a file of spectra must not make its reader open others.
    """
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if isinstance(link, h5py.ExternalLink):
        refuse(path, f"{group.name}/{name} points into another file ({link.filename!r}), which is not followed")
    found = group.get(name)
    if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
        refuse(path, f"{group.name}/{name} keeps its data in other files, which are not followed")
    return found


def text_attribute(item: h5py.Group | h5py.Dataset | h5py.File, name: str) -> str:
    """Attribute as text, empty when it is not there or no text."""
    value = item.attrs.get(name, "")
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


def text_list_attribute(item: h5py.Group, name: str) -> list[str]:
    """Attribute as a list of texts; a single text is a list of one, as NeXus allows."""
    value = item.attrs.get(name)
    if value is None:
        return []
    values: Sequence[Any] = [value] if isinstance(value, str | bytes) else list(value)
    return [entry.decode("utf-8", "replace") if isinstance(entry, bytes) else str(entry) for entry in values]


def refuse(path: Path, reason: str) -> NoReturn:
    """Raise `DatasetError` about a file."""
    raise DatasetError(f"{path}: {reason}")


@contextmanager
def damage_as_dataset_error(path: Path) -> Iterator[None]:
    """Turn what HDF5 raises on damaged or foreign content into one `DatasetError` that names the file."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{path}: damaged or not readable as HDF5: {reason}") from error


def known_quantities() -> str:
    """Names of the axes that are understood, for messages."""
    return ", ".join(Quantity)
