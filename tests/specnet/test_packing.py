"""From a run to a bundle: torch, ONNX Runtime, the device and a gateway that continues say the same."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort
import pytest
import torch
from support_trained import Trained

from specnet.bundle import read_bundle
from specnet.calibration import read_calibration
from specnet.codec import decode_features, encode_features
from specnet.datasets import Holdout, read_spectra, write_spectra
from specnet.errors import BundleIntegrityError, ConfigurationError, DatasetError, ModelError
from specnet.exits import NEVER, ExitPolicy, route
from specnet.manifest import WEIGHTS
from specnet.nn import load_weights
from specnet.packing import pack
from specnet.runtime import Segments, load_bundle, self_test
from specnet.training import load_run

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_manifest_says_what_the_run_says(trained: Trained, packed: Path) -> None:
    bundle, run = read_bundle(packed), trained.run
    manifest = bundle.manifest
    calibration = read_calibration(run.calibration_path)
    assert (manifest.name, manifest.version, manifest.classes) == ("minerals", 1, run.classes)
    assert (bundle.axis, bundle.source_axis) == (run.axis, run.source_axis)
    assert bundle.pipeline.to_list() == run.pipeline.to_list()
    assert manifest.policy == calibration.policy
    assert manifest.operating_points == calibration.operating_points
    assert manifest.intensity_unit == run.intensity_unit
    assert manifest.codecs == {"0": "raw", **{str(k): "int8" for k in range(1, manifest.n_stages)}}
    assert manifest.provenance["data_sha256"] == run.provenance["data_sha256"]
    assert "data_path" not in manifest.provenance  # folders of the training machine stay there
    assert [segment.fixed_macs for segment in manifest.segments] == run.network.fixed_macs()


def test_self_test_vectors_have_every_class_and_pass(trained: Trained, packed: Path) -> None:
    bundle = read_bundle(packed)
    vectors = bundle.selftest()
    assert vectors["logits"].shape == (4, len(trained.run.classes), len(trained.run.classes))
    assert self_test(Segments(bundle)) <= bundle.manifest.selftest_tolerance


def test_weights_in_the_bundle_are_the_network(trained: Trained, packed: Path) -> None:
    bundle = read_bundle(packed)
    network = load_weights(bundle.manifest.architecture, bundle.files[WEIGHTS])
    for name, tensor in trained.run.network.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name


def test_torch_onnx_runtime_predictor_and_device_agree_on_every_class(trained: Trained, packed: Path) -> None:
    from device.classifier import LocalAnswer, LocalClassifier
    from device.spectrometers.axis import PixelAxis

    table = read_spectra(trained.data)
    assert table.labels is not None
    rows = np.concatenate([np.flatnonzero(table.labels == label)[:3] for label in range(6)])
    raw = table.intensity[rows]
    predictor = load_bundle(packed)
    manifest = predictor.bundle.manifest
    spectra = trained.run.pipeline.bind(table.axis)(raw)
    with torch.no_grad():
        outputs = trained.run.network(torch.from_numpy(spectra)[:, None])
    expected = torch.stack(outputs.logits).numpy()
    found, depths = predictor.segments.run_all(spectra)
    np.testing.assert_allclose(found, expected, atol=manifest.selftest_tolerance)
    for depth, ours in zip(depths[1:], outputs.depths, strict=True):
        if depth is None:  # a settled stage has no gates left
            assert not ours.any()
        else:
            np.testing.assert_array_equal(depth, ours.numpy())

    # softened, because an exit that is certain of every spectrum has no median to divide them at
    middle = ExitPolicy(temperatures=(50.0,) * 4, thresholds=(NEVER,) * 4)
    scores = route(middle, expected).all_scores
    # thresholds at medians, so that every exit has spectra
    policy = msgspec.structs.replace(middle, thresholds=(*(float(np.median(s)) for s in scores[:3]), 0.0))
    routing = route(policy, expected)
    assert len(np.unique(routing.exit_index)) >= 2
    prediction = type(predictor)(predictor.bundle, policy=policy).predict(raw, table.axis)
    np.testing.assert_array_equal(prediction.exit_index, routing.exit_index)
    np.testing.assert_allclose(prediction.probabilities, routing.probabilities, atol=1e-4)

    bundle = replace(predictor.bundle, manifest=msgspec.structs.replace(manifest, policy=policy))
    device = LocalClassifier(bundle, PixelAxis(table.axis, np.arange(table.axis.n_points)), manifest.n_stages)
    for row, spectrum in enumerate(raw):
        answer = device.classify(spectrum)
        assert isinstance(answer, LocalAnswer)
        assert (answer.exit_index, answer.macs) == (prediction.exit_index[row], prediction.macs[row])
        assert answer.class_name == prediction.names[row]
        assert answer.probability == pytest.approx(routing.probabilities[row].max(), abs=1e-4)


@pytest.mark.parametrize("split", [0, 1, 2])
def test_a_gateway_that_continues_gives_the_answer_of_the_whole_network(
    trained: Trained, packed: Path, split: int
) -> None:
    bundle = read_bundle(packed)
    manifest, segments = bundle.manifest, Segments(bundle)
    front, back = Segments(bundle, range(split + 1)), Segments(bundle, range(split + 1, 4))
    table = read_spectra(trained.data)
    spectra = bundle.pipeline.bind(table.axis)(table.intensity[::40])
    whole, _ = segments.run_all(spectra)
    policy = ExitPolicy(temperatures=manifest.policy.temperatures, thresholds=(NEVER,) * 4)
    for row, spectrum in enumerate(spectra):
        features, state = spectrum[None, :, None], policy.initial_state(1, 6)
        for index in range(4):
            output = (front if index <= split else back).run(index, features)
            np.testing.assert_allclose(output.logits[0], whole[index, row], atol=manifest.selftest_tolerance)
            state = policy.decide(index, output.logits, state).state
            features = features if output.features is None else output.features
            if index == split:  # over the air: the plain codec loses nothing
                shape = manifest.split_shape(split)
                features = decode_features(encode_features("float32", features[0]), shape)[None]
        np.testing.assert_allclose(state[0], _sum_of_logs(policy, whole[:, row]), atol=1e-3)


def _sum_of_logs(policy: ExitPolicy, logits: np.ndarray) -> np.ndarray:
    tempered = logits / np.array(policy.temperatures)[:, None]
    return (tempered - np.log(np.exp(tempered).sum(axis=1, keepdims=True))).sum(axis=0)


def test_the_fastest_form_gives_the_same_answers(trained: Trained, packed: Path, tmp_path: Path) -> None:
    pack(trained.run, trained.data, tmp_path / "fastest.specnet", name="minerals", fastest=True)
    one, other = load_bundle(packed), load_bundle(tmp_path / "fastest.specnet")
    spectra = read_spectra(trained.data).intensity[::7]
    first, second = one.predict(spectra), other.predict(spectra)
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.exit_index, second.exit_index)
    assert (second.macs >= first.macs).all()


def test_packing_the_same_run_again_changes_the_date_alone(trained: Trained, packed: Path, tmp_path: Path) -> None:
    pack(trained.run, trained.data, tmp_path / "again.specnet", name="minerals")
    one, two = (
        msgspec.structs.replace(read_bundle(path).manifest, created="", bundle_id="")
        for path in (packed, tmp_path / "again.specnet")
    )
    assert one == two


def test_a_bundle_loads_where_only_onnx_runtime_is(packed: Path) -> None:
    for name, data in read_bundle(packed).files.items():
        if name.endswith(".onnx"):
            session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
            assert [item.name for item in session.get_inputs()] == ["features"]


def test_options_out_of_range_are_refused_before_anything_is_written(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "x.specnet"
    for name in ("a b", "../up", "x" * 65, "ä"):
        with pytest.raises(ConfigurationError, match="a model's name is 1 to 64 of letters"):
            pack(trained.run, trained.data, out, name=name)
    with pytest.raises(ConfigurationError, match="a version is at least 1, got 0"):
        pack(trained.run, trained.data, out, version=0)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_calibration_or_data_cannot_be_packed(trained: Trained, tmp_path: Path) -> None:
    folder = shutil.copytree(trained.run.path, tmp_path / "run")
    (folder / "calibration.json").unlink()
    with pytest.raises(ModelError, match="cannot read calibration"):
        pack(load_run(folder), trained.data, tmp_path / "x.specnet")
    with pytest.raises(DatasetError, match=r"missing\.h5"):
        pack(trained.run, tmp_path / "missing.h5", tmp_path / "x.specnet")
    assert not (tmp_path / "x.specnet").exists()


def test_data_on_another_axis_give_no_self_test(trained: Trained, tmp_path: Path) -> None:
    from specnet.spectra import SpectralAxis

    table = read_spectra(trained.data)
    axis = SpectralAxis(table.axis.values + 0.5, table.axis.quantity, table.axis.unit)
    other = write_spectra(tmp_path / "other.h5", replace(table, axis=axis))
    with pytest.raises(ConfigurationError, match="this one has another axis"):
        pack(trained.run, other, tmp_path / "x.specnet")


def test_a_network_that_exports_to_something_else_is_never_written(
    trained: Trained, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from specnet import packing
    from specnet.export import export_segments

    run = load_run(trained.run.path)
    good = export_segments(run.network)
    with torch.no_grad():
        run.network.head(2).get_parameter("classify.bias").add_(1.0)
    wrong = export_segments(run.network)
    monkeypatch.setattr(packing, "export_segments", lambda network, forms: [*good[:2], wrong[2], good[3]])
    out = tmp_path / "minerals.specnet"
    shutil.copy(packed, out)
    with pytest.raises(BundleIntegrityError, match=r"self-test of bundle .* deviates by"):
        pack(trained.run, trained.data, out)
    assert out.read_bytes() == packed.read_bytes()  # the one that was there stays
    assert [entry.name for entry in tmp_path.iterdir()] == ["minerals.specnet"]


def test_the_calibration_split_is_where_the_vectors_come_from(trained: Trained, packed: Path) -> None:
    table = read_spectra(trained.data)
    held = table.intensity[table.rows(Holdout.CALIBRATION)]
    for spectrum in read_bundle(packed).selftest()["intensity"]:
        assert (held == spectrum).all(axis=1).any()
