from __future__ import annotations

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from device.classifier import LocalAnswer, LocalClassifier, Rejection
from device.spectrometers.axis import PixelAxis
from specnet.bundle import Bundle
from specnet.errors import AxisError, ConfigurationError
from specnet.exits import NEVER, route
from specnet.preprocessing import Pipeline
from specnet.runtime import Predictor, Segments
from specnet.spectra import SpectralAxis


def pixels_of(axis: SpectralAxis) -> PixelAxis:
    return PixelAxis(axis, np.arange(axis.n_points))


def classifier(bundle: Bundle, split: int, **options: float) -> LocalClassifier:
    return LocalClassifier(bundle, pixels_of(bundle.source_axis), split, **options)


def answer(local: LocalClassifier, counts: NDArray[np.uint16]) -> LocalAnswer:
    result = local.classify(counts)
    assert isinstance(result, LocalAnswer)
    return result


def test_with_all_segments_the_answers_are_those_of_the_whole_network(
    bundle: Bundle, intensity: NDArray[np.uint16]
) -> None:
    spectra = intensity[:40]
    expected = Predictor(bundle).predict(spectra)
    local = classifier(bundle, bundle.manifest.n_stages)
    answers = [answer(local, row) for row in spectra]
    assert all(a.confident for a in answers)
    assert [a.label for a in answers] == expected.labels.tolist()
    assert [a.exit_index for a in answers] == expected.exit_index.tolist()
    assert [a.macs for a in answers] == expected.macs.tolist()
    np.testing.assert_allclose([a.probability for a in answers], expected.probabilities.max(axis=1), atol=1e-4)
    assert len(set(expected.exit_index.tolist())) > 1, "the fixture should use more than one exit"


@pytest.mark.parametrize("split", [0, 1])
def test_what_is_not_confident_at_the_split_hands_on_features_and_state(
    bundle: Bundle, intensity: NDArray[np.uint16], split: int
) -> None:
    policy = bundle.manifest.policy
    spectra = bundle.pipeline.bind(bundle.source_axis)(intensity[:40])
    logits, _ = Segments(bundle).run_all(spectra)
    exits = route(policy, logits).exit_index
    local = classifier(bundle, split)
    answers = [answer(local, row) for row in intensity[:40]]
    assert [a.confident for a in answers] == [left <= split for left in exits]
    uncertain = [(row, a) for row, a in enumerate(answers) if not a.confident]
    assert uncertain, "the fixture should have uncertain spectra"
    rest = Segments(bundle, range(split + 1, len(bundle.manifest.segments)))
    for row, a in uncertain[:5]:
        assert a.features is not None
        assert a.features.shape == bundle.manifest.split_shape(split)
        output = rest.run(split + 1, a.features[np.newaxis])
        np.testing.assert_allclose(output.logits[0], logits[split + 1, row], atol=1e-3)
        decision = policy.decide(split + 1, output.logits, a.state[np.newaxis])
        whole = route(policy, logits[:, row : row + 1]).all_probabilities[split + 1, 0]
        np.testing.assert_allclose(decision.probabilities[0], whole, atol=1e-3)


def test_a_segment_that_is_not_needed_is_not_run(bundle: Bundle, intensity: NDArray[np.uint16]) -> None:
    local = classifier(bundle, bundle.manifest.n_stages)
    for a in (answer(local, row) for row in intensity[:20]):
        assert len(a.segment_us) == a.exit_index + 1
        assert sum(a.segment_us) <= a.total_us


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda s: np.where(np.arange(s.size) == 3, np.nan, s), "NaN"),
        (lambda s: np.zeros_like(s), "zero"),
        (lambda s: np.where(np.arange(s.size) == 3, 65_535, s), "saturated"),
        (lambda s: s[:-1], "expected"),
        (lambda s: np.append(s, 1), "expected"),
        (lambda s: np.where(np.arange(s.size) == 3, np.inf, s), "NaN"),
    ],
)
def test_what_cannot_be_judged_is_rejected_with_its_reason(
    bundle: Bundle, intensity: NDArray[np.uint16], spoil: object, reason: str
) -> None:
    assert callable(spoil)
    local = classifier(bundle, 0, full_scale=65_535.0)
    rejection = local.classify(spoil(intensity[0].astype(np.float64)))
    assert isinstance(rejection, Rejection)
    assert reason in rejection.reason


def test_pixels_in_reverse_are_put_in_order(bundle: Bundle, intensity: NDArray[np.uint16]) -> None:
    axis = bundle.source_axis
    turned = LocalClassifier(bundle, PixelAxis(axis, np.arange(axis.n_points)[::-1]), bundle.manifest.n_stages)
    straight = classifier(bundle, bundle.manifest.n_stages)
    assert answer(turned, intensity[0][::-1]).probability == answer(straight, intensity[0]).probability


def test_operating_points_of_the_bundle_can_be_chosen(bundle: Bundle, intensity: NDArray[np.uint16]) -> None:
    manifest = bundle.manifest
    never = msgspec.structs.replace(manifest.policy, thresholds=(NEVER,) * manifest.policy.n_exits)
    changed = msgspec.structs.replace(manifest, operating_points={"careful": never, "default": never})
    local = classifier(Bundle(changed, bundle.axis, bundle.source_axis, bundle.pipeline, bundle.files), 0)
    local.use_operating_point("careful")
    assert not any(answer(local, row).confident for row in intensity[:10])
    local.use_operating_point("default")
    assert local.policy == manifest.policy
    with pytest.raises(ConfigurationError, match="'bold'; this bundle has default, careful"):
        local.use_operating_point("bold")


def test_a_split_that_the_bundle_does_not_have(bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match=f"0 to {bundle.manifest.n_stages}"):
        classifier(bundle, bundle.manifest.n_stages + 1)


def test_a_spectrometer_that_does_not_cover_the_model(bundle: Bundle) -> None:
    axis = bundle.source_axis
    grid = {"quantity": axis.quantity, "unit": axis.unit, "values": bundle.axis.values.tolist()}
    resampling = Pipeline.from_list([{"step": "resample", **grid}])
    half = SpectralAxis(axis.values[: axis.n_points // 2], axis.quantity, axis.unit)
    with pytest.raises(AxisError):
        LocalClassifier(Bundle(bundle.manifest, bundle.axis, axis, resampling, bundle.files), pixels_of(half), 0)
