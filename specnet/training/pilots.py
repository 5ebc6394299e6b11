"""Short pilot trainings that choose how strongly to augment, whether to build on exit 0, and whether on a backbone.

Strong disturbances gain ten points on some sets of spectra and lose fifteen on others (those whose classes differ by
less than an instrument's error), and nothing in the data says so beforehand. So each strength trains a fraction of the
steps, without position-adaptive depth, and the calibration split decides.

Short trainings flatter weak augmentation, which pays when a network has had the time to overfit; so does a calibration
split of the same instruments. On the simulated minerals of preset "hard" a pilot preferred none by a hundredth, and the
whole training lost six points on other instruments; strong, a fiftieth behind in the pilot, was two points ahead in the
end. So light is what is taken unless none is clearly better, and strong where it is hardly worse.

A network that starts from the backbone that comes with the software has a lead in a short training, so it must be
clearly better. On 222 minerals with few spectra each it gains a point, elsewhere little either way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from specnet.errors import ModelError
from specnet.files import read_bounded
from specnet.nn.protocol import ExitNetwork
from specnet.training.backbones import has_shipped
from specnet.training.config import AUTO, SHIPPED, TrainConfig
from specnet.training.likelihood import combined_nats
from specnet.training.loop import train_network

USUAL, WEAKER, STRONGER = "light", "none", "strong"
CLEARLY = 0.98
"""Most that no augmentation, or a backbone, may have of the usual one's negative log-likelihood to replace it."""
HARDLY = 1.02
"""Most that a stronger augmentation may have of it."""
SHARE = 0.15
"""Of the epochs of the training that follows."""
FEWEST_EPOCHS = 3
MAX_CHOICE_BYTES = 1 << 20

Build = Callable[[TrainConfig], ExitNetwork]


@dataclass(frozen=True)
class Choice:
    """What pilots chose, and the negative log-likelihood (nats a calibration spectrum) of everything tried."""

    augmentation: str
    additive: bool
    backbone: str
    tried: dict[str, float]

    def settled(self, config: TrainConfig) -> TrainConfig:
        """Return the recipe with what was chosen."""
        return replace(config, augmentation=self.augmentation, additive=self.additive, backbone=self.backbone)


def choose_recipe(
    build: Build,
    data: Dataset[tuple[Tensor, Tensor]],
    offsets: Tensor,
    held_out: NDArray[np.float32],
    labels: NDArray[np.int64],
    config: TrainConfig,
    *,
    stage: Callable[[str], None] = lambda text: None,
) -> Choice:
    """Choose augmentation, whether exits are added to exit 0, and a backbone, by the likelihood of calibration spectra.

    Parameters
    ----------
    build
        Makes a fresh network for a recipe, exit 0 included.
    data, offsets
        Training spectra, and what additive exits are added to.
    held_out, labels
        Calibration spectra ``(n, L)``, preprocessed, and their classes.
    config
        The recipe; its number of epochs is settled. Of `additive` and `backbone` only what it leaves open is chosen.
    stage
        Called with a sentence after each pilot.

    Notes
    -----
    What is judged is all exits together, by the combiner that calibration would take, see `combined_nats`: a mean over
    exits would flatter exits that are added to exit 0, where others are worse alone and better together.
    """
    epochs = min(config.epochs, max(FEWEST_EPOCHS, round(SHARE * config.epochs)))
    tried: dict[str, float] = {}

    def pilot(augmentation: str, additive: bool, backbone: str) -> float:
        recipe = replace(
            config,
            augmentation=augmentation,
            additive=additive,
            backbone=backbone,
            epochs=epochs,
            adaptivity="none",
            phases="joint",
        )
        network = build(recipe)
        additive = additive and network.exit0 is not None
        train_network(network, data, recipe, offsets=offsets if additive else None)
        found = combined_nats(network, held_out, labels, additive=additive)
        name = f"{augmentation}, {'added to exit 0' if additive else 'on its own'}{', pretrained' if backbone else ''}"
        tried[name] = found
        stage(f"pilot {name}: {found:.3f} nats a calibration spectrum")
        return found

    additive, backbone = bool(config.additive), config.backbone if config.pretrained else ""
    augmentation, best = USUAL, pilot(USUAL, additive, backbone)
    if (weaker := pilot(WEAKER, additive, backbone)) < CLEARLY * best:
        augmentation, best = WEAKER, weaker
    elif (stronger := pilot(STRONGER, additive, backbone)) < HARDLY * best:
        augmentation, best = STRONGER, stronger
    if config.additive is None and (added := pilot(augmentation, True, backbone)) < best:
        additive, best = True, added
    if config.backbone == AUTO and has_shipped(config) and pilot(augmentation, additive, SHIPPED) < CLEARLY * best:
        backbone = SHIPPED
    return Choice(augmentation, additive, backbone, tried)


def without_pilots(config: TrainConfig) -> Choice:
    """Choice where no pilots run: nothing that the recipe leaves open is made use of."""
    augmentation = USUAL if config.augmentation == AUTO else config.augmentation
    return Choice(augmentation, bool(config.additive), config.backbone if config.pretrained else "", {})


def read_choice(path: Path, identity: dict[str, Any]) -> Choice | None:
    """Read what pilots chose before a training was interrupted; None where they have to run (again)."""
    try:
        kept = json.loads(read_bounded(path, MAX_CHOICE_BYTES, "choice", ModelError))
        if kept.pop("identity") != identity:
            return None
        return Choice(**kept)
    except (ModelError, ValueError, TypeError, AttributeError, KeyError):
        return None  # they cost time, not correctness
