"""The layer of the baseline networks filters as it says, and leaves other memory alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from specnet.nn.convolution import ConvNorm

pytestmark = pytest.mark.usefixtures("one_thread")
MALLOC_CHECKS = Path("/lib/x86_64-linux-gnu/libc_malloc_debug.so.0")
TRAINING = """
import torch
from specnet.nn import create_model
torch.manual_seed(0)
torch.set_num_threads(1)
network = create_model("ensemble1d", n_points=500, n_classes=50)
for _ in range(10):
    sum(logits.sum() for logits in network(torch.randn(64, 1, 500)).logits).backward()
"""


@pytest.mark.parametrize("kernel", [1, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("points", [40, 41])
def test_it_is_a_strided_convolution_with_norm(kernel: int, stride: int, points: int) -> None:
    torch.manual_seed(0)
    layer = ConvNorm(6, 10, kernel, stride=stride, activate=False).double()
    x = torch.randn(4, 6, 1, points, dtype=torch.float64, requires_grad=True)
    found = layer(x)
    assert found.shape[-1] == layer.positions(points)
    same = x.detach().clone().requires_grad_()
    filtered = functional.conv2d(same, layer.conv.weight, stride=(1, stride), padding=(0, kernel // 2))
    expected = functional.batch_norm(filtered, None, None, training=True)
    torch.testing.assert_close(found, expected)
    torch.autograd.backward([found, expected], [torch.cos(found.detach())] * 2)
    torch.testing.assert_close(x.grad, same.grad)


def test_trainings_of_narrow_networks_leave_other_memory_alone() -> None:
    """The C library checks its heap where it can; elsewhere such a process dies sooner or later."""
    checked = {"LD_PRELOAD": str(MALLOC_CHECKS), "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **(checked if MALLOC_CHECKS.exists() else {})}
    ended = subprocess.run([sys.executable, "-c", TRAINING], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
