"""Which points of a spectrum an answer rests on.

Saliency of the log-probability that an exit gives its answer, with respect to the preprocessed spectrum: two kinds of
gradients, and occlusion as the check that needs no gradient and no knowledge of the network.

Depth is held fixed: gates are steps, so the network as it ran on a spectrum is the function that has a gradient there.
The straight-through gradients that gates are trained with are no property of the answer.

Legend: n spectra, L points, C classes, E exits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from specnet.errors import ConfigurationError, ModelError
from specnet.nn import HARD
from specnet.nn.halting import Halting
from specnet.nn.protocol import ExitNetwork

BATCH = 64
STEPS = 64
Score = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Log-probabilities ``(n, C)`` of preprocessed spectra ``(n, L)``."""


def exit_score(network: ExitNetwork, exit_index: int = -1) -> Score:
    """Make the function that gives an exit's log-probabilities; -1 is the last exit.

    Raises
    ------
    ModelError
        When there is no such exit.
    """
    _require_exit(network, exit_index)

    def score(spectra: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = []
        with torch.no_grad(), _evaluating(network):
            for start in range(0, len(spectra), BATCH):
                parts.append(_log_probabilities(network, _tensor(spectra[start : start + BATCH]), exit_index).numpy())
        return np.concatenate(parts)

    return score


def gradient_times_input(
    network: ExitNetwork,
    spectra: NDArray[np.float32],
    *,
    exit_index: int = -1,
    targets: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    r"""Gradient times input, ``(n, L)``.

    .. math:: s_i = x_i \, \partial \log p_t(x) / \partial x_i

    Parameters
    ----------
    network
        Trained.
    spectra
        ``(n, L)`` preprocessed.
    exit_index
        Exit whose answer is explained; -1 is the last.
    targets
        ``(n,)`` class t to explain; by default what the exit answers.

    Raises
    ------
    ModelError
        When there is no such exit.
    """
    _require_exit(network, exit_index)

    def of_batch(x: Tensor, classes: Tensor | None) -> Tensor:
        with _depth_as_at(network, x):
            return x * _gradient(network, x, classes, exit_index)

    return _in_batches(network, spectra, targets, of_batch)


def integrated_gradients(
    network: ExitNetwork,
    spectra: NDArray[np.float32],
    *,
    exit_index: int = -1,
    targets: NDArray[np.int64] | None = None,
    baseline: NDArray[np.float32] | None = None,
    steps: int = STEPS,
) -> NDArray[np.float32]:
    r"""Integrated gradients, ``(n, L)`` (Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks", eq. 1).

    .. math:: s_i = (x_i - x'_i) \int_0^1 \frac{\partial \log p_t(x' + a (x - x'))}{\partial x_i} \, da

    The integral is a midpoint sum. The saliencies of a spectrum add up to ``log p_t(x) - log p_t(x')`` (completeness),
    both with the depth that x has.

    Parameters
    ----------
    network, spectra, exit_index, targets
        As for `gradient_times_input`.
    baseline
        ``(L,)`` spectrum x' that says nothing; zero by default, which for scaled spectra is a flat one.
    steps
        Points of the sum.

    Raises
    ------
    ModelError
        When there is no such exit.
    ConfigurationError
        When the baseline has another length, or there are no steps.
    """
    _require_exit(network, exit_index)
    if steps < 1:
        raise ConfigurationError(f"integrated gradients take at least 1 step, got {steps}")
    start = np.zeros(spectra.shape[1], dtype=np.float32) if baseline is None else np.float32(baseline)
    if start.shape != spectra.shape[1:]:
        raise ConfigurationError(f"the baseline has shape {start.shape}, expected {spectra.shape[1:]}")
    origin = torch.from_numpy(np.array(start))

    def of_batch(x: Tensor, classes: Tensor | None) -> Tensor:
        with _depth_as_at(network, x):
            if classes is None:  # points on the way may be answered differently: the end decides
                with torch.no_grad():
                    classes = _log_probabilities(network, x, exit_index).argmax(dim=1)
            total = torch.zeros_like(x)
            for step in range(steps):
                total += _gradient(network, origin + (step + 0.5) / steps * (x - origin), classes, exit_index)
        return (x - origin) * total / steps

    return _in_batches(network, spectra, targets, of_batch)


def occlusion(
    score: Score, spectra: NDArray[np.float32], *, window: int, targets: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """How much log-probability is lost when a window of the spectrum is replaced by a straight line, ``(n, L)``.

    Windows follow each other by a quarter of their width; each point has the mean over the windows that cover it. A
    straight line between a window's ends removes a peak and leaves what is flat as it is, which zeros would not (Zeiler
    and Fergus 2014 grey out patches of images).

    Parameters
    ----------
    score
        Anything that gives log-probabilities, see `exit_score`.
    spectra
        ``(n, L)`` preprocessed.
    window
        Points that are replaced at once, 1 to L.
    targets
        ``(n,)`` class to explain; by default what `score` finds most likely.

    Raises
    ------
    ConfigurationError
        When the window is no part of a spectrum.
    """
    n, points = spectra.shape
    if not 1 <= window <= points:
        raise ConfigurationError(f"a window has 1 to {points} points, got {window}")
    before = score(spectra)
    classes = before.argmax(axis=1) if targets is None else targets
    rows = np.arange(n)
    total = np.zeros((n, points), dtype=np.float64)
    covered = np.zeros(points)
    starts = {*range(0, points - window, max(1, window // 4)), points - window}
    for start in sorted(starts):
        inside = np.arange(start, start + window)
        left, right = max(start - 1, 0), min(start + window, points - 1)
        share = np.float32((inside - left) / max(right - left, 1))
        hidden = spectra.copy()
        hidden[:, inside] = spectra[:, [left]] * (1 - share) + spectra[:, [right]] * share
        total[:, inside] += (before[rows, classes] - score(hidden)[rows, classes])[:, None]
        covered[inside] += 1
    return np.asarray(total / covered, dtype=np.float32)


@contextmanager
def _depth_as_at(network: ExitNetwork, x: Tensor) -> Iterator[None]:
    """Every pass runs the units that run on `x`, with the gates as constants."""
    gates: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, _: object, output: Tensor) -> Tensor:
        return gates.setdefault(module, output.detach())

    modules = cast("nn.Module", network).modules()
    handles = [module.register_forward_hook(keep) for module in modules if isinstance(module, Halting)]
    try:
        with torch.no_grad():
            network(x[:, None], HARD)
        yield
    finally:
        for handle in handles:
            handle.remove()


def _gradient(network: ExitNetwork, x: Tensor, classes: Tensor | None, exit_index: int) -> Tensor:
    x = x.detach().requires_grad_()
    log_p = _log_probabilities(network, x, exit_index)
    chosen = log_p.argmax(dim=1) if classes is None else classes
    (gradient,) = torch.autograd.grad(log_p.gather(1, chosen[:, None]).sum(), x)
    return gradient


def _log_probabilities(network: ExitNetwork, x: Tensor, exit_index: int) -> Tensor:
    all_logits = network(x[:, None], HARD).logits
    logits = all_logits[exit_index]
    # additive exits say what is to be added to exit 0
    if getattr(network.config, "additive", False) and exit_index != 0:
        logits = logits + all_logits[0]
    return functional.log_softmax(logits, dim=1)


def _in_batches(
    network: ExitNetwork,
    spectra: NDArray[np.float32],
    targets: NDArray[np.int64] | None,
    of_batch: Callable[[Tensor, Tensor | None], Tensor],
) -> NDArray[np.float32]:
    result = np.empty(spectra.shape, dtype=np.float32)
    with _evaluating(network):
        for start in range(0, len(spectra), BATCH):
            rows = slice(start, start + BATCH)
            classes = None if targets is None else torch.from_numpy(np.array(targets[rows], dtype=np.int64))
            result[rows] = of_batch(_tensor(spectra[rows]), classes).detach().numpy()
    return result


@contextmanager
def _evaluating(network: ExitNetwork) -> Iterator[None]:
    """Switch to evaluation mode, then back to the mode from before."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


def _tensor(spectra: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.array(spectra, dtype=np.float32))


def _require_exit(network: ExitNetwork, exit_index: int) -> None:
    if not -1 <= exit_index < network.n_exits:
        raise ModelError(f"the network has exits 0 to {network.n_exits - 1} (-1 is the last), got {exit_index}")
