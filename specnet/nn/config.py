"""The network's configuration and its presets: what is built, in one dataclass."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from specnet.errors import ModelError
from specnet.spectra import MAX_POINTS

MAX_CHANNELS = 4096
MAX_UNITS = 64
MAX_CLASSES = 65_536
RESIDUAL_STAGE = "residual"
NO_RELAY = "none"
# a damaged or hostile configuration must not ask for more memory than any sensible network
_HIGHEST = {
    "n_points": MAX_POINTS,
    "n_classes": MAX_CLASSES,
    "stem_channels": MAX_CHANNELS,
    "stem_kernel": 1023,
    "stem_stride": 64,
    "kernel": 1023,
    "expansion": 64,
    "head_bins": MAX_POINTS,
    "head_channels": MAX_CHANNELS,
    "linear_bin": MAX_POINTS,
}


@dataclass(frozen=True)
class NetworkConfig:
    """Early-exit network with position-adaptive stages.

    Parameters
    ----------
    n_points, n_classes
        Length L of a spectrum on the model's axis, and number of classes.
    stem_channels, stem_kernel, stem_stride
        First convolution, applied to the spectrum.
    widths
        Channels of each stage; their number is the number of stages K.
    units
        Residual units of each stage that run per position.
    open_units
        Residual units of each stage, in front of those, that run everywhere although the others are adaptive; empty
        for none. See `specnet.training.settling`.
    dropped_units
        Residual units that each stage had in training and that no position ran, so that they were left out; they
        still count in `SpecNet.static_macs`, the cost of the same network at full depth. Empty for none.
    kernel
        Taps of a unit's depthwise convolution (odd).
    expansion
        Hidden channels of a unit over its channels.
    stage
        Name of the stage in its registry, see `specnet.nn.stage`.
    block
        Name of the unit in the block registry.
    head
        Name of the exit head in its registry.
    head_bins, head_channels
        Bins that an exit head keeps along the axis, and channels in each.
    relay
        Name of what exits take over from those before besides features, see `specnet.nn.relays`; "none" for nothing.
    linear_bin
        Points averaged into one for exit 0.
    adaptivity
        Name of what decides which units run where, see `specnet.nn.halting`; "none" builds the same network with
        every position at full depth.
    dropout
        Dropout in front of every exit head's classifier.
    tap
        Name of what shapes gradients between stages and heads in training, see `specnet.nn.taps`.
    tap_share
        Share of channels that the tap "channel_split" lets the next stage's gradient pass.
    additive
        Exits 1..K are to be read as added to the logits of exit 0. The network and its segments return the logits of
        the heads alone either way; the exit policy adds.
    """

    n_points: int
    n_classes: int
    stem_channels: int
    widths: tuple[int, ...]
    units: tuple[int, ...]
    stem_kernel: int = 9
    stem_stride: int = 2
    kernel: int = 7
    expansion: int = 2
    block: str = "depthwise"
    head: str = "binned"
    head_bins: int = 16
    head_channels: int = 12
    linear_bin: int = 4
    adaptivity: str = "gate"
    dropout: float = 0.1
    tap: str = "identity"
    tap_share: float = 0.5
    additive: bool = False
    open_units: tuple[int, ...] = ()
    dropped_units: tuple[int, ...] = ()
    stage: str = RESIDUAL_STAGE
    relay: str = NO_RELAY

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "units", tuple(self.units))
        if len(self.widths) != len(self.units) or not self.widths:
            raise ModelError(f"every stage has a width and a number of units, got {self.widths} and {self.units}")
        for name in ("open_units", "dropped_units"):
            counts = tuple(getattr(self, name)) or (0,) * len(self.widths)
            object.__setattr__(self, name, counts)
            if len(counts) != len(self.widths) or not all(0 <= count <= MAX_UNITS for count in counts):
                raise ModelError(
                    f"{name} are {counts}, expected {len(self.widths)} numbers from 0 to {MAX_UNITS}, one a stage"
                )
        if not all(1 <= width <= MAX_CHANNELS for width in self.widths):
            raise ModelError(f"widths are positive and at most {MAX_CHANNELS}, got {self.widths}")
        if not all(0 <= units <= MAX_UNITS for units in self.units):
            raise ModelError(f"units not negative and at most {MAX_UNITS} are expected, got {self.units}")
        for name, highest in _HIGHEST.items():
            if not 1 <= getattr(self, name) <= highest:
                raise ModelError(f"{name} is {getattr(self, name)}, expected 1 to {highest}")
        if self.linear_bin > self.n_points:
            raise ModelError(f"linear_bin is {self.linear_bin}, a spectrum has {self.n_points} points")
        if not 0 <= self.dropout < 1:
            raise ModelError(f"dropout is {self.dropout}, expected from 0 to below 1")
        if not 0 <= self.tap_share <= 1:
            raise ModelError(f"tap_share is {self.tap_share}, expected from 0 to 1")
        if not isinstance(self.additive, bool):
            raise ModelError(f"additive is {self.additive!r}, expected true or false")
        if self.kernel % 2 == 0 or self.stem_kernel % 2 == 0:
            raise ModelError(f"kernels are odd, got {self.kernel} and {self.stem_kernel}")
        if self.additive and self.relay != NO_RELAY:
            raise ModelError(
                f"exits that are added to exit 0 do not go with the relay {self.relay!r}: both reuse what earlier "
                "exits said, expected one of them"
            )
        if self.adaptive and self.relay != NO_RELAY:
            raise ModelError(
                f"relay {self.relay!r} goes with adaptivity 'none' only, got {self.adaptivity!r}: what it hands on "
                "lies in rows of the features that have no depth"
            )
        if self.n_classes < 2:
            raise ModelError(f"a classifier has at least two classes, got {self.n_classes}")
        if self.positions[-1] < 2:
            raise ModelError(
                f"{self.n_points} points are too few for {self.n_stages} stages: "
                f"the last one would have {self.positions[-1]} position, at least 2 are needed"
            )

    @property
    def adaptive(self) -> bool:
        """Whether some units may be skipped."""
        return self.adaptivity != "none"

    @property
    def n_stages(self) -> int:
        """Number of stages K; the network has K + 1 exits."""
        return len(self.widths)

    @property
    def stem_positions(self) -> int:
        """Positions after the stem."""
        return (self.n_points - 1) // self.stem_stride + 1

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions P of each stage: every strided unit halves them, rounding up."""
        positions, last = [], self.stem_positions
        for _ in self.widths:
            last = (last + 1) // 2
            positions.append(last)
        return tuple(positions)

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Inverse of `to_dict`, older configurations included; unknown or missing fields raise `ModelError`."""
        plain = _renamed(plain)
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(plain) - known):
            raise ModelError(f"unknown fields of a network {unknown}; known: {sorted(known)}")
        try:
            return cls(**plain)
        except TypeError as error:
            raise ModelError(f"the network's configuration is incomplete: {error}") from error


def _renamed(plain: dict[str, Any]) -> dict[str, Any]:
    """Fields under their names of today: `adaptive` was true or false before there was more than one adaptivity."""
    if "adaptive" not in plain or "adaptivity" in plain:
        return plain
    others = {name: value for name, value in plain.items() if name != "adaptive"}
    return {**others, "adaptivity": "gate" if plain["adaptive"] else "none"}


PRESETS: dict[str, dict[str, Any]] = {
    "nano": {"stem_channels": 8, "widths": (8, 12, 16), "units": (1, 2, 2), "head_channels": 4},
    "tiny": {"stem_channels": 12, "widths": (16, 24, 32, 48), "units": (1, 2, 2, 2), "head_channels": 16},
    "peaks": {"stem_channels": 12, "widths": (16, 24, 32, 48), "units": (3, 2, 1, 1), "head_channels": 16},
    "small": {"stem_channels": 16, "widths": (28, 44, 64, 96), "units": (1, 2, 3, 3), "head_channels": 16},
    "base": {"stem_channels": 24, "widths": (48, 72, 112, 192), "units": (2, 3, 4, 4), "head_channels": 24},
}
"""About 12 k, 75 k, 65 k, 250 k and 1 M parameters with 30 classes and 1,000 points.

`peaks` has the cost of `tiny` at full depth, but more units where positions are fine: there gates learn to run them on
the peaks, where `tiny` switches whole units.
"""

SHORT_AXIS = 300
"""Below this number of points the stem keeps every one."""


def preset(name: str, n_points: int, n_classes: int, **changes: Any) -> NetworkConfig:
    """Make the configuration of a preset for a spectral length and number of classes.

    It follows the axis: the longer it is, the more points exit 0 averages; a short one is not thinned by the stem; and
    stages that would be left with less than 4 positions are dropped. Changes are fields of `NetworkConfig`;
    `adaptive`, true or false, stands for the adaptivities "gate" and "none".
    """
    if name not in PRESETS:
        raise ModelError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    fitting = {"linear_bin": max(1, n_points // 250), "stem_stride": 1 if n_points < SHORT_AXIS else 2}
    options: dict[str, Any] = {**fitting, **PRESETS[name], **_renamed(changes)}
    widths, units = options.pop("widths"), options.pop("units")
    last, stages = (n_points - 1) // options["stem_stride"] + 1, 0
    for _ in widths:
        last = (last + 1) // 2
        stages += last >= 4
    kept = max(stages, 1)
    return NetworkConfig(n_points=n_points, n_classes=n_classes, widths=widths[:kept], units=units[:kept], **options)
