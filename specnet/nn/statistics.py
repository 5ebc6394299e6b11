"""Batch-norm statistics, estimated anew for weights that came from elsewhere.

Legend: n spectra, L points.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from specnet.errors import ModelError
from specnet.nn.network import DENSE, SpecNet

BATCH = 256


@torch.no_grad()
def estimate_statistics(network: SpecNet, spectra: Float[Tensor, "n points"], batch: int = BATCH) -> None:
    """Give all batch norms the means and variances of these spectra, at full depth, averaged over equal batches.

    A shape that was cut out of a supernet needs it: the statistics there are those of all shapes together (Guo et al.
    2020, arXiv 1904.00420).

    Parameters
    ----------
    network
        Changed in place; it comes back in evaluation mode.
    spectra
        Preprocessed, in random order, so that a batch has spectra of all kinds; no labels are needed.
    batch
        Spectra of a batch at most.

    Raises
    ------
    ModelError
        For fewer than two spectra.
    """
    if len(spectra) < 2:
        raise ModelError(f"{len(spectra)} spectra were given to estimate batch-norm statistics, expected 2 or more")
    norms = [module for module in network.eval().modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
    for part in spectra.tensor_split(-(-len(spectra) // batch)):
        network(part[:, None], DENSE)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
