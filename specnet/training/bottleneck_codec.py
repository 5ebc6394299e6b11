"""A trained bottleneck as a codec: normalisation folded into the weights, tables counted on training spectra.

Legend: n spectra, B batch, P positions, Q patches, c latent numbers.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from specnet.codec import BottleneckInfo, FrequencyTables, LearnedCodec
from specnet.nn import SpecNet
from specnet.nn.bottleneck import Bottleneck
from specnet.nn.splitting import run_until
from specnet.training.run import BATCH

TABLES = 16
"""Alphabets that the latent numbers share, by how much they vary."""


def sent_patches(bottleneck: Bottleneck, depth: Tensor) -> Tensor:
    """Patches ``(B, Q)`` with a position that ran an adaptive unit."""
    config = bottleneck.config
    active = functional.pad((depth > 0).float(), (0, config.patches * config.patch - config.positions))
    return active.reshape(len(depth), config.patches, config.patch).amax(dim=2)


@torch.no_grad()
def learned_codec(
    network: SpecNet, bottleneck: Bottleneck, spectra: Float[Tensor, "n points"], split: int, *, skips_halted: bool
) -> LearnedCodec:
    """Fold normalisation into the weights, and count the whole numbers of the training spectra for the tables."""
    config = bottleneck.config
    symbols, sent = [], []
    for start in range(0, len(spectra), BATCH):
        handover = run_until(network, split, spectra[start : start + BATCH, None])
        symbols.append(bottleneck.symbols(handover.features).numpy().astype(np.int64))
        sent.append(sent_patches(bottleneck, handover.depth).numpy() > 0)
    counted = np.concatenate(symbols)
    flags = np.concatenate(sent) if skips_halted else np.ones(counted.shape[:2], dtype=np.bool_)
    table_of = _grouped(counted)
    n_symbols = 2 * config.levels + 1
    counts = np.zeros((int(table_of.max()) + 2, n_symbols), dtype=np.int64)
    for table in range(len(counts) - 1):
        chosen = counted[:, table_of == table][np.broadcast_to(flags[:, :, None], counted.shape)[:, table_of == table]]
        counts[table] = np.bincount(chosen.ravel() + config.levels, minlength=n_symbols)
    counts[-1, :2] = (~flags).sum(), flags.sum()
    weights = {name: tensor.numpy() for name, tensor in bottleneck.state_dict().items()}
    gain, width = np.exp(weights["log_gain"]), config.patch * config.channels
    scale = np.tile(weights["deviation"], config.patch)
    mean = np.zeros((config.patches * config.patch, config.channels), dtype=np.float32)
    mean[: config.positions] = weights["mean"]
    encoder = weights["analyse.weight"].T / scale[:, None]
    info = BottleneckInfo(
        file="",
        split=split,
        shape=(config.positions, config.channels),
        patch=config.patch,
        latent=config.latent,
        levels=config.levels,
        hidden=config.hidden,
        skips_halted=skips_halted,
        encoder_macs=config.encoder_macs,
    )
    return LearnedCodec.from_arrays(
        info,
        {
            "encoder": encoder,
            "gain": gain,
            "offset": -(mean.reshape(config.patches, width) @ encoder) * gain - weights["prior_mean"],
            "spread": weights["spread"],
            "hidden": weights["hidden.weight"].T,
            "place": weights["place"] + weights["hidden.bias"],
            "output": weights["synthesise.weight"].T * scale,
            "base": weights["synthesise.bias"] * scale + mean.reshape(config.patches, width),
            "frequencies": FrequencyTables.from_counts(counts).frequencies,
            "table_of": table_of,
        },
    )


def _grouped(symbols: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Which of at most `TABLES` tables each latent number ``(Q, c)`` has: those that vary alike share one."""
    variation = symbols.std(axis=0)
    edges = np.unique(np.quantile(variation, np.linspace(0, 1, TABLES + 1)[1:-1]))
    _, table_of = np.unique(np.digitize(variation, edges), return_inverse=True)
    return table_of.reshape(variation.shape).astype(np.uint8)
