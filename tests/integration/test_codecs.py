"""A spectrum from the device's classifier to the gateway's answer, with every codec that a bundle can name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="a bottleneck is trained here")

from support_gateway import answers_of, decoded

from device.classifier import LocalAnswer, LocalClassifier
from device.offloading import RequestMaker
from device.spectrometers.axis import PixelAxis
from gateway.engine import OnnxEngine
from gateway.intake import RefusedRequest, check_request, read_request
from gateway.models import prepare
from specnet.bundle import Bundle, read_bundle, write_bundle
from specnet.calibration import calibrate
from specnet.datasets import Holdout, SpectraTable, read_spectra, write_spectra
from specnet.datasets.simulation import PRESETS, simulate
from specnet.exits import NEVER
from specnet.mqtt import Incoming
from specnet.packing import pack
from specnet.runtime import Predictor
from specnet.spectra import SpectralAxis
from specnet.training import TrainConfig, train
from specnet.training.bottleneck_once import bottleneck_once
from specnet.training.bottleneck_recipe import BottleneckRecipe
from specnet.wire import Topics

TOPICS = Topics("lab", "probe-1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SpectraTable]:
    """A bundle in which nothing leaves before the last exit, with a bottleneck at split 1."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("codecs")
    table = simulate(replace(PRESETS["easy"], n_classes=6, n_points=300, spectra_per_class=40))
    data = write_spectra(folder / "minerals.h5", table)
    recipe = TrainConfig(preset="nano", preprocessing="snv", augmentation="light", additive=False, epochs=4)
    run = train(data, folder / "run", recipe)
    held = run.cache(data, Holdout.CALIBRATION)
    calibration = calibrate(held.logits)
    calibration.write(run.calibration_path)
    price = BottleneckRecipe(split=1, price=5e-4, epochs=12, batch_size=16)
    bottleneck_once(run, data, price, held, calibration.policy)
    pack(run, data, folder / "minerals.specnet")
    torch.set_num_threads(before)
    stored = read_spectra(data)
    return folder / "minerals.specnet", stored.select(stored.rows(Holdout.TEST))


def with_codecs(path: Path, codecs: dict[str, str], folder: Path) -> Bundle:
    """The same bundle with other codecs, and with exits that let nothing leave early."""
    bundle = read_bundle(path)
    closed = (NEVER,) * bundle.manifest.n_stages + (0.0,)
    policy = msgspec.structs.replace(bundle.manifest.policy, thresholds=closed)
    manifest = msgspec.structs.replace(bundle.manifest, codecs={**bundle.manifest.codecs, **codecs}, policy=policy)
    write_bundle(folder / "changed.specnet", manifest, bundle.files)
    return read_bundle(folder / "changed.specnet")


@pytest.mark.parametrize(
    ("split", "codec", "agreement", "largest"),
    [
        (0, "raw", 1.0, 900),
        (0, "float16", 0.99, 800),
        (1, "float32", 0.99, 20_000),
        (1, "int8", 0.95, 5_000),
        (1, "b1-0.0005", 0.85, 222),
    ],
)
def test_the_gateway_answers_what_one_machine_would(
    made: tuple[Path, SpectraTable], tmp_path: Path, split: int, codec: str, agreement: float, largest: int
) -> None:
    path, table = made
    bundle = with_codecs(path, {str(split): codec}, tmp_path)
    engine = OnnxEngine()
    model = prepare(engine, bundle, path)
    device = LocalClassifier(bundle, PixelAxis(bundle.source_axis, np.arange(300)), split)
    maker = RequestMaker(TOPICS, 1, bundle, 5.0, 262_144)
    expected = Predictor(bundle).predict(table.intensity).labels
    labels, sizes = [], []
    for row, counts in enumerate(table.intensity):
        answer = device.classify(counts)
        assert isinstance(answer, LocalAnswer)
        _, topic, payload = maker.make(row, answer, 0.0)
        incoming = Incoming(topic, payload, 1, False)
        work = check_request(read_request(incoming), incoming, {model.bundle_id: model}.get)
        [(_, final)] = answers_of(engine, [work])
        assert final.exit_index == bundle.manifest.n_stages
        labels.append(final.label)
        sizes.append(len(payload))
    assert np.mean(np.array(labels) == expected) >= agreement
    assert max(sizes) <= largest


def test_another_axis_sends_what_it_has_preprocessed(made: tuple[Path, SpectraTable], tmp_path: Path) -> None:
    """A raw spectrum means nothing without its axis, and the gateway knows one only."""
    path, table = made
    bundle = with_codecs(path, {"0": "raw"}, tmp_path)
    source = bundle.source_axis
    wider = SpectralAxis(source.values + 1e-3 * np.linspace(-1, 1, 300), source.quantity, source.unit)
    maker = RequestMaker(TOPICS, 1, bundle, 5.0, 262_144)
    used = []
    for axis in (source, wider):
        device = LocalClassifier(bundle, PixelAxis(axis, np.arange(300)), 0)
        answer = device.classify(table.intensity[0])
        assert isinstance(answer, LocalAnswer)
        _, topic, payload = maker.make(0, answer, 0.0)
        used.append(read_request(Incoming(topic, payload, 1, False)).features.codec)
    assert used == ["raw", "float16"]


@pytest.mark.parametrize("codec", ["raw", "b1-0.0005"])
def test_damage_on_the_way_is_answered_with_an_error(
    made: tuple[Path, SpectraTable], tmp_path: Path, codec: str
) -> None:
    path, table = made
    split = 0 if codec == "raw" else 1
    bundle = with_codecs(path, {str(split): codec}, tmp_path)
    engine = OnnxEngine()
    model = prepare(engine, bundle, path)
    device = LocalClassifier(bundle, PixelAxis(bundle.source_axis, np.arange(300)), split)
    answer = device.classify(table.intensity[0])
    assert isinstance(answer, LocalAnswer)
    _, topic, payload = RequestMaker(TOPICS, 1, bundle, 5.0, 262_144).make(0, answer, 0.0)
    fields = msgspec.msgpack.decode(payload)
    for place in (4, 5):  # features and state
        for byte in range(len(fields[place])):
            bad = bytearray(fields[place])
            bad[byte] ^= 0x41
            changed = msgspec.msgpack.encode([*fields[:place], bytes(bad), *fields[place + 1 :]])
            incoming = Incoming(topic, changed, 1, False)
            with pytest.raises(RefusedRequest, match="checksum") as refusal:
                decoded(check_request(read_request(incoming), incoming, {model.bundle_id: model}.get))
            assert refusal.value.reason == "features"
            assert refusal.value.request is not None
