"""Several real processes compute what one does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support_processes import run_together

from specnet.errors import ConfigurationError
from specnet.nn import create_model
from specnet.training import TrainConfig, train_network
from specnet.training.distributed import Processes, choose_device, process_group

SUPPORT = Path(__file__).parents[2] / "support"


def test_a_step_on_shares_is_the_step_on_the_whole_batch() -> None:
    for said in run_together(SUPPORT / "whole_batch_program.py", 3):
        document = json.loads(said)
        alone, shared = document["with gradients"]
        assert alone == shared > 0
        assert document["loss"] < 1e-12
        assert document["gradients"] < 1e-10
        assert document["statistics"] < 1e-10
        assert document["refused"].startswith("ModelError: dropout2d in a network cannot be shared by processes")


def test_two_processes_train_the_network_of_one(tmp_path: Path) -> None:
    history, weights = [], []
    for n in (1, 2):
        out = tmp_path / str(n)
        out.mkdir()
        run_together(SUPPORT / "training_program.py", n, out)
        history.append(json.loads((out / "history.json").read_text()))
        weights.append(load_file(out / "weights.safetensors"))
        assert (out / "checkpoint.safetensors").exists()
    assert len(history[0]) == 5
    for one, two in zip(*history, strict=True):
        assert one.keys() == two.keys()
        np.testing.assert_allclose(list(two.values()), list(one.values()), rtol=1e-6)
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-5, atol=1e-7, msg=name)


def test_specnet_train_under_torchrun(small_file: Path, tmp_path: Path) -> None:
    options = [
        "--preset",
        "nano",
        "--epochs",
        "2",
        "--batch-size",
        "32",
        "--seed",
        "4",
        "--augmentation",
        "light",
        "--json",
    ]
    launchers = {
        "one": [sys.executable, "-m"],
        "two": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"],
    }
    histories: dict[str, list[dict[str, float]]] = {}
    for name, launcher in launchers.items():
        command = [*launcher, "specnet", "train", str(small_file), "--out", str(tmp_path / name), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        assert json.loads(done.stdout)["run"] == str(tmp_path / name)  # one document: only the first process reports
        assert (tmp_path / name / "calibration.json").exists()
        histories[name] = json.loads((tmp_path / name / "run.json").read_text())["provenance"]["history"]
    for one, two in zip(histories["one"], histories["two"], strict=True):
        np.testing.assert_allclose(two["cross_entropy"], one["cross_entropy"], rtol=1e-3)


def test_mixed_precision_trains_with_finite_losses_in_single_precision(one_thread: None) -> None:
    torch.manual_seed(0)
    labels = torch.arange(40) % 2
    data: Any = torch.utils.data.TensorDataset(torch.randn(40, 96) + labels[:, None], labels)
    network = create_model("nano", n_points=96, n_classes=2)
    seen: set[torch.dtype] = set()
    network.stem.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    config = TrainConfig(preset="nano", epochs=3, batch_size=20, augmentation="light")
    with process_group("cpu", amp="on"):
        progress = train_network(network, data, config)
    assert seen == {torch.bfloat16}
    assert np.isfinite([value for values in progress.history for value in values.values()]).all()
    assert progress.history[-1]["cross_entropy"] < progress.history[0]["cross_entropy"]
    outputs = torch.nn.Linear(4, 2)
    with Processes(amp="on").forward(3):
        half = outputs(torch.ones(3, 4))
    assert half.dtype is torch.bfloat16
    assert Processes(amp="on").gather({"logits": [half]}, 3)["logits"][0].dtype is torch.float32


def test_mixed_precision_is_off_on_a_processor_unless_it_is_wanted() -> None:
    with Processes().forward(3):
        assert torch.nn.Linear(4, 2)(torch.ones(3, 4)).dtype is torch.float32


@pytest.mark.parametrize(("batch", "world"), [(4, 4), (11, 3), (64, 2), (65, 8)])
def test_shares_are_blocks_that_cover_the_batch_and_differ_by_one_row(batch: int, world: int) -> None:
    shares = [range(batch)[Processes(rank, world).rows(batch)] for rank in range(world)]
    assert [row for share in shares for row in share] == list(range(batch))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_mistakes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="a batch of 2 spectra cannot be shared by 3 processes"):
        Processes(1, 3).rows(2)
    with pytest.raises(ConfigurationError, match="rank is 3 of 2 processes"):
        Processes(3, 2)
    with pytest.raises(ConfigurationError, match="amp is auto, on, off; got 'perhaps'"):
        Processes(amp="perhaps")
    with pytest.raises(ConfigurationError, match="unknown device 'tpu'; known: auto, cpu, cuda"):
        choose_device("tpu")
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ConfigurationError, match="WORLD_SIZE is 'two', expected a number"), process_group():
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_is_refused_where_there_is_none() -> None:
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(ConfigurationError, match="there are 0"):
        choose_device("cuda")
