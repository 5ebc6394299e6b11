"""Residual units that run per position: one family with one constructor, ``(channels, expansion, kernel)``."""

from __future__ import annotations

from specnet.nn.blocks.block import BLOCKS, RESIDUAL_START, Block, create_block, pointwise_conv, register_block
from specnet.nn.blocks.depthwise import Depthwise
from specnet.nn.blocks.ghost import Ghost
from specnet.nn.blocks.plain import Plain

__all__ = [
    "BLOCKS",
    "RESIDUAL_START",
    "Block",
    "Depthwise",
    "Ghost",
    "Plain",
    "create_block",
    "pointwise_conv",
    "register_block",
]
