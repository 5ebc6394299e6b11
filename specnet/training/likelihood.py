"""How probable a network finds the classes of spectra that it was not trained on; short trainings are judged by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from specnet.calibration.cached import CachedLogits
from specnet.calibration.combiner import choose_combination
from specnet.calibration.temperature import fit_temperature, negative_log_likelihood
from specnet.exits import log_softmax
from specnet.nn import DENSE
from specnet.nn.protocol import ExitNetwork

BATCH = 512


@dataclass(frozen=True)
class Judged:
    """Negative log-likelihood (nats a spectrum) and share of right answers, 0..1."""

    nats: float
    accuracy: float


def judge_network(
    network: ExitNetwork, spectra: NDArray[np.float32], labels: NDArray[np.int64], *, additive: bool
) -> Judged:
    """Judge the tempered mean log-probability over all exits, exit 0 included, at full depth.

    Parameters
    ----------
    network
        It is left in the mode, training or evaluation, that it was in.
    spectra, labels
        Unseen spectra ``(n, L)``, preprocessed, and their classes ``(n,)``. The temperatures are fitted on them.
    additive
        Whether exits 1..K are added to exit 0.

    Notes
    -----
    Exit 0 is included because the network is not used without it. Likelihood decides, because the accuracy of a hundred
    spectra tells nothing below three points.
    """
    logits = all_logits(network, spectra)
    if additive:
        logits[1:] += logits[0]
    return judge_logits(logits, labels, [fit_temperature(each, labels) for each in logits])


def combined_nats(
    network: ExitNetwork, spectra: NDArray[np.float32], labels: NDArray[np.int64], *, additive: bool
) -> float:
    """Judge all exits, at full depth, with the combiner that calibration on these spectra would take.

    Parameters
    ----------
    network, spectra, labels, additive
        As for `judge_network`.

    Returns
    -------
    float
        Cross-fitted negative log-likelihood in nats a spectrum, the mean over exits 1 and later.
    """
    logits = all_logits(network, spectra)
    costs_nothing = np.zeros(logits.shape[:2], np.int64)  # what exits cost plays no part
    cached = CachedLogits(logits, labels, costs_nothing, network.static_macs())
    return min(choose_combination(cached, additive=additive).likelihoods.values())


def judge_logits(logits: NDArray[np.float32], labels: NDArray[np.int64], temperatures: Sequence[float]) -> Judged:
    """Judge the mean log-probability of all exits, from logits ``(E, n, C)``, labels ``(n,)`` and E temperatures."""
    tempered = [log_softmax(each / np.float32(one)) for each, one in zip(logits, temperatures, strict=True)]
    mean = log_softmax(np.mean(tempered, axis=0))
    return Judged(negative_log_likelihood(mean, labels), float(np.mean(mean.argmax(axis=1) == labels)))


def all_logits(network: ExitNetwork, spectra: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits ``(E, n, C)`` of preprocessed spectra ``(n, L)`` at full depth."""
    parts, was_training = [], network.training
    network.eval()
    with torch.no_grad():
        for start in range(0, len(spectra), BATCH):
            outputs = network(torch.from_numpy(spectra[start : start + BATCH])[:, None], DENSE)
            parts.append(torch.stack(outputs.logits).numpy())
    network.train(was_training)
    return np.concatenate(parts, axis=1)
