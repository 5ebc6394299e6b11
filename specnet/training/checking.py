"""Names in a recipe, checked before anything is computed with it."""

from __future__ import annotations

from specnet.errors import ConfigurationError
from specnet.nn import PRESETS, SpecNet, create_model
from specnet.nn.splitting import check_bottleneck
from specnet.preprocessing import list_pipelines
from specnet.training.augmentation import create_augmentation
from specnet.training.backbones import backbone_path
from specnet.training.building import load_backbone
from specnet.training.compatibility import check_losses
from specnet.training.config import AUTO, SHAPE_OPTIONS, TrainConfig
from specnet.training.loop import n_stages
from specnet.training.losses import LOSSES
from specnet.training.phases import create_phases, stretches


def check_recipe(config: TrainConfig, *, n_points: int, n_classes: int) -> None:
    """Find every part that a recipe names, its backbone included.

    A preprocessing that takes minutes, or a choice by cross-validation, should not end in a misspelt name.

    Parameters
    ----------
    config
        The recipe.
    n_points, n_classes
        Of the spectra; preprocessing may still change the number of points.

    Raises
    ------
    ConfigurationError, ModelError
        For what is unknown or does not fit; the message has the known names.
    """
    ours = config.preset in PRESETS
    if not ours and (given := [name for name in SHAPE_OPTIONS if getattr(config, name)]):
        raise ConfigurationError(
            f"preset {config.preset!r} has no {', '.join(given)}; those that do: {', '.join(PRESETS)}"
        )
    options = config.network_options if ours else {}
    network = create_model(config.preset, n_points=n_points, n_classes=n_classes, **options)
    if config.preprocessing not in list_pipelines():
        raise ConfigurationError(
            f"unknown preprocessing {config.preprocessing!r}; known: {', '.join(list_pipelines())}"
        )
    if config.augmentation != AUTO:
        create_augmentation(config.augmentation)
    if unknown := [name for name in config.losses if name not in LOSSES]:
        raise ConfigurationError(f"unknown losses {', '.join(unknown)}; known: {', '.join(LOSSES)}")
    check_losses(config)
    phases = create_phases(config.phases, n_stages(network))
    if not ours and any(phase.stage for phase in phases):
        raise ConfigurationError(
            f"preset {config.preset!r} has no stages to be trained one by one; those that do: {', '.join(PRESETS)}"
        )
    if config.epochs:
        stretches(phases, config.epochs)
    if config.bottleneck:
        if not isinstance(network, SpecNet):
            raise ConfigurationError(f"preset {config.preset!r} has no split points, so --bottleneck cannot be had")
        check_bottleneck(network, config.bottleneck)
    if config.pretrained:
        if not ours:
            raise ConfigurationError(f"preset {config.preset!r} takes no backbone; those that do: {', '.join(PRESETS)}")
        load_backbone(network, backbone_path(config))
