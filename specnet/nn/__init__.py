"""The network and its orthogonal parts: blocks, exit heads, position-adaptive stages."""

from specnet.nn.blocks import BLOCKS, Block, create_block, register_block
from specnet.nn.config import PRESETS, NetworkConfig, preset
from specnet.nn.heads import HEADS, ExitHead, LinearExit, create_head, register_head
from specnet.nn.network import DENSE, HARD, ExitOutputs, Gating, SpecNet
from specnet.nn.registry import create_model, list_models, load_weights, save_weights

__all__ = [
    "BLOCKS",
    "DENSE",
    "HARD",
    "HEADS",
    "PRESETS",
    "Block",
    "ExitHead",
    "ExitOutputs",
    "Gating",
    "LinearExit",
    "NetworkConfig",
    "SpecNet",
    "create_block",
    "create_head",
    "create_model",
    "list_models",
    "load_weights",
    "preset",
    "register_block",
    "register_head",
    "save_weights",
]
