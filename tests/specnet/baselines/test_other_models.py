"""MACs of the baselines that are not linear, counted a second way; library search; a missing extra."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from specnet.baselines import TrainingSpectra, create_baseline
from specnet.baselines.convolution_kernels import SharedFeatures, hydra_macs, minirocket_macs
from specnet.errors import DatasetError


@pytest.fixture
def training() -> TrainingSpectra:
    generator = np.random.default_rng(0)
    return TrainingSpectra(generator.standard_normal((12, 64)).astype(np.float32), np.arange(12) % 3, 3)


def test_library_search_finds_every_spectrum_of_the_library_whatever_its_scale(training):
    ((_, search),) = create_baseline("nearest").fit(training, [{}])
    assert search.macs == 12 * 64 + 12
    scores = search.scores(7 * training.spectra)
    np.testing.assert_array_equal(scores.argmax(axis=1), training.labels)
    np.testing.assert_allclose(scores.max(axis=1), 1, atol=1e-5)
    graph = search.single()
    assert [int(graph(7 * s[np.newaxis])[0]) for s in training.spectra] == training.labels.tolist()


def test_support_vectors_are_counted_with_all_their_coefficients(training):
    ((_, machine),) = create_baseline("svm_rbf").fit(training, [{"penalty": 10.0, "width": 1.0}])
    vectors, coefficients = machine.model.support_vectors_, machine.model.dual_coef_
    assert machine.macs == vectors.size + coefficients.size


def test_minirocket_is_counted_step_by_step(training):
    ((_, classifier),) = create_baseline("minirocket").fit(training, [{"penalty": 1.0}])
    n_features, n_classes = classifier.head.weight.shape
    assert (n_features, n_classes) == (9996, 3)  # 84 kernels times 119
    rocket = create_baseline("minirocket")._make(random_state=0).fit(training.spectra[:, np.newaxis])
    _, _, dilations, per_dilation, biases = rocket.parameters
    assert 84 * per_dilation.sum() == len(biases) == n_features
    count = 0
    for position, (dilation, features) in enumerate(zip(dilations, per_dilation, strict=True)):
        count += (8 + 1) * 64  # sum of shifted copies, and three times the spectrum
        for kernel in range(84):
            count += 3 * 64
            padded = (position + kernel) % 2 == 0
            count += int(features) * (64 if padded else 64 - 8 * int(dilation))
    assert classifier.transform_macs == count == minirocket_macs(64, dilations.tolist(), per_dilation.tolist())
    assert classifier.macs == count + n_features * n_classes


def test_hydra_is_counted_by_its_convolutions(training):
    ((_, classifier),) = create_baseline("hydra").fit(training, [{"penalty": 1.0}])
    made = create_baseline("hydra")._make(random_state=0).fit(training.spectra[:, np.newaxis])._hydra
    per_dilation = made.W.shape[2]
    outputs = sum(per_dilation * (64 + 63) for _ in made.dilations)
    assert classifier.transform_macs == outputs * (9 + 2) == hydra_macs(64, len(made.dilations), per_dilation)
    # highest and lowest of each kernel, over spectrum and difference
    assert len(classifier.head.weight) == 4 * per_dilation * len(made.dilations)


def test_an_array_is_transformed_once_for_all_penalties(training):
    calls = []

    def transform(spectra):
        calls.append(len(spectra))
        return spectra

    features = SharedFeatures(transform)
    np.testing.assert_array_equal(features(training.spectra), training.spectra)
    np.testing.assert_array_equal(features(training.spectra), training.spectra)
    assert sum(calls) == 12
    np.testing.assert_array_equal(features(training.spectra[:5]), training.spectra[:5])
    assert sum(calls) == 17


@pytest.mark.parametrize("name", ["minirocket", "hydra"])
def test_spectra_shorter_than_a_kernel_are_refused(name, training):
    short = TrainingSpectra(training.spectra[:, :8], training.labels, 3)
    with pytest.raises(DatasetError, match="8 points, kernels of 9"):
        next(create_baseline(name).fit(short, [{"penalty": 1.0}]))


def test_without_the_extra_the_error_names_it(tmp_path):
    (tmp_path / "aeon.py").write_text("raise ModuleNotFoundError('no aeon here', name='aeon')")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from specnet.baselines import create_baseline
from specnet.errors import ConfigurationError
create_baseline('ridge')
try:
    create_baseline('minirocket')
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "aeon is not installed; pip install 'specnet-edge[benchmark]'\n"
