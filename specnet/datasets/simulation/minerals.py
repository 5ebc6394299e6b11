"""The table of minerals and their published Raman bands (``minerals.toml``)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

from specnet.errors import DatasetError
from specnet.files import read_bounded

MAX_TABLE_BYTES = 1_000_000
MAX_PEAKS = 64
MAX_SHIFT_CM = 5000.0

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]


class Peak(msgspec.Struct, frozen=True, array_like=True):
    """One Raman band.

    Attributes
    ----------
    position
        Raman shift in 1/cm.
    intensity
        Height relative to the strongest band of the mineral, 0 to 1.
    width
        Full width at half maximum in 1/cm, without the instrument's share.
    """

    position: Annotated[float, msgspec.Meta(gt=0, le=MAX_SHIFT_CM)]
    intensity: Annotated[float, msgspec.Meta(gt=0, le=1)]
    width: Annotated[float, msgspec.Meta(gt=0, le=500)]


class Mineral(msgspec.Struct, frozen=True):
    """A mineral as the table has it; `source` is the full citation (several joined by ``"; "``)."""

    name: str
    formula: str
    family: str
    source: str
    peaks: tuple[Peak, ...]


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: _Name
    formula: _Name
    family: _Name
    source: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1)]
    peaks: Annotated[tuple[Peak, ...], msgspec.Meta(min_length=1, max_length=MAX_PEAKS)]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sources: dict[str, Annotated[str, msgspec.Meta(min_length=10)]]
    mineral: Annotated[tuple[_Row, ...], msgspec.Meta(min_length=2)]


def minerals_path() -> Path:
    """Where the table is: inside the installed package, or in ``data/`` of the source tree.

    Raises
    ------
    DatasetError
        When it is in neither place.
    """
    package = Path(__file__).resolve().parents[1]
    candidates = (package / "minerals.toml", package.parents[1] / "data" / "minerals.toml")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DatasetError(f"no table of minerals at {candidates[0]} nor at {candidates[1]}")


def load_minerals(path: Path | str | None = None) -> tuple[Mineral, ...]:
    """Read and validate a table of minerals.

    Parameters
    ----------
    path
        A TOML file with ``[sources]`` and ``[[mineral]]``; the project's own table when None.

    Returns
    -------
    tuple of Mineral
        In the order of the file.

    Raises
    ------
    DatasetError
        When the file is missing, too large, no TOML, or has a malformed row, an unknown source or a repeated name.
    """
    path = minerals_path() if path is None else Path(path)
    try:
        document = read_bounded(path, MAX_TABLE_BYTES, "table of minerals", DatasetError)
        table = msgspec.convert(tomllib.loads(document.decode()), _Table)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: no TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise DatasetError(f"{path}: {error}") from error
    minerals = tuple(_resolve(row, table.sources, path) for row in table.mineral)
    names = [mineral.name for mineral in minerals]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DatasetError(f"{path}: a mineral is named once, repeated: {', '.join(repeated)}")
    return minerals


def _resolve(row: _Row, sources: dict[str, str], path: Path) -> Mineral:
    missing = [key for key in row.source if key not in sources]
    if missing:
        raise DatasetError(f"{path}: {row.name} cites {missing[0]!r}, which is not among [sources]")
    peaks = tuple(sorted(row.peaks, key=lambda peak: peak.position))
    if max(peak.intensity for peak in peaks) != 1:
        raise DatasetError(
            f"{path}: the strongest band of {row.name} has intensity 1, got {max(p.intensity for p in peaks)}"
        )
    return Mineral(row.name, row.formula, row.family, "; ".join(sources[key] for key in row.source), peaks)
