"""One training step of a network on a share of a batch, compared with the same step on all of it.

Run as one of several processes; prints one JSON document of largest relative differences.
"""

from __future__ import annotations

import copy
import json
import sys

import torch
from torch import Tensor, nn
from torch.nn import functional

from specnet.nn import Gating, SpecNet, create_model
from specnet.training.distributed import Processes, process_group

BATCH = 11  # shares of different sizes
SEED = 17
GATES = Gating(noise=0.7)


def main() -> None:
    torch.set_num_threads(1)
    with process_group("cpu") as processes:
        torch.manual_seed(SEED)
        # in double precision: what rounding does to a sum flips the odd ReLU, and with it a gradient
        network = create_model("nano", n_points=128, n_classes=4, dropout=0.3).double()
        x, labels = 50 + torch.randn(BATCH, 128).double(), torch.arange(BATCH) % 4
        alone, shared = network, copy.deepcopy(network)
        if not processes.is_main:  # whatever a process began with, the first one's weights count
            for parameter in shared.parameters():
                parameter.data.zero_()
        processes.copy_from_main(shared)
        losses = _step(alone, x, labels, Processes()), _step(shared, x, labels, processes)
        document = {
            "loss": _difference(*losses),
            "gradients": max(
                _difference(a.grad, b.grad)
                for a, b in zip(alone.parameters(), shared.parameters(), strict=True)
                if a.grad is not None and b.grad is not None and float(a.grad.abs().max()) > 1e-6
            ),
            "with gradients": [sum(p.grad is not None for p in net.parameters()) for net in (alone, shared)],
            "statistics": max(
                float((a - b).abs().max())
                for (name, a), (_, b) in zip(alone.named_buffers(), shared.named_buffers(), strict=True)
                if not name.startswith("exit0")
            ),
            "refused": _refused(processes, BATCH),
        }
        sys.stdout.write(json.dumps(document))


def _step(network: SpecNet, x: Tensor, labels: Tensor, processes: Processes) -> Tensor:
    """A loss that does not add up over rows, and its gradients."""
    torch.manual_seed(SEED)
    network.train()
    with processes.forward(BATCH):
        outputs = network(x[processes.rows(BATCH), None], GATES)
    outputs = processes.gather(outputs, BATCH)
    loss = sum(functional.cross_entropy(logits, labels) for logits in outputs.logits[1:])
    active = torch.stack([gates.mean() for gates in outputs.gates]).mean()
    total = loss + 3.0 * functional.relu(active - 0.2) ** 2
    total.backward()
    processes.sum_gradients(network)
    return total.detach()


def _refused(processes: Processes, batch: int) -> str:
    try:
        with processes.forward(batch):
            nn.Dropout2d()(torch.ones(2, 2, 2, 2))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / a.abs().max().clamp_min(1e-12))


if __name__ == "__main__":
    main()
