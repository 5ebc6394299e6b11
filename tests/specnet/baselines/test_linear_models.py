"""Linear baselines against scikit-learn, and their MACs and graphs."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Ridge

from specnet.baselines import TrainingSpectra, create_baseline
from specnet.baselines.linear import bin_widths
from specnet.baselines.ridge import PENALTIES, ridge_path


def data(n: int = 60, n_points: int = 40, n_classes: int = 3) -> TrainingSpectra:
    generator = np.random.default_rng(5)
    labels = np.arange(n) % n_classes
    spectra = generator.standard_normal((n, n_points)) + 0.5 * generator.standard_normal((n_classes, n_points))[labels]
    return TrainingSpectra(spectra.astype(np.float32), labels, n_classes)


@pytest.mark.parametrize(("n", "n_points"), [(60, 20), (20, 60)], ids=["tall", "wide"])
def test_the_ridge_path_is_ridge_regression_at_each_penalty(n, n_points):
    generator = np.random.default_rng(1)
    features, targets = generator.standard_normal((n, n_points)), generator.standard_normal((n, 3))
    features, targets = features - features.mean(axis=0), targets - targets.mean(axis=0)
    unit = (features**2).sum() / n_points
    for penalty, coefficients in ridge_path(features, targets, (1.0, 0.01, 1e-4)):
        expected = Ridge(alpha=penalty * unit, fit_intercept=False).fit(features, targets).coef_.T
        np.testing.assert_allclose(coefficients, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("n", "n_points"), [(60, 20), (20, 60)], ids=["tall", "wide"])
def test_large_matrices_give_the_same_path(n, n_points, monkeypatch):
    generator = np.random.default_rng(1)
    features, targets = generator.standard_normal((n, n_points)), generator.standard_normal((n, 3))
    by_vectors = dict(ridge_path(features, targets, (1.0, 0.01)))
    monkeypatch.setattr("specnet.baselines.ridge.LARGEST_DECOMPOSITION", 5)
    for penalty, coefficients in ridge_path(features, targets, (1.0, 0.01)):
        np.testing.assert_allclose(coefficients, by_vectors[penalty], rtol=1e-7, atol=1e-10)


def test_ridge_of_the_same_spectrum_again_and_again_stays_finite():
    one = data()
    same = TrainingSpectra(np.repeat(one.spectra[:1], 60, axis=0), one.labels, 3)
    settings = create_baseline("ridge").settings(same)
    assert len(settings) == 2 * len(PENALTIES)
    for _, classifier in create_baseline("ridge").fit(same, settings):
        assert np.isfinite(classifier.scores(same.spectra)).all()


def test_fewer_pls_components_are_the_beginning_of_more():
    training = data()
    fitted = {
        setting["components"]: classifier
        for setting, classifier in create_baseline("pls_da").fit(training, [{"components": 2}, {"components": 9}])
    }
    for components, classifier in fitted.items():
        model = PLSRegression(components, scale=False).fit(training.spectra.astype(float), np.eye(3)[training.labels])
        np.testing.assert_allclose(
            classifier.scores(training.spectra), model.predict(training.spectra.astype(float)), atol=2e-4
        )


@pytest.mark.parametrize("name", ["pls_da", "ridge", "logistic", "lda"])
def test_macs_are_one_for_each_weight_and_the_graph_computes_the_scores(name):
    training = data(n_points=150)
    baseline = create_baseline(name)
    for setting, classifier in baseline.fit(training, baseline.settings(training)):
        width = int(setting.get("bin", 1))
        bins = 150 // width
        assert classifier.macs == 3 * bins + (bins * width if width > 1 else 0)
        session = ort.InferenceSession(classifier.onnx(), providers=["CPUExecutionProvider"])
        (scores,) = session.run(None, {"features": training.spectra[..., np.newaxis]})
        np.testing.assert_allclose(scores, classifier.scores(training.spectra), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("n_points", "widths"), [(20, [1]), (102, [2, 1]), (1000, [4, 2]), (1697, [8, 4]), (60000, [118])]
)
def test_bins_leave_a_covariance_that_can_be_estimated(n_points, widths):
    assert bin_widths(n_points) == widths
