"""Training a bottleneck for a split point of a finished run; the network itself stays as it is.

The loss is what the gateway's exits lose by it: the Kullback-Leibler divergence of their answers from those to the
uncoded features (Matsubara et al. 2022, "BottleFit", head network distillation with the task's own outputs), some
cross-entropy, a little squared error of the features to begin with, and a price for every bit (rate-distortion as in
Balle et al. 2017, with the task's distortion in place of the image's).

Legend: n spectra, B batch, P positions, C channels, Q patches, c latent numbers, E exits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from specnet.codec import LearnedCodec
from specnet.datasets import Holdout, SpectraDataset
from specnet.errors import ConfigurationError, ModelError
from specnet.nn import SpecNet
from specnet.nn.bottleneck import Bottleneck
from specnet.nn.splitting import check_bottleneck, run_behind, run_until
from specnet.training.bottleneck_codec import learned_codec, sent_patches
from specnet.training.bottleneck_recipe import BottleneckRecipe
from specnet.training.data import split_file
from specnet.training.determinism import deterministic
from specnet.training.noise import augmentation_for
from specnet.training.run import BATCH, Run
from specnet.training.schedule import rate_factor

ENOUGH_STEPS = 400
FEWEST_EPOCHS = 8
CLASS_SHARE = 0.3
FEATURE_SHARE = 0.1
GRADIENT_LIMIT = 5.0
Report = Callable[[int, dict[str, float]], None]


def train_bottleneck(
    run: Run,
    data: Path | str,
    recipe: BottleneckRecipe,
    *,
    report: Report = lambda epoch, values: None,
) -> LearnedCodec:
    """Train a bottleneck on a run's training spectra and turn it into a codec.

    Parameters
    ----------
    run
        A finished run of a `SpecNet`; nothing of it changes.
    data
        The file that it was trained on.
    recipe
        Split point, price and sizes.
    report
        Called after each epoch with its number, mean ``loss`` and ``bytes``, and the number of ``epochs``.

    Raises
    ------
    ConfigurationError
        When the run holds a baseline network or the recipe makes no sense.
    ModelError
        When there are no such features to hand over, or the loss is not finite.
    """
    network = run.network
    if not isinstance(network, SpecNet):
        raise ConfigurationError(
            f"{type(network).__name__} is a baseline for comparison; bottlenecks are for networks of specnet's own"
        )
    check_bottleneck(network, recipe.split)
    rows = split_file(data, run.config.seed, run.config.fold).rows(Holdout.TRAIN)
    dataset = SpectraDataset(data, rows, transform=run.pipeline.bind(run.source_axis))
    spectra = torch.stack([dataset[index][0] for index in range(len(dataset))])
    labels = torch.stack([dataset[index][1] for index in range(len(dataset))])
    steps = -(-len(labels) // recipe.batch_size)
    epochs = recipe.epochs or max(FEWEST_EPOCHS, -(-ENOUGH_STEPS // steps))
    network.eval()
    torch.manual_seed(recipe.seed)
    bottleneck = Bottleneck(recipe.shape(network))
    with torch.no_grad():
        bottleneck.normalise(run_until(network, recipe.split, spectra[:BATCH, None]).features)
    optimiser = torch.optim.Adam(bottleneck.parameters(), lr=recipe.learning_rate)
    augment = augmentation_for(run.config.augmentation, dataset)
    for epoch in range(epochs):
        totals = {"loss": 0.0, "bytes": 0.0, "epochs": epochs}
        for step, batch in enumerate(torch.split(torch.randperm(len(labels)), recipe.batch_size)):
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * rate_factor((epoch + step / steps) / epochs)
            with deterministic():
                loss, bits = _loss(network, bottleneck, augment(spectra[batch]), labels[batch], recipe, run.additive)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
            if not torch.isfinite(loss):
                raise ModelError(f"the loss is {loss.item()} in epoch {epoch + 1}; try a lower learning rate")
            torch.nn.utils.clip_grad_norm_(bottleneck.parameters(), GRADIENT_LIMIT)
            optimiser.step()
            totals["loss"] += float(loss.detach()) / steps
            totals["bytes"] += float(bits.detach()) / 8 / steps
        report(epoch + 1, totals)
    return learned_codec(network, bottleneck.eval(), spectra, recipe.split, skips_halted=recipe.skips_halted)


def _loss(
    network: SpecNet,
    bottleneck: Bottleneck,
    spectra: Float[Tensor, "batch points"],
    labels: Tensor,
    recipe: BottleneckRecipe,
    additive: bool,
) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        handover = run_until(network, recipe.split, spectra[:, None])
        whole = run_behind(network, recipe.split, handover.features)
    sent = sent_patches(bottleneck, handover.depth) if recipe.skips_halted else None
    restored, bits = bottleneck(handover.features, sent)
    coded = run_behind(network, recipe.split, restored)
    first = handover.logits[0] if additive else 0.0
    divergence = classes = torch.zeros(())
    for one, other in zip(coded, whole, strict=True):
        said = torch.log_softmax(one + first, dim=1)
        wanted = torch.log_softmax(other + first, dim=1)
        divergence = divergence + functional.kl_div(said, wanted, log_target=True, reduction="batchmean") / len(coded)
        classes = classes + functional.nll_loss(said, labels) / len(coded)
    error = (((restored - handover.features) / bottleneck.deviation) ** 2).mean()
    rate = bits.mean()
    return divergence + CLASS_SHARE * classes + FEATURE_SHARE * error + recipe.price * rate, rate
