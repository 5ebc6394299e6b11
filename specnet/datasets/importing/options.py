"""What the user says about a file that does not say it itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from specnet.errors import DatasetError
from specnet.spectra import UNITS, Quantity

NAME_HINTS = {
    "raman": (Quantity.RAMAN_SHIFT, "Raman"),
    "ftir": (Quantity.WAVENUMBER, "FTIR"),
    "nir": (Quantity.WAVELENGTH, "NIR"),
}
"""Quantity and kind of experiment that a word in a file's name stands for."""


@dataclass(frozen=True)
class ImportOptions:
    """Facts and choices for an import.

    Parameters
    ----------
    quantity, unit
        Of the axis; guessed from the file's name when empty, and the guess is told.
    intensity_unit
        Empty: counts for integers, "a.u." otherwise.
    laser_nm
        Excitation line in nm.
    title
        Empty: the file's name.
    crop
        Lowest and highest axis value to keep, in the axis's unit.
    drop_nan
        Drop spectra with points that are not finite (after the crop) instead of refusing the file.
    where
        ``COLUMN=VALUE`` conditions; only spectra that meet all of them are kept.
    min_groups
        Keep only classes with at least this many distinct groups.

    Raises
    ------
    DatasetError
        When options contradict each other or are malformed.
    """

    quantity: Quantity | None = None
    unit: str = ""
    intensity_unit: str = ""
    laser_nm: float | None = None
    title: str = ""
    crop: tuple[float, float] | None = None
    drop_nan: bool = False
    where: tuple[str, ...] = ()
    min_groups: int = 0

    def __post_init__(self) -> None:
        if self.unit and self.quantity is not None and self.unit not in UNITS[self.quantity]:
            raise DatasetError(
                f"a {self.quantity} axis is in {' or '.join(UNITS[self.quantity])}, got unit {self.unit!r}"
            )
        if self.crop is not None and not self.crop[0] < self.crop[1]:
            raise DatasetError(f"crop from low to high, got {self.crop[0]:g} to {self.crop[1]:g}")
        for condition in self.where:
            if not condition.partition("=")[0] or "=" not in condition:
                raise DatasetError(f"a condition is COLUMN=VALUE, got {condition!r}")
        if self.min_groups < 0:
            raise DatasetError(f"min_groups is a number of groups, got {self.min_groups}")

    @property
    def selects(self) -> bool:
        """Whether spectra may be left out."""
        return self.drop_nan or bool(self.where) or self.min_groups > 0


def guess_quantity(path: Path, options: ImportOptions) -> tuple[Quantity | None, str, list[str]]:
    """Quantity of the axis, kind of experiment, and notes about what was guessed from the name of the file."""
    name = path.stem.lower()
    hint = next((value for word, value in NAME_HINTS.items() if word in name), None)
    experiment = hint[1] if hint else ""
    if options.quantity is not None or hint is None:
        return options.quantity, experiment, []
    quantity = hint[0]
    unit = options.unit or UNITS[quantity][0]
    return quantity, experiment, [f"axis taken as {quantity} in {unit} because of the file's name"]
