"""What a residual unit is, and the registry of them.

A spectrum is an image of height 1 here: 2-D convolutions on channels-last memory train three to five times faster on a
CPU than 1-D ones (measured, PyTorch 2.13).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from specnet.errors import ModelError
from specnet.registry import Registry

RESIDUAL_START = 0.1
"""First scale of a branch's last batch norm: a unit begins as nearly nothing, so stages of any depth train from
scratch."""


class Block(nn.Module):
    """A residual branch that needs a window of k positions for each output position.

    Subclasses take ``(channels, expansion, kernel)`` and return the *branch* alone: the stage adds it to its input
    where the unit runs. `macs` counts one position. Nothing but the input's window may decide an output position: a
    branch that reads its own hidden features at neighbouring positions would need them computed where the spectrum has
    halted.
    """

    channels: int
    kernel: int

    def forward(self, x: Float[Tensor, "batch channels 1 positions"]) -> Float[Tensor, "batch channels 1 positions"]:
        """Branch at every position."""
        raise NotImplementedError

    @property
    def macs(self) -> int:
        """Multiply-accumulates at one position."""
        raise NotImplementedError

    @property
    def joined_inputs(self) -> dict[str, tuple[int, ...]]:
        """Channels of the features that a weight reads one behind the other, by its name; what is not named reads one.

        A narrower unit has the first channels of each.
        """
        return {}


BLOCKS: Registry[type[Block]] = Registry("block", ModelError)
register_block = BLOCKS.register


def create_block(name: str, channels: int, expansion: int, kernel: int) -> Block:
    """Build a registered block; `ModelError` for an unknown name."""
    return BLOCKS.find(name)(channels, expansion, kernel)


def last_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm at the end of a branch, starting at `RESIDUAL_START`."""
    norm = nn.BatchNorm2d(channels)
    nn.init.constant_(norm.weight, RESIDUAL_START)
    return norm


def window_conv(channels: int, kernel: int, *, groups: int = 1) -> nn.Conv2d:
    """Convolution of k taps that keeps channels and positions, without bias: a batch norm follows."""
    return nn.Conv2d(channels, channels, (1, kernel), padding=(0, kernel // 2), groups=groups, bias=False)


def pointwise_conv(channels: int, out_channels: int) -> nn.Conv2d:
    """Matrix product at every position, without bias: a batch norm follows."""
    return nn.Conv2d(channels, out_channels, 1, bias=False)
