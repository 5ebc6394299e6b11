"""What a preprocessing step is, and the registry that finds one by the name it has in a bundle."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.errors import ConfigurationError
from specnet.spectra import SpectralAxis

Intensity: TypeAlias = NDArray[np.float32]
"""Spectra ``(n_spectra, n_points)`` in single precision."""


@dataclass(frozen=True, slots=True, eq=False)
class BoundStep:
    """A step made ready for one axis.

    Parameters
    ----------
    axis
        Axis of what comes out.
    apply
        Takes float32 ``(n_spectra, n_points_in)``, gives float32 ``(n_spectra, axis.n_points)``. Never writes into what
        it was given, but may give it back as it is.
    """

    axis: SpectralAxis
    apply: Callable[[Intensity], Intensity]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="step"):
    """Base of all steps: validated settings, as they stand in a bundle's manifest.

    A subclass is a frozen `msgspec.Struct` with a ``tag`` (its name), checks its fields in ``__post_init__`` and
    implements `bind`.
    """

    def bind(self, axis: SpectralAxis) -> BoundStep:
        """Compute everything that depends on the axis, once.

        Raises
        ------
        AxisError
            When the step cannot work on this axis.
        """
        raise NotImplementedError(f"{type(self).__name__} has no bind()")


STEPS: dict[str, type[Step]] = {}
"""Every known step by its name."""

StepClass = TypeVar("StepClass", bound=type[Step])


def step_name(step: Step | type[Step]) -> str:
    """Name of a step in the registry and in a bundle."""
    return str(step.__struct_config__.tag)


def register_step(step_class: StepClass) -> StepClass:
    """Class decorator: make a step known under its tag.

    Raises
    ------
    ConfigurationError
        When another class has that name already.
    """
    name = step_name(step_class)
    if STEPS.setdefault(name, step_class) is not step_class:
        raise ConfigurationError(f"two preprocessing steps are named {name!r}: {STEPS[name]} and {step_class}")
    return step_class


def list_steps() -> list[str]:
    """Names of all steps, sorted."""
    return sorted(STEPS)


def require_integer(step: Step, field: str, low: int, high: int) -> None:
    """Raise `ConfigurationError` unless the field is an integer within ``low .. high``."""
    value = getattr(step, field)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigurationError(f"{step_name(step)}: {field} is an integer from {low} to {high}, got {value!r}")


def require_positive(step: Step, field: str, high: float = math.inf) -> None:
    """Raise `ConfigurationError` unless the field is a finite number over zero and not over `high`."""
    value = getattr(step, field)
    if not _is_finite(value) or not 0 < value <= high:
        limit = "" if high == math.inf else f" up to {high:g}"
        raise ConfigurationError(f"{step_name(step)}: {field} is a positive number{limit}, got {value!r}")


def require_finite(step: Step, field: str) -> None:
    """Raise `ConfigurationError` unless the field is a finite number."""
    value = getattr(step, field)
    if not _is_finite(value):
        raise ConfigurationError(f"{step_name(step)}: {field} is a finite number, got {value!r}")


def require_choice(step: Step, field: str, choices: Collection[object]) -> None:
    """Raise `ConfigurationError` unless the field is one of `choices`."""
    value = getattr(step, field)
    if value not in choices:
        known = ", ".join(str(choice) for choice in choices)
        raise ConfigurationError(f"{step_name(step)}: {field} is one of {known}; got {value!r}")


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
