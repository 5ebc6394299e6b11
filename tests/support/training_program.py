"""A whole training in memory, as one of any number of processes; the first one writes history and weights.

In double precision: rounding flips the odd ReLU, and Adam turns a gradient of nothing but rounding into whole steps.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.utils.data import TensorDataset

from specnet.nn import create_model
from specnet.training import TrainConfig, train_network
from specnet.training.distributed import process_group


def main(out: Path) -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(61) % 3
    spectra = torch.randn(61, 96, generator=generator) + labels[:, None] * torch.linspace(-1, 1, 96)
    data: Any = TensorDataset(spectra.double(), labels)
    config = TrainConfig(preset="nano", epochs=5, batch_size=12, augmentation="strong", seed=2)
    with process_group("cpu") as processes:
        torch.manual_seed(2)
        network = create_model("nano", n_points=96, n_classes=3).double()
        progress = train_network(network, data, config, checkpoint=out / "checkpoint.safetensors")
        if processes.is_main:
            save_file({k: v.contiguous() for k, v in network.state_dict().items()}, out / "weights.safetensors")
            (out / "history.json").write_text(json.dumps(progress.history))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
