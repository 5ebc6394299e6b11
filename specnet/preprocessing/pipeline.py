"""A list of steps, and the same list made ready for one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from specnet.errors import ConfigurationError, SpectrumError
from specnet.preprocessing.step import STEPS, BoundStep, Intensity, Step, list_steps
from specnet.spectra import SpectralAxis, check_intensity

MAX_STEPS = 32

BLOCK_POINTS = 1 << 17
"""Points worked on at once: bulk runs stay in the processor's cache and within a few megabytes."""


@dataclass(frozen=True)
class Pipeline:
    """Preprocessing steps in order, as they travel inside a bundle.

    Parameters
    ----------
    steps
        At most 32; none leaves spectra as they are.

    Raises
    ------
    ConfigurationError
        When something is no step or there are too many.
    """

    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        """Validate."""
        steps = tuple(self.steps)
        if len(steps) > MAX_STEPS:
            raise ConfigurationError(f"preprocessing has at most {MAX_STEPS} steps, got {len(steps)}")
        for number, step in enumerate(steps, start=1):
            if not isinstance(step, Step):
                raise ConfigurationError(f"preprocessing step {number} is no step but {type(step).__name__}")
        object.__setattr__(self, "steps", steps)

    def bind(self, axis: SpectralAxis) -> BoundPipeline:
        """Make the steps ready for spectra measured on `axis`.

        Raises
        ------
        AxisError
            When a step cannot work on the axis that reaches it.
        """
        bound, current = [], axis
        for step in self.steps:
            bound.append(step.bind(current))
            current = bound[-1].axis
        return BoundPipeline(axis, current, tuple(bound))

    def to_list(self) -> list[dict[str, Any]]:
        """Plain form for JSON; every setting is written out, so that later defaults change nothing."""
        plain: list[dict[str, Any]] = msgspec.to_builtins(self.steps, builtin_types=())
        return [dict(item) for item in plain]

    @classmethod
    def from_list(cls, plain: Sequence[Any]) -> Self:
        """Inverse of `to_list`, for documents that may come from anywhere.

        Raises
        ------
        ConfigurationError
            For an unknown step, an unknown or missing field, or a value out of range.
        """
        if isinstance(plain, str | bytes) or not isinstance(plain, Sequence):
            raise ConfigurationError(f"preprocessing is a list of steps, got {type(plain).__name__}")
        if len(plain) > MAX_STEPS:
            raise ConfigurationError(f"preprocessing has at most {MAX_STEPS} steps, got {len(plain)}")
        return cls(tuple(_read_step(item, number) for number, item in enumerate(plain, start=1)))


@dataclass(frozen=True, eq=False)
class BoundPipeline:
    """Steps made ready by `Pipeline.bind`.

    Parameters
    ----------
    source
        Axis of the spectra that go in.
    axis
        Axis of what comes out: the model's axis.
    steps
        The steps.
    """

    source: SpectralAxis
    axis: SpectralAxis
    steps: tuple[BoundStep, ...]
    _block: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Fix how many spectra are worked on at once."""
        widest = max([self.source.n_points, *(step.axis.n_points for step in self.steps)])
        object.__setattr__(self, "_block", max(1, BLOCK_POINTS // widest))

    def __call__(self, intensity: ArrayLike) -> Intensity:
        """Preprocess one spectrum or many.

        Parameters
        ----------
        intensity
            ``(n_points,)`` or ``(n_spectra, n_points)``, any number type. It is not modified.

        Returns
        -------
        Intensity
            New float32 array of the same rank, its last axis is `axis`.

        Raises
        ------
        SpectrumError
            Another length or rank, NaN, all zero, constant where a step has to scale, or values that overflow single
            precision.
        """
        return self.prepare(check_intensity(intensity, self.source.n_points))

    def prepare(self, checked: Intensity) -> Intensity:
        """Preprocess what `specnet.spectra.check_intensity` has passed; otherwise as above.

        Parameters
        ----------
        checked
            ``(n_points,)`` or ``(n_spectra, n_points)``, finite.
        """
        if checked.ndim > 2:
            raise SpectrumError(f"spectra are (n_points,) or (n_spectra, n_points), got shape {checked.shape}")
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if checked.ndim == 1:
                # a copy, since steps may hand on what they were given
                return np.array(self._run(checked[np.newaxis])[0])
            result = np.empty((len(checked), self.axis.n_points), dtype=np.float32)
            for start in range(0, len(checked), self._block):
                result[start : start + self._block] = self._run(checked[start : start + self._block])
        return result

    def _run(self, block: Intensity) -> Intensity:
        for step in self.steps:
            block = step.apply(block)
        if np.count_nonzero(np.isfinite(block)) < block.size:
            raise SpectrumError("preprocessing overflows single precision: the intensities are too large or too small")
        return block


def _read_step(item: Any, number: int) -> Step:
    if not isinstance(item, dict) or not isinstance(item.get("step"), str):
        known = ", ".join(list_steps())
        raise ConfigurationError(
            f"preprocessing step {number} is an object with a name in 'step' ({known}), got {repr(item)[:80]}"
        )
    name = item["step"]
    step_class = STEPS.get(name)
    if step_class is None:
        raise ConfigurationError(
            f"preprocessing step {number}: unknown step {name!r}; known: {', '.join(list_steps())}"
        )
    try:
        return msgspec.convert(item, step_class)
    except msgspec.ValidationError as error:
        fields = ", ".join(step_class.__struct_fields__) or "none"
        raise ConfigurationError(f"preprocessing step {number} ({name}): {error}; its fields: {fields}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"preprocessing step {number}: {error}") from error
