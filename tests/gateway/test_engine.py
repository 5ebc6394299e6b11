"""Engines: the same numbers from torch and ONNX Runtime, and clear words when one cannot be had."""

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import pytest
import torch
from support_broker import Broker
from support_bundle import DeviceSide, make_bundle, spectra
from support_gateway import DeviceEnd, GatewayProcess, answers_of
from support_network_bundle import make_network_bundle, network_spectra

from gateway.engine import Engine, EngineSettings, OnnxEngine, TorchEngine, check_bundle, create_engine
from gateway.intake import check_request
from gateway.models import prepare
from specnet.bundle import Bundle, read_bundle
from specnet.errors import BundleIntegrityError, ConfigurationError, ModelError
from specnet.mqtt import Incoming

TRAINED = Path(__file__).parents[1] / "device" / "fixtures" / "tiny.specnet"


@pytest.fixture(scope="module")
def network_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "nano" / "1" / "model.specnet"
    make_network_bundle(path)
    return path


@pytest.fixture(scope="module")
def network_bundle(network_bundle_path: Path) -> Bundle:
    return read_bundle(network_bundle_path)


def test_torch_and_onnx_runtime_agree_on_every_segment(network_bundle: Bundle) -> None:
    onnx, torch_engine = OnnxEngine(), TorchEngine("cpu")
    onnx.load(network_bundle)
    torch_engine.load(network_bundle)
    features = network_spectra(40)[..., np.newaxis]
    for index in range(4):
        expected = onnx.run(network_bundle.bundle_id, index, features)
        found = torch_engine.run(network_bundle.bundle_id, index, features)
        np.testing.assert_allclose(found.logits, expected.logits, atol=1e-4)
        if index:
            assert found.depth.dtype == expected.depth.dtype == np.uint8
            np.testing.assert_array_equal(found.depth, expected.depth)
        if index in (1, 2):
            np.testing.assert_allclose(found.features, expected.features, atol=1e-4)
            features = expected.features
        else:
            assert found.features is None
    # positions really halt at different depths, otherwise the comparison would be too easy
    assert len(np.unique(expected.depth)) > 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="NO GPU HERE: the torch engine was compared on the CPU only")
def test_torch_on_a_gpu_passes_the_self_test(network_bundle: Bundle) -> None:
    engine = TorchEngine("cuda")
    engine.load(network_bundle)
    assert check_bundle(engine, network_bundle) <= network_bundle.manifest.selftest_tolerance


@pytest.mark.parametrize("split", [0, 1, 2])
def test_both_engines_finish_a_trained_network_as_all_segments_in_a_row_do(split: int) -> None:
    bundle = read_bundle(TRAINED)
    side = DeviceSide(TRAINED)
    measured = np.load(TRAINED.with_suffix(".npz"))["intensity"][:30]
    expected = [side.expected(x, split=split) for x in measured]
    for engine in (OnnxEngine(), TorchEngine("cpu")):
        model = prepare(engine, bundle, TRAINED)
        works = []
        for number, spectrum in enumerate(measured):
            incoming = Incoming(topic="", payload=b"", qos=1, retain=False)
            request = side.request(spectrum, number, split=split)
            works.append(check_request(request, incoming, {bundle.bundle_id: model}.get))
        found = {
            task.work.key.sequence: (answer.label, answer.exit_index, task.macs)
            for task, answer in answers_of(engine, works)
        }
        assert [found[n] for n in range(30)] == [(answer.label, answer.exit_index, answer.macs) for answer in expected]


@pytest.mark.parametrize("engine", [OnnxEngine(), TorchEngine("cpu")], ids=lambda engine: engine.name)
def test_the_self_test_passes_with_the_engine_that_serves(engine: Engine, network_bundle: Bundle) -> None:
    model = prepare(engine, network_bundle, Path("x"), max_batch=4)
    assert 0 <= model.deviation < 1e-4


def test_a_gateway_with_the_torch_engine_answers(network_bundle_path: Path, broker: Broker) -> None:
    side = DeviceSide(network_bundle_path)
    measured = network_spectra(20, seed=5)
    store = network_bundle_path.parents[2]
    with GatewayProcess(store, broker, "--engine", "torch") as gateway, DeviceEnd(broker) as device:
        assert gateway.ready["engine"] == "torch-cpu"
        results = device.ask(*(side.request(x, i) for i, x in enumerate(measured)))
    expected = [side.expected(x) for x in measured]
    assert [(r.label, r.exit_index, r.macs) for r in results] == [(e.label, e.exit_index, e.macs) for e in expected]
    assert {r.exit_index for r in results} == {2, 3}


def test_a_bundle_whose_self_test_fails_is_unloaded(tmp_path: Path) -> None:
    make_bundle(tmp_path / "a.specnet", selftest_error=0.01)
    bundle, engine = read_bundle(tmp_path / "a.specnet"), OnnxEngine()
    with pytest.raises(BundleIntegrityError, match=r"deviates by 1.00e-02, allowed 1e-04"):
        prepare(engine, bundle, tmp_path)
    with pytest.raises(ModelError, match="is not loaded"):
        engine.run(bundle.bundle_id, 1, spectra(1)[..., np.newaxis])


def test_weights_that_are_no_network_are_refused_by_torch(tmp_path: Path) -> None:
    make_bundle(tmp_path / "a.specnet")
    with pytest.raises(ModelError):
        TorchEngine("cpu").load(read_bundle(tmp_path / "a.specnet"))


def test_an_engine_that_was_not_given_the_bundle_says_so() -> None:
    with pytest.raises(ModelError, match="bundle abc is not loaded"):
        TorchEngine("cpu").run("abc", 1, spectra(1)[..., np.newaxis])


def test_the_device_chooses_the_engine() -> None:
    assert create_engine(EngineSettings()).name == "onnxruntime"
    assert create_engine(EngineSettings(engine="torch")).name == "torch-cpu"
    with pytest.raises(ConfigurationError, match="engine 'onnxruntime' on device 'cuda'"):
        create_engine(EngineSettings(device="cuda", engine="onnxruntime"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named() -> None:
    with pytest.raises(ConfigurationError, match="finds no CUDA GPU"):
        create_engine(EngineSettings(device="cuda"))


def test_a_missing_torch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_torch(name: str, *rest: object, **more: object) -> object:
        if name == "torch":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(ConfigurationError, match="not installed"):
        TorchEngine("cpu")
