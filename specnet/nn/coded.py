"""A network that learns together with its bottleneck: what lies behind the split also sees decoded features.

Legend: B batch, L points, s split point.
"""

from __future__ import annotations

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from specnet.nn.bottleneck import Bottleneck, BottleneckConfig
from specnet.nn.config import NetworkConfig
from specnet.nn.network import HARD, ExitOutputs, Gating, SpecNet
from specnet.nn.splitting import check_bottleneck, run_behind

PREFIX = "bottleneck."


class CodedSpecNet(SpecNet):
    """`SpecNet` with a bottleneck beside it.

    In training mode a pass gives, besides all exits of the uncoded features, the exits behind the split for the decoded
    ones (`ExitOutputs.coded`) and what these take (`ExitOutputs.bits`); in evaluation mode it is the network alone.

    Parameters
    ----------
    config
        Of the network.
    split
        Split point s.
    shape
        Of the bottleneck.
    """

    def __init__(self, config: NetworkConfig, split: int, shape: BottleneckConfig) -> None:
        super().__init__(config)
        check_bottleneck(self, split)
        self.split = split
        self.bottleneck = Bottleneck(shape)

    def forward(self, x: Float[Tensor, "batch 1 points"], gating: Gating = HARD) -> ExitOutputs:
        """All exits, and in training those behind the split a second time."""
        outputs = super().forward(x, gating)
        if not self.training:
            return outputs
        image, self._image = self._image, None
        assert image is not None
        features = image.squeeze(2).transpose(1, 2)
        self.bottleneck.track(features.detach())
        restored, bits = self.bottleneck(features)
        return replace(outputs, coded=run_behind(self, self.split, restored, gating), bits=[bits])

    def passed(self, index: int, features: Float[Tensor, "batch channels 1 positions"]) -> None:
        """Keep what is handed over at the split."""
        if index == self.split:
            self._image = features

    def alone(self) -> SpecNet:
        """Give the network without its bottleneck, in evaluation mode."""
        plain = SpecNet(self.config)
        weights = {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(PREFIX)}
        plain.load_state_dict(weights)
        return plain.eval()

    _image: Tensor | None = None


def with_bottleneck(network: SpecNet, split: int, shape: BottleneckConfig) -> CodedSpecNet:
    """Give a network a bottleneck to learn together with; its weights are taken over."""
    coded = CodedSpecNet(network.config, split, shape)
    missing = coded.load_state_dict(network.state_dict(), strict=False)
    assert all(name.startswith(PREFIX) for name in missing.missing_keys)
    assert not missing.unexpected_keys
    return coded
