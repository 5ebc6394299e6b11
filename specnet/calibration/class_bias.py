"""A bias for each class besides the temperature: what an exit has learnt of classes that holds no longer.

Training spectra of one season, instrument or clinic and calibration spectra of another one differ, and what a model
makes of the difference is mostly that it gives some classes too much and others too little. A temperature cannot mend
that; one number a class can (Alexandari, Kundaje and Shrikumar 2020, "bias-corrected temperature scaling"; a case of
the vector scaling of Guo et al. 2017, section 4.2). On grain whose parts differ in this way it is worth four points.

Legend: n spectra, C classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from specnet.calibration.cached import CachedLogits
from specnet.calibration.temperature import T_MAX, T_MIN, fit_temperature, negative_log_likelihood
from specnet.exits import MAX_BIAS, Parameters, log_softmax

PRIOR_SPECTRA = 50.0
"""Strength of the pull to no bias: the sum of squared biases counts as that many nats."""
DIGITS = 4
"""Of biases in nats; more are noise, and every operating point of a bundle has all of them."""


def fit_biased(
    logits: NDArray[np.float32], labels: NDArray[np.int64], prior: float = PRIOR_SPECTRA
) -> tuple[float, tuple[float, ...]]:
    r"""Temperature and biases of one exit, fitted together on a calibration split.

    Minimises, over :math:`T` within its bounds and :math:`b`,

    .. math:: -\sum_i \log \mathrm{softmax}(z_i / T + b)_{y_i} + \lambda \lVert b \rVert^2

    which is convex in :math:`(1/T, b)`, with L-BFGS-B.

    Parameters
    ----------
    logits
        ``(n, C)`` of one exit.
    labels
        ``(n,)``.
    prior
        The :math:`\lambda` above.

    Returns
    -------
    tuple
        Temperature, and C biases whose mean is zero.
    """
    rows, n_classes = np.arange(len(labels)), logits.shape[1]
    start = fit_temperature(logits, labels)
    scaled = logits.astype(np.float64) / start
    counts = np.bincount(labels, minlength=n_classes)

    def objective(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        sharpness, biases = point[0], point[1:]
        log_q = log_softmax(sharpness * scaled + biases)
        loss = -log_q[rows, labels].sum() + prior * (biases**2).sum()
        q = np.exp(log_q)
        slope = (q * scaled).sum() - scaled[rows, labels].sum()
        gradient = np.concatenate([[slope], q.sum(axis=0) - counts + 2 * prior * biases])
        return float(loss) / len(rows), gradient / len(rows)

    bounds = [(start / T_MAX, start / T_MIN), *[(-MAX_BIAS, MAX_BIAS)] * n_classes]
    found = minimize(objective, np.eye(1, 1 + n_classes)[0], jac=True, method="L-BFGS-B", bounds=bounds).x
    return start / float(found[0]), tuple(round(float(bias), DIGITS) for bias in found[1:])


def biases_plausible(cached: CachedLogits, *, additive: bool = False) -> bool:
    """Whether biases gain more on the spectra that they are fitted to than numbers fitted to nothing would.

    C - 1 numbers gain (C - 1) / 2n nats a spectrum by chance; Akaike's criterion asks for twice that, here of the mean
    over exits. A fifth of the work of cross-fitting them, which nearly all sets of spectra are spared.
    """
    gains = []
    for logits in cached.answering(additive=additive):
        temperature, biases = fit_biased(logits, cached.labels)
        corrected = log_softmax(logits / np.float32(temperature) + np.array(biases, np.float32))
        plain = log_softmax(logits / np.float32(fit_temperature(logits, cached.labels)))
        gains.append(negative_log_likelihood(plain, cached.labels) - negative_log_likelihood(corrected, cached.labels))
    return float(np.mean(gains)) > (cached.n_classes - 1) / cached.n_spectra


def fit_biases(cached: CachedLogits, *, additive: bool = False) -> tuple[tuple[float, ...], Parameters]:
    """Temperatures and biases of all exits; with `additive`, of the sums with exit 0."""
    fitted = [fit_biased(logits, cached.labels) for logits in cached.answering(additive=additive)]
    return tuple(temperature for temperature, _ in fitted), tuple(biases for _, biases in fitted)
