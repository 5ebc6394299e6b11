"""The training loop: phase after phase, one pass over the losses, from the schedule to the checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from specnet.errors import ConfigurationError, ModelError
from specnet.nn.protocol import ExitNetwork
from specnet.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from specnet.training.config import TrainConfig
from specnet.training.determinism import deterministic
from specnet.training.distributed import CPU, Processes, current_processes
from specnet.training.losses import LOSSES, Context, active_share
from specnet.training.noise import Augment, augmentation_for
from specnet.training.offsets import WithOffsets
from specnet.training.phases import Stretch, create_phases, freeze, stretches
from specnet.training.schedule import gating, rate_factor
from specnet.training.teacher import Teacher
from specnet.training.weighting import SampleWeighting, check_single_process

GRADIENT_LIMIT = 5.0
WORKERS = 2
BODY, HEADS = 0, 1
Report = Callable[[int, dict[str, float]], None]


def train_network(
    network: ExitNetwork,
    data: Dataset[tuple[Tensor, Tensor]],
    config: TrainConfig,
    *,
    offsets: Float[Tensor, "n_spectra classes"] | None = None,
    checkpoint: Path | None = None,
    identity: dict[str, Any] | None = None,
    report: Report = lambda epoch, values: None,
) -> Progress:
    """Train the network's exits in place; a linear exit 0 is left alone.

    The same seed gives the same weights on one machine, also when the training was interrupted and continued: all
    randomness of an epoch follows from seed and epoch. Within `specnet.training.distributed.process_group` several
    processes share each batch, and the network is trained on the group's device; the first one reports and writes.

    Parameters
    ----------
    network
        What is trained; it comes back on the CPU.
    data
        Preprocessed spectra ``(L,)`` float32 and labels.
    config
        The recipe.
    offsets
        For additive exits: what exit 0 says of each spectrum, out of fold; it is added to the logits of exits 1..K.
    checkpoint
        File that is written after each epoch, and continued from when it exists.
    identity
        What a checkpoint must agree with to be continued.
    report
        Called after each epoch with its number and mean values.

    Raises
    ------
    ConfigurationError
        For unknown losses, phases or augmentations.
    ModelError
        When the loss is not finite, or the checkpoint is another training's.
    """
    if unknown := [name for name in config.all_losses if name not in LOSSES]:
        raise ConfigurationError(f"unknown losses {', '.join(unknown)}; known: {', '.join(LOSSES)}")
    plan = stretches(create_phases(config.phases, n_stages(network)), config.epochs)
    processes = current_processes()
    module = cast("nn.Module", network.to(processes.device))
    optimiser = _optimiser(module, config)
    teacher = Teacher(config)
    weighting = SampleWeighting(n_stages(network), config)
    check_single_process(weighting.wanted, processes.world)
    companions = (teacher, weighting)
    progress = Progress()
    if checkpoint is not None and checkpoint.exists():
        progress = load_checkpoint(checkpoint, module, optimiser, identity or {}, companions)
    processes.copy_from_main(network)
    augment = augmentation_for(config.augmentation, data)
    items = data if offsets is None else WithOffsets(data, offsets)
    while progress.epoch < config.epochs:
        stretch = next(one for one in plan if progress.epoch < one.end)
        teacher.watch(module, stretch, progress.epoch)
        with deterministic():
            values = _train_epoch(
                network, items, config, augment, optimiser, progress.epoch, stretch, teacher, weighting, processes
            )
        progress.epoch += 1
        progress.history.append(values)
        if checkpoint is not None and processes.is_main:
            save_checkpoint(checkpoint, module, optimiser, progress, identity or {}, companions)
        if processes.is_main:
            report(progress.epoch, values)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    network.to(CPU).eval()
    return progress


def n_stages(network: ExitNetwork) -> int:
    """Count the exits that are trained here: all but a linear exit 0."""
    return network.n_exits - (network.exit0 is not None)


def _optimiser(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    named = list(network.named_parameters())
    groups = [
        [parameter for name, parameter in named if not name.startswith("heads")],
        [parameter for name, parameter in named if name.startswith("heads")],
    ]
    return torch.optim.AdamW(
        [{"params": group} for group in groups],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )


def _set_rate(optimiser: torch.optim.Optimizer, config: TrainConfig, progress: float) -> None:
    rate = config.learning_rate * rate_factor(progress)
    optimiser.param_groups[BODY]["lr"] = rate * (config.backbone_rate if config.pretrained else 1.0)
    optimiser.param_groups[HEADS]["lr"] = rate


def _train_epoch(
    network: ExitNetwork,
    data: Dataset[Any],
    config: TrainConfig,
    augment: Augment,
    optimiser: torch.optim.Optimizer,
    epoch: int,
    stretch: Stretch,
    teacher: Teacher,
    weighting: SampleWeighting,
    processes: Processes,
) -> dict[str, float]:
    torch.manual_seed((config.seed << 20) + epoch)
    loader = _loader(data, config, processes.world)
    phase = stretch.phase
    freeze(cast("nn.Module", network), phase)
    totals = dict.fromkeys((*config.all_losses, "active_share"), 0.0)
    for step, (spectra, labels, *offset) in enumerate(loader):
        progress = stretch.progress(epoch, step / len(loader))
        _set_rate(optimiser, config, progress)
        batch = augment(spectra)[:, None]
        # a phase that does not learn depth keeps what an earlier one learnt, and is dense where there was none
        gates = gating(progress if phase.gated else float(stretch.first > 0), config.adaptive)
        own = batch[processes.rows(len(batch))].to(processes.device)
        labels = labels.to(processes.device)
        if weighting.wanted and not (phase.stage or phase.last_exit_only):
            weighting.learn(network, own, labels, gates, rate_factor(progress))
        with processes.forward(len(batch)):
            outputs, target = network(own, gates), teacher(own)
        outputs, target = processes.gather((outputs, target), len(batch))
        if offset:
            known = offset[0].to(processes.device)
            outputs = outputs.added(known)
            target = None if target is None else target + known
        weigh = weighting if weighting.wanted else None
        context = Context(network, config, progress, phase.last_exit_only, target, phase.stage, weigh)
        terms = {name: LOSSES[name](outputs, labels, context) for name in config.all_losses}
        total = sum(terms.values(), start=own.new_zeros(()))
        if not torch.isfinite(total):
            raise ModelError(f"the loss is {total.item()} in epoch {epoch + 1}; try a lower learning rate")
        optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        processes.sum_gradients(network)
        torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_LIMIT)
        optimiser.step()
        for name, term in terms.items():
            totals[name] += float(term.detach())
        totals["active_share"] += float(active_share(outputs, network).detach())
    return {name: value / max(1, len(loader)) for name, value in totals.items()}


def _loader(data: Dataset[Any], config: TrainConfig, world: int) -> DataLoader[Any]:
    """Batches in an order that follows from the epoch's seed; workers only when spectra come from the disk."""
    size = len(data)  # type: ignore[arg-type]
    batch = min(config.batch_size, max(2, size // 4))
    return DataLoader(
        data,
        batch_size=batch,
        shuffle=True,
        # batch norm cannot train on a single spectrum, and no process goes without
        drop_last=size % batch < max(2, world),
        num_workers=0 if getattr(data, "in_memory", True) else WORKERS,
    )
