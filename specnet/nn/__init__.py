"""The network and its orthogonal parts: blocks, stages, exit heads, relays between them."""

from specnet.nn.blocks import BLOCKS, Block, create_block, register_block
from specnet.nn.config import PRESETS, NetworkConfig, preset
from specnet.nn.g_ghost import GGhostStage
from specnet.nn.halting import ADAPTIVITIES, Halting, create_halting, open_gates, register_adaptivity, transitions
from specnet.nn.heads import HEADS, ExitHead, LinearExit, create_head, register_head
from specnet.nn.network import DENSE, HARD, ExitOutputs, Gating, SpecNet
from specnet.nn.protocol import ExitNetwork
from specnet.nn.registry import create_model, list_models, load_weights, save_weights
from specnet.nn.relays import RELAYS, Relay, create_relay, register_relay
from specnet.nn.stage import STAGES, Stage, create_stage, register_stage
from specnet.nn.supernet import SuperNet
from specnet.nn.taps import TAPS, Tap, create_tap, register_tap

__all__ = [
    "ADAPTIVITIES",
    "BLOCKS",
    "DENSE",
    "HARD",
    "HEADS",
    "PRESETS",
    "RELAYS",
    "STAGES",
    "TAPS",
    "Block",
    "ExitHead",
    "ExitNetwork",
    "ExitOutputs",
    "GGhostStage",
    "Gating",
    "Halting",
    "LinearExit",
    "NetworkConfig",
    "Relay",
    "SpecNet",
    "Stage",
    "SuperNet",
    "Tap",
    "create_block",
    "create_halting",
    "create_head",
    "create_model",
    "create_relay",
    "create_stage",
    "create_tap",
    "list_models",
    "load_weights",
    "open_gates",
    "preset",
    "register_adaptivity",
    "register_block",
    "register_head",
    "register_relay",
    "register_stage",
    "register_tap",
    "save_weights",
    "transitions",
]
