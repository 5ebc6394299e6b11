"""The training loop: one pass over the losses, from the schedule to the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from specnet.errors import ModelError
from specnet.nn import SpecNet
from specnet.training.augmentation import create_augmentation
from specnet.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from specnet.training.config import TrainConfig
from specnet.training.losses import LOSSES, Context, active_share
from specnet.training.schedule import gating, rate_factor

DEFAULT_LOSSES = ("cross_entropy", "self_distillation", "compute_budget")
GRADIENT_LIMIT = 5.0
WORKERS = 2
Report = Callable[[int, dict[str, float]], None]


def train_network(
    network: SpecNet,
    data: Dataset[tuple[Tensor, Tensor]],
    config: TrainConfig,
    *,
    checkpoint: Path | None = None,
    identity: dict[str, Any] | None = None,
    losses: Sequence[str] = DEFAULT_LOSSES,
    report: Report = lambda epoch, values: None,
) -> Progress:
    """Train the network's exits 1..K in place.

    The same seed gives the same weights on one machine, also when the training was interrupted and continued: all
    randomness of an epoch follows from seed and epoch.

    Parameters
    ----------
    network
        Its exit 0 is left alone.
    data
        Preprocessed spectra ``(L,)`` float32 and labels.
    config
        The recipe.
    checkpoint
        File that is written after each epoch, and continued from when it exists.
    identity
        What a checkpoint must agree with to be continued.
    losses
        Names of the terms that are added up.
    report
        Called after each epoch with its number and mean values.

    Raises
    ------
    ModelError
        When the loss is not finite, or the checkpoint is another training's.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    identity = identity or {}
    progress = Progress()
    if checkpoint is not None and checkpoint.exists():
        progress = load_checkpoint(checkpoint, network, optimiser, identity)
    while progress.epoch < config.epochs:
        values = _train_epoch(network, data, config, optimiser, progress.epoch, losses)
        progress.epoch += 1
        progress.history.append(values)
        if checkpoint is not None:
            save_checkpoint(checkpoint, network, optimiser, progress, identity)
        report(progress.epoch, values)
    network.eval()
    return progress


def _train_epoch(
    network: SpecNet,
    data: Dataset[tuple[Tensor, Tensor]],
    config: TrainConfig,
    optimiser: torch.optim.Optimizer,
    epoch: int,
    losses: Sequence[str],
) -> dict[str, float]:
    torch.manual_seed((config.seed << 20) + epoch)
    augment = create_augmentation(config.augmentation)
    loader = _loader(data, config)
    network.train()
    totals = dict.fromkeys((*losses, "active_share"), 0.0)
    for step, (spectra, labels) in enumerate(loader):
        progress = (epoch + step / len(loader)) / config.epochs
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * rate_factor(progress)
        outputs = network(augment(spectra)[:, None], gating(progress, config.adaptive))
        context = Context(network, config, progress)
        terms = {name: LOSSES[name](outputs, labels, context) for name in losses}
        total = sum(terms.values(), start=spectra.new_zeros(()))
        if not torch.isfinite(total):
            raise ModelError(f"the loss is {total.item()} in epoch {epoch + 1}; try a lower learning rate")
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_LIMIT)
        optimiser.step()
        for name, term in terms.items():
            totals[name] += float(term.detach())
        totals["active_share"] += float(active_share(outputs, network).detach())
    return {name: value / max(1, len(loader)) for name, value in totals.items()}


def _loader(data: Dataset[tuple[Tensor, Tensor]], config: TrainConfig) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches in an order that follows from the epoch's seed; workers only when spectra come from the disk."""
    size = len(data)  # type: ignore[arg-type]
    batch = min(config.batch_size, max(2, size // 4))
    return DataLoader(
        data,
        batch_size=batch,
        shuffle=True,
        drop_last=size % batch == 1,  # batch norm cannot train on a single spectrum
        num_workers=0 if getattr(data, "in_memory", True) else WORKERS,
    )
