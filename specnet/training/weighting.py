"""Weights for spectra and exits that are learned by what they do to the exits as they will be used.

Legend: n spectra of a batch, K network exits.
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from specnet.errors import ConfigurationError
from specnet.nn import ExitOutputs, Gating
from specnet.nn.protocol import ExitNetwork
from specnet.training.config import TrainConfig

HIDDEN = 500
REACH = 0.8
"""Epsilon: weights are 1 +- at most twice this."""
RATIO = 0.75
"""Share of spectra that leaves at an exit, over that of the exit before it."""
META_RATE = 1e-4
META_DECAY = 1e-4
PSEUDO_RATE = 0.1
"""Of the plain gradient step that is looked through; the network itself is trained with AdamW."""


class WeightPrediction(nn.Module):
    """From the losses of a spectrum at all exits to its weight at each: ``K -> 500 -> K``, tanh.

    Parameters
    ----------
    n_exits
        Number of exits K.
    """

    def __init__(self, n_exits: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_exits, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, n_exits), nn.Tanh())

    def forward(self, losses: Float[Tensor, "n exits"]) -> Float[Tensor, "n exits"]:
        """Weights around 1, whose mean over the exits of a spectrum is 1."""
        raw: Tensor = self.layers(losses.detach())
        return 1.0 + REACH * (raw - raw.mean(dim=1, keepdim=True))


class SampleWeighting:
    """L2W-DEN (Han et al. 2022, "Learning to weight samples for dynamic early-exiting networks", alg. 1).

    Before each step half of the batch takes a pseudo-step with weighted losses; the other half says how good the
    network then is where spectra leave as at inference, the surest ones first; and the weights learn from that, through
    the step. Halves change places from step to step (the paper does both ways in each), and the pseudo-step is plain
    gradient descent.

    Parameters
    ----------
    n_exits
        Network exits K.
    config
        The recipe.
    """

    name = "weighting"

    def __init__(self, n_exits: int, config: TrainConfig) -> None:
        self.wanted = "learned_weights" in config.losses
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = WeightPrediction(n_exits)
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=META_RATE, weight_decay=META_DECAY)
        self._swapped = False

    def __call__(self, losses: Float[Tensor, "n exits"]) -> Float[Tensor, "n exits"]:
        """Weights of spectra at exits, without gradient."""
        with torch.no_grad():
            weights: Tensor = self.network(losses)
        return weights

    def learn(
        self,
        network: ExitNetwork,
        spectra: Float[Tensor, "n 1 points"],
        labels: Int[Tensor, " n"],
        gating: Gating,
        rate: float,
    ) -> None:
        """Take one meta step; `rate` is the learning rate as a share of its highest. The network does not change."""
        half = len(spectra) // 2
        first, second = slice(0, half), slice(half, None)
        if self._swapped:
            first, second = second, first
        self._swapped = not self._swapped
        self.network.to(spectra.device)
        loss = self.meta_loss(network, (spectra[first], labels[first]), (spectra[second], labels[second]), gating)
        self._optimiser.param_groups[0]["lr"] = META_RATE * rate
        self._optimiser.zero_grad()
        gradients = torch.autograd.grad(loss, list(self.network.parameters()))
        for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self._optimiser.step()

    def meta_loss(
        self,
        network: ExitNetwork,
        taught: tuple[Tensor, Tensor],
        asked: tuple[Tensor, Tensor],
        gating: Gating,
    ) -> Float[Tensor, ""]:
        """Loss of what is asked after a pseudo-step on what was taught: spectra and labels each."""
        module = cast("nn.Module", network)
        weights: dict[str, Tensor] = {name: p for name, p in module.named_parameters() if p.requires_grad}

        def run(parameters: dict[str, Tensor], spectra: Tensor) -> list[Tensor]:
            # statistics of batch norms go into copies
            buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
            outputs: ExitOutputs = functional_call(module, {**parameters, **buffers}, (spectra, gating))
            return outputs.logits[1:] if network.exit0 is not None else outputs.logits

        losses = _losses(run(weights, taught[0]), taught[1])
        loss = (self.network(losses) * losses).mean(dim=0).sum()
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True, allow_unused=True)
        stepped = {
            name: weight if gradient is None else weight - PSEUDO_RATE * gradient
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
        logits = run(stepped, asked[0])
        leaves = allocate([one.detach() for one in logits])
        own = _losses(logits, asked[1]).gather(1, leaves[:, None])[:, 0]
        found = [own[leaves == k].mean() for k in range(len(logits)) if bool((leaves == k).any())]
        return torch.stack(found).sum()

    def state_dict(self) -> dict[str, Tensor]:
        """Give what a checkpoint keeps: weights, and how far their optimiser is."""
        if not self.wanted:
            return {}
        found = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        for index, state in self._optimiser.state_dict()["state"].items():
            found |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
        return found | {"swapped": torch.tensor(self._swapped)}

    def load_state_dict(self, tensors: dict[str, Tensor], network: nn.Module) -> None:
        """Go on from a checkpoint."""
        weights = {n.removeprefix("network."): t for n, t in tensors.items() if n.startswith("network.")}
        self.network.load_state_dict(weights)
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith("optimiser."):
                _, index, name = key.split(".", 2)
                state.setdefault(int(index), {})[name] = tensor
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": state, "param_groups": groups})
        self._swapped = bool(tensors["swapped"])


def allocate(logits: list[Float[Tensor, "n classes"]]) -> Int[Tensor, " n"]:
    """Exit 0..K-1 at which each spectrum leaves: shares fall by `RATIO` from exit to exit, the surest go first.

    Of those still there, ``floor(n q_k)`` leave at exit k; the last takes the rest.
    """
    n, n_exits = len(logits[0]), len(logits)
    shares = torch.tensor([RATIO**k for k in range(1, n_exits + 1)], dtype=torch.float64)
    shares /= shares.sum()
    found = torch.full((n,), n_exits - 1, device=logits[0].device)
    there = torch.ones(n, dtype=torch.bool, device=logits[0].device)
    for k in range(n_exits - 1):
        confidence = functional.softmax(logits[k], dim=1).amax(dim=1).masked_fill(~there, -1.0)
        leaving = confidence.argsort(descending=True, stable=True)[: int(n * shares[k])]
        found[leaving], there[leaving] = k, False
    return found


def _losses(logits: list[Tensor], labels: Tensor) -> Tensor:
    """Cross-entropies ``(n, K)``."""
    return torch.stack([functional.cross_entropy(one, labels, reduction="none") for one in logits], dim=1)


def check_single_process(wanted: bool, world: int) -> None:
    """Refuse several processes: each would learn weights of its own."""
    if wanted and world > 1:
        raise ConfigurationError(f"loss learned_weights is trained by one process, got {world}")
