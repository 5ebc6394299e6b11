"""Short pilot trainings that choose how strongly to augment, and whether exits build on exit 0.

Strong disturbances gain ten points on some sets of spectra and lose fifteen on others (those whose classes differ by
less than an instrument's error), and nothing in the data says so beforehand. So each strength trains a fraction of the
steps, without position-adaptive depth, and the calibration split decides.

Short trainings flatter weak augmentation, which pays when a network has had the time to overfit; so does a calibration
split of the same instruments. On the simulated minerals of preset "hard" a pilot preferred none by a hundredth, and the
whole training lost six points on other instruments; strong, a fiftieth behind in the pilot, was two points ahead in the
end. So light is what is taken unless none is clearly better, and strong where it is hardly worse.
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
from specnet.training.config import TrainConfig
from specnet.training.likelihood import judge_network
from specnet.training.loop import train_network

USUAL, WEAKER, STRONGER = "light", "none", "strong"
CLEARLY = 0.95
"""Most that no augmentation may have of the usual one's negative log-likelihood to replace it."""
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
    tried: dict[str, float]


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
    """Choose an augmentation, and then whether exits are added to exit 0, by the likelihood of calibration spectra.

    Parameters
    ----------
    build
        Makes a fresh network for a recipe, exit 0 included.
    data, offsets
        Training spectra, and what additive exits are added to.
    held_out, labels
        Calibration spectra ``(n, L)``, preprocessed, and their classes.
    config
        The recipe; its number of epochs is settled. With `additive` given, only the augmentation is chosen.
    stage
        Called with a sentence after each pilot.

    Notes
    -----
    What is judged is the tempered mean log-probability over all exits, see `judge_network`.
    """
    epochs = min(config.epochs, max(FEWEST_EPOCHS, round(SHARE * config.epochs)))
    tried: dict[str, float] = {}

    def pilot(augmentation: str, additive: bool) -> float:
        recipe = replace(
            config, augmentation=augmentation, additive=additive, epochs=epochs, adaptivity="none", phases="joint"
        )
        network = build(recipe)
        additive = additive and network.exit0 is not None
        train_network(network, data, recipe, offsets=offsets if additive else None)
        found = judge_network(network, held_out, labels, additive=additive).nats
        name = f"{augmentation}, {'added to exit 0' if additive else 'on its own'}"
        tried[name] = found
        stage(f"pilot {name}: {found:.3f} nats a calibration spectrum")
        return found

    additive = bool(config.additive)
    augmentation, best = USUAL, pilot(USUAL, additive)
    if (weaker := pilot(WEAKER, additive)) < CLEARLY * best:
        augmentation, best = WEAKER, weaker
    elif (stronger := pilot(STRONGER, additive)) < HARDLY * best:
        augmentation, best = STRONGER, stronger
    if config.additive is None:
        additive = pilot(augmentation, True) < best
    return Choice(augmentation, additive, tried)


def read_choice(path: Path, identity: dict[str, Any]) -> Choice | None:
    """Read what pilots chose before a training was interrupted; None where they have to run (again)."""
    try:
        kept = json.loads(read_bounded(path, MAX_CHOICE_BYTES, "choice", ModelError))
        if kept.pop("identity") != identity:
            return None
        return Choice(**kept)
    except (ModelError, ValueError, TypeError, AttributeError, KeyError):
        return None  # they cost time, not correctness
