"""What a training run is: every number that decides its result, in one dataclass."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from specnet.errors import ConfigurationError, ModelError
from specnet.nn.config import NO_RELAY, RESIDUAL_STAGE

ENOUGH_STEPS = 1500
FEWEST_EPOCHS = 10
"""Of large sets; with 27,000 spectra of grain twice as many changed nothing but the time."""
AUTO = "auto"
SHIPPED = "shipped"
NO_BACKBONE = "none"
NETWORK_OPTIONS = ("adaptivity", "stage", "block", "head", "relay", "tap", "additive")
"""Fields that say what is built; networks without such a part ignore them."""
LATER_PARTS = {"stage": RESIDUAL_STAGE, "relay": NO_RELAY}
"""Parts of the network that there was one of in the first runs."""
SHAPE_OPTIONS = ("widths", "units", "stem_channels", "head_bins", "head_channels")
"""Fields that replace those of the preset where they are given."""
BOTTLENECK_OPTIONS = ("bottleneck", "bottleneck_price")
LOSS_OPTIONS = {"ensemble_weight": "boosted", "correlation": "negative_correlation"}
"""Fields that belong to one loss."""
CODED_PATH = "coded_path"
"""Loss of a bottleneck that is trained together with its network."""


@dataclass(frozen=True)
class TrainConfig:
    """Recipe of a training run; the defaults are the recipe that measured best.

    Parameters
    ----------
    preset
        Network preset, see `specnet.nn.list_models`.
    preprocessing
        Name of a pipeline preset, see `specnet.preprocessing.list_pipelines`; ``"auto"`` chooses among those that suit
        the axis by cross-validating exit 0 on the training spectra.
    adaptivity, stage, block, head, relay, tap, additive
        Parts of the network, see `specnet.nn.NetworkConfig`. Additive exits learn what exit 0 leaves over; None lets
        pilots decide where they run, and is no otherwise: it gains points on some sets of spectra and costs many on
        others.
    widths, units, stem_channels, head_bins, head_channels
        Replace those of the preset, see `specnet.nn.NetworkConfig`: channels and residual units of each stage, whose
        ends are where exits stand. Empty and 0 leave what the preset has.
    losses
        Terms that are added up, names in `specnet.training.LOSSES`. Self-distillation is not among them: on the
        simulated minerals of preset "hard" it cost two points at every exit, and on real sets it made no difference.
    phases
        What is trained when, a name in `specnet.training.phases.PHASES`.
    epochs, batch_size, learning_rate, weight_decay
        AdamW with a one-cycle schedule (linear warm-up over a tenth, then cosine to zero). 0 epochs means as many as
        `ENOUGH_STEPS` need, at least `FEWEST_EPOCHS`.
    distillation, temperature
        Share alpha of the shallow exits' loss that imitates the deepest exit, and the softening T of both; for
        recipes with a loss that distils.
    label_smoothing
        Share of the label's probability spread over all classes.
    active_target
        Share of the residual units' MACs that the network may spend on average; 1 leaves depth free.
    ponder_price, contiguity, hint_weight
        Weights of the losses ``ponder_cost``, ``contiguity`` and ``feature_hints``.
    ensemble_weight, correlation
        Weight t of what earlier exits said in the loss ``boosted``, and lambda of ``negative_correlation``.
    augmentation
        Name of an augmentation, see `specnet.training.augmentation.AUGMENTATIONS`; ``"auto"`` chooses by short pilot
        trainings judged on the calibration split.
    backbone
        Weights of a pretrained backbone to start from: a safetensors file, ``"shipped"`` for that of
        `specnet.training.backbones`, ``"none"`` or empty for none; ``"auto"`` lets pilots decide between the last two
        where they run, and is none otherwise.
    backbone_rate
        Learning rate of a pretrained backbone as a share of the heads'.
    bottleneck, bottleneck_price
        Split point whose bottleneck is trained together with the network, 0 for none; nats that a bit of it costs.
    seed
        Of initialisation, order, augmentation and any split that has to be made.
    fold
        0..4 tests on that fold of a five-fold split, grouped where there are groups; None uses the file's split, or a
        new holdout where it has none.
    """

    preset: str = "tiny"
    preprocessing: str = AUTO
    adaptivity: str = "gate"
    stage: str = RESIDUAL_STAGE
    block: str = "depthwise"
    head: str = "binned"
    relay: str = NO_RELAY
    tap: str = "identity"
    additive: bool | None = None
    widths: tuple[int, ...] = ()
    units: tuple[int, ...] = ()
    stem_channels: int = 0
    head_bins: int = 0
    head_channels: int = 0
    losses: tuple[str, ...] = ("cross_entropy", "compute_budget")
    phases: str = "joint"
    epochs: int = 0
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    distillation: float = 0.0
    temperature: float = 3.0
    label_smoothing: float = 0.0
    active_target: float = 0.5
    ponder_price: float = 0.1
    contiguity: float = 0.1
    hint_weight: float = 0.1
    ensemble_weight: float = 0.5
    correlation: float = 0.5
    augmentation: str = AUTO
    backbone: str = AUTO
    backbone_rate: float = 0.3
    bottleneck: int = 0
    bottleneck_price: float = 1e-3
    seed: int = 0
    fold: int | None = None

    def __post_init__(self) -> None:
        for name in ("losses", "widths", "units"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.backbone == NO_BACKBONE:
            object.__setattr__(self, "backbone", "")
        checks = {
            "epochs": (self.epochs >= 0, "at least 1, or 0 for as many as the data need"),
            "batch_size": (self.batch_size >= 2, "at least 2 (batch norm)"),
            "learning_rate": (0 < self.learning_rate < 1, "between 0 and 1"),
            "weight_decay": (0 <= self.weight_decay < 1, "from 0 to 1"),
            "distillation": (0 <= self.distillation <= 1, "from 0 to 1"),
            "temperature": (self.temperature > 0, "positive"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "from 0 to below 1"),
            "active_target": (0 < self.active_target <= 1, "above 0, at most 1"),
            "ponder_price": (self.ponder_price >= 0, "at least 0"),
            "contiguity": (self.contiguity >= 0, "at least 0"),
            "hint_weight": (self.hint_weight >= 0, "at least 0"),
            "ensemble_weight": (0 <= self.ensemble_weight <= 1, "from 0 to 1"),
            "correlation": (0 <= self.correlation <= 1, "from 0 to 1"),
            "backbone_rate": (0 < self.backbone_rate <= 1, "above 0, at most 1"),
            "widths": (len(self.widths) == len(self.units), f"as many as units, which are {self.units}"),
            "stem_channels": (self.stem_channels >= 0, "at least 1, or 0 for the preset's"),
            "head_bins": (self.head_bins >= 0, "at least 1, or 0 for the preset's"),
            "head_channels": (self.head_channels >= 0, "at least 1, or 0 for the preset's"),
            "bottleneck": (self.bottleneck >= 0, "a split point, or 0 for none"),
            "bottleneck_price": (0 <= self.bottleneck_price < 1, "from 0 to below 1"),
            "fold": (self.fold is None or 0 <= self.fold < 5, "from 0 to 4"),
            "seed": (0 <= self.seed < 2**31, "from 0 to 2^31 - 1"),
        }
        for name, (fine, expected) in checks.items():
            if not fine:
                raise ConfigurationError(f"{name} is {getattr(self, name)}, expected {expected}")
        if not self.losses:
            raise ConfigurationError("a training needs at least one loss")

    @property
    def network_options(self) -> dict[str, Any]:
        """Parts of the network, named as in `specnet.nn.NetworkConfig`; undecided ones as they are without pilots."""
        shape = {name: getattr(self, name) for name in SHAPE_OPTIONS if getattr(self, name)}
        return {**{name: getattr(self, name) for name in NETWORK_OPTIONS}, "additive": bool(self.additive), **shape}

    @property
    def pretrained(self) -> bool:
        """Whether training starts from a backbone; not where pilots have yet to decide it."""
        return self.backbone not in ("", AUTO)

    @property
    def adaptive(self) -> bool:
        """Whether depth differs from spectrum to spectrum or along the axis."""
        return self.adaptivity != "none"

    @property
    def all_losses(self) -> tuple[str, ...]:
        """Terms that are added up, that of the bottleneck among them where there is one."""
        return (*self.losses, CODED_PATH) if self.bottleneck else self.losses

    def for_spectra(self, n_train: int, *, fewest: int = FEWEST_EPOCHS) -> Self:
        """Return the recipe with its number of epochs settled for a number of training spectra."""
        if self.epochs:
            return self
        steps = -(-n_train // self.batch_size)
        return replace(self, epochs=max(fewest, -(-ENOUGH_STEPS // steps)))

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON; what came later than the first runs is left out where it is not used."""
        plain = {**asdict(self), "losses": list(self.losses)}
        unused = [name for name in SHAPE_OPTIONS if not getattr(self, name)]
        if not self.bottleneck:
            unused += BOTTLENECK_OPTIONS
        unused += [name for name, plainly in LATER_PARTS.items() if getattr(self, name) == plainly]
        unused += [name for name, loss in LOSS_OPTIONS.items() if loss not in self.losses]
        for name in ("widths", "units"):
            plain[name] = list(plain[name])
        return {name: value for name, value in plain.items() if name not in unused}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Inverse of `to_dict`; runs from before there was more than one adaptivity are read too."""
        if "adaptive" in plain:
            plain = {**plain, "adaptivity": "gate" if plain["adaptive"] else "none", "additive": False}
            del plain["adaptive"]
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(plain) - known):
            raise ModelError(f"unknown training options {unknown}; known: {sorted(known)}")
        return cls(**plain)
