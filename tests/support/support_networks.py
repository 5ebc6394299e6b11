"""Networks with random weights whose positions halt at different depths, without training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from specnet.nn import HARD, SpecNet, create_model
from specnet.nn.halting import PonderMass, SampleGates, smooth


def randomise(network: SpecNet, seed: int = 0) -> SpecNet:
    """Give every weight, batch-norm statistic and halting score a random value of a sensible size; evaluation mode."""
    generator = torch.Generator().manual_seed(seed)

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            elif tensor.ndim >= 2:
                tensor.copy_(normal(tensor) * (2.0 / tensor[0].numel()) ** 0.5)
            else:
                tensor.copy_((1.0 if "norm" in name and name.endswith("weight") else 0.0) + 0.3 * normal(tensor))
    return network.eval()


def halting(network: SpecNet, offsets: Sequence[float]) -> SpecNet:
    """Let halting scores be wide and centred on an offset for each stage: negative ones halt most positions."""
    with torch.no_grad():
        for index, offset in enumerate(offsets, start=1):
            score = network.stage(index).halting
            assert score is not None
            # features are never negative: without a mean, their sizes alone do not decide
            score.score.weight.sub_(score.score.weight.mean(dim=1, keepdim=True)).mul_(3.0)
            assert score.score.bias is not None
            score.score.bias.fill_(offset)
    return network


def random_model(preset: str, n_points: int, *, n_classes: int = 5, seed: int = 0, **changes: Any) -> SpecNet:
    """A preset with random weights; `changes` are those of `create_model`."""
    return randomise(create_model(preset, n_points=n_points, n_classes=n_classes, **changes), seed)


def random_spectra(n: int, n_points: int, seed: int = 0) -> Tensor:
    """Standard normal spectra ``(n, 1, n_points)``."""
    return torch.randn(n, 1, n_points, generator=torch.Generator().manual_seed(seed))


def vary_depths(network: SpecNet, halted_share: float = 0.3) -> SpecNet:
    """Set the halting offsets of every unit so that about this share of random positions halts before it."""
    with torch.no_grad():
        features = network.run_stem(random_spectra(8, network.config.n_points, seed=1234))
        for index in range(1, network.n_exits):
            stage = network.stage(index)
            entries: list[Tensor] = []
            assert stage.halting is not None
            hook = stage.halting.register_forward_pre_hook(lambda _module, inputs, to=entries: to.append(inputs[0]))
            stage(features, HARD)
            hook.remove()
            score = stage.halting.score
            assert score.bias is not None
            score.bias.zero_()
            scores = smooth(score(entries[0]).squeeze(2))
            if isinstance(stage.halting, SampleGates):
                scores = scores.mean(dim=2, keepdim=True)
            if isinstance(stage.halting, PonderMass):
                # so much mass goes with each unit that after half of them an average position halts
                score.weight.mul_(2.0 / scores.std())
                score.bias.fill_(
                    -math.log(max(score.out_channels / 2, 1.01) - 1) - float(scores.mean() * 2.0 / scores.std())
                )
            else:
                score.bias.copy_(-scores.transpose(0, 1).flatten(1).quantile(halted_share, dim=1))
            features = stage(features, HARD).features
    return network
