"""Every registered part trains: a few steps with finite losses move the weights, and the result can be evaluated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from specnet.errors import ConfigurationError
from specnet.nn import ADAPTIVITIES, BLOCKS, HARD, HEADS, TAPS, create_model
from specnet.training import AUGMENTATIONS, LOSSES, PHASES, TrainConfig, train_network

pytestmark = pytest.mark.usefixtures("one_thread")
POINTS = 64

PARTS = [
    *({"losses": ["cross_entropy", name]} for name in LOSSES),
    *({"phases": name} for name in PHASES),
    *({"tap": name} for name in TAPS),
    *({"adaptivity": name} for name in ("none", *ADAPTIVITIES)),
    *({"head": name} for name in HEADS),
    *({"block": name} for name in BLOCKS),
    *({"augmentation": name} for name in AUGMENTATIONS),
]


def _toy() -> Any:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(32) % 2
    return TensorDataset(torch.randn(32, POINTS, generator=generator) + labels[:, None], labels)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: "-".join(f"{k}={v}" for k, v in part.items()))
def test_every_part_trains(part: dict[str, Any]) -> None:
    config = TrainConfig(**{"preset": "nano", "epochs": 5, "batch_size": 8, "augmentation": "none", **part})
    torch.manual_seed(0)
    built = {name: getattr(config, name) for name in ("tap", "adaptivity", "head", "block")}
    network = create_model("nano", n_points=POINTS, n_classes=2, **built)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    progress = train_network(network, _toy(), config)
    assert len(progress.history) == 5
    assert all(np.isfinite(list(values.values())).all() for values in progress.history)
    assert all(set(values) == {*config.losses, "active_share"} for values in progress.history)
    if len(PHASES[config.phases]) == 1:  # otherwise exits are added up later that had no loss at first
        assert progress.history[-1]["cross_entropy"] < progress.history[0]["cross_entropy"]
    assert not torch.equal(network.state_dict()["stem.weight"], before["stem.weight"])
    assert not network.training
    with torch.no_grad():
        outputs = network(_toy().tensors[0][:, None], HARD)
    assert all(torch.isfinite(logits).all() for logits in outputs.logits)


def test_unknown_losses_and_augmentations_are_refused_before_anything_is_trained() -> None:
    network = create_model("nano", n_points=POINTS, n_classes=2)
    with pytest.raises(ConfigurationError, match="unknown losses magic, luck; known: cross_entropy"):
        train_network(network, _toy(), TrainConfig(losses=("cross_entropy", "magic", "luck"), epochs=1))
    with pytest.raises(ConfigurationError, match="unknown augmentation 'auto'; known: none, light, measured, strong"):
        train_network(network, _toy(), TrainConfig(augmentation="auto", epochs=1))
    with pytest.raises(ConfigurationError, match="a training needs at least one loss"):
        TrainConfig(losses=())
