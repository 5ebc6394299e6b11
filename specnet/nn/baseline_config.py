"""What the configurations of the baseline networks have in common."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

from specnet.errors import ModelError
from specnet.nn.config import MAX_CHANNELS, MAX_CLASSES
from specnet.spectra import MAX_POINTS

ARCHITECTURE = "architecture"
"""Key of a plain configuration that says which kind of network it describes."""


@dataclass(frozen=True)
class BaselineConfig:
    """Size of input and output of a baseline network.

    Parameters
    ----------
    n_points, n_classes
        Length L of a spectrum on the model's axis, and number of classes.
    """

    n_points: int
    n_classes: int

    kind: ClassVar[str]
    highest: ClassVar[dict[str, int]]

    def __post_init__(self) -> None:
        limits = {"n_points": MAX_POINTS, "n_classes": MAX_CLASSES, **self.highest}
        for name, highest in limits.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= highest:
                raise ModelError(f"{name} is {value!r}, expected 1 to {highest}")
            if "kernel" in name and value % 2 == 0:
                raise ModelError(f"{name} is {value}, expected an odd number")
        if self.n_classes < 2:
            raise ModelError(f"a classifier has at least two classes, got {self.n_classes}")

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON, with the kind of network."""
        return {ARCHITECTURE: self.kind, **asdict(self)}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Inverse of `to_dict`; unknown or missing fields, or another kind of network, raise `ModelError`."""
        values = dict(plain)
        kind = values.pop(ARCHITECTURE, cls.kind)
        if kind != cls.kind:
            raise ModelError(f"got the configuration of a {kind!r}, expected {cls.kind!r}")
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ModelError(f"unknown fields of a {cls.kind} {unknown}; known: {sorted(known)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ModelError(f"the configuration of a {cls.kind} is incomplete: {error}") from error


__all__ = ["ARCHITECTURE", "MAX_CHANNELS", "BaselineConfig"]
