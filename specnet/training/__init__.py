"""Training: recipe, losses that add up, schedule, augmentation, checkpoints, and finished runs."""

import specnet.training.method_losses  # noqa: F401  (registers losses)
from specnet.training.augmentation import AUGMENTATIONS, Augmentation, create_augmentation
from specnet.training.config import TrainConfig
from specnet.training.kept import trained_once
from specnet.training.loop import train_network
from specnet.training.losses import LOSSES, Loss, register_loss
from specnet.training.phases import PHASES, Phase
from specnet.training.recipes import RECIPES, Recipe, find_recipe, list_methods
from specnet.training.run import CachedRun, Run, load_run
from specnet.training.threads import use_threads
from specnet.training.train import train

__all__ = [
    "AUGMENTATIONS",
    "LOSSES",
    "PHASES",
    "RECIPES",
    "Augmentation",
    "CachedRun",
    "Loss",
    "Phase",
    "Recipe",
    "Run",
    "TrainConfig",
    "create_augmentation",
    "find_recipe",
    "list_methods",
    "load_run",
    "register_loss",
    "train",
    "train_network",
    "trained_once",
    "use_threads",
]
