"""Backbones that come with the software: stems and stages that have learnt from simulated spectra.

One a preset that has one, made with seed 0 and nothing chosen (the file says by which version)::

    specnet simulate corpus.h5 --preset random
    specnet pretrain corpus.h5 --out tiny.safetensors

The corpus is 5,000 samples of 1,000 random substances, each spectrum from an instrument of its own.
"""

from __future__ import annotations

from pathlib import Path

from specnet.errors import ConfigurationError
from specnet.nn.config import RESIDUAL_STAGE
from specnet.training.config import SHAPE_OPTIONS, SHIPPED, TrainConfig

FOLDER = Path(__file__).parent
BLOCK = "depthwise"
"""Kind of block that the backbones were trained with."""


def backbone_path(config: TrainConfig) -> Path:
    """File of the backbone that a recipe starts from.

    Raises
    ------
    ConfigurationError
        When none for the recipe's network comes with the software.
    """
    if config.backbone != SHIPPED:
        return Path(config.backbone)
    if not has_shipped(config):
        known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.safetensors")))
        raise ConfigurationError(
            f"no backbone for preset {config.preset!r} as it is asked for comes with the software, only for {known} "
            f"with {BLOCK} blocks, {RESIDUAL_STAGE} stages and its own widths; `specnet pretrain` makes others"
        )
    return FOLDER / f"{config.preset}.safetensors"


def has_shipped(config: TrainConfig) -> bool:
    """Whether a backbone that fits the recipe's network comes with the software."""
    changed = any(getattr(config, name) for name in SHAPE_OPTIONS) or config.stage != RESIDUAL_STAGE
    return not changed and config.block == BLOCK and (FOLDER / f"{config.preset}.safetensors").is_file()
