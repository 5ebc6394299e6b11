"""What must hold for each registered baseline."""

from __future__ import annotations

import numpy as np
import pytest

from specnet.baselines import TrainingSpectra, candidate_pipelines, choose, create_baseline, list_baselines, measure_us
from specnet.errors import ConfigurationError, DatasetError
from specnet.preprocessing import pipeline_preset


def fitted(name, axis, part, n_classes, seed=0):
    """The classifier of the first setting, on SNV spectra, with its data."""
    spectra = pipeline_preset("snv", axis).bind(axis)(part.intensity)
    data = TrainingSpectra(spectra, part.labels, n_classes, seed)
    baseline = create_baseline(name)
    settings = list(baseline.settings(data))
    return dict(enumerate(classifier for _, classifier in baseline.fit(data, settings[-1:])))[0], data


@pytest.fixture(params=list_baselines())
def name(request):
    return request.param


def test_learns_bands_that_a_linear_model_tells_apart(name, axis, make_part):
    choice = choose(create_baseline(name), axis, make_part(0), make_part(1, per_class=4), n_classes=4, seed=0)
    test = make_part(2)
    scores = choice.classifier.scores(choice.pipeline.bind(axis)(test.intensity))
    assert scores.shape == (48, 4)
    assert np.isfinite(scores).all()
    assert (scores.argmax(axis=1) == test.labels).mean() > 0.9
    assert choice.preprocessing in candidate_pipelines(axis)
    assert choice.tried >= len(candidate_pipelines(axis)) - len(choice.left_out)


def test_a_class_without_training_spectra_is_never_answered(name, axis, make_part):
    part = make_part(0)
    present = part.labels != 1
    kept = type(part)(part.intensity[present], part.labels[present])
    classifier, _ = fitted(name, axis, kept, 6)
    spectra = pipeline_preset("snv", axis).bind(axis)(part.intensity)
    scores = classifier.scores(spectra)
    assert scores.shape == (48, 6)
    answers = scores.argmax(axis=1)
    assert set(answers) <= {0, 2, 3}
    assert (answers == part.labels)[present].mean() > 0.9


def test_two_classes_are_enough_and_one_is_not(name, axis, make_part):
    classifier, data = fitted(name, axis, make_part(0, n_classes=2), 2)
    assert (classifier.scores(data.spectra).argmax(axis=1) == data.labels).mean() > 0.9
    with pytest.raises(DatasetError, match="all 24 training spectra are of one class"):
        TrainingSpectra(data.spectra, np.zeros(24, np.int64), 2)


def test_the_timed_call_gives_the_answer_that_the_scores_give(name, axis, make_part):
    classifier, data = fitted(name, axis, make_part(0, noise=0.4), 4)
    call = classifier.single()
    answers = [np.asarray(call(data.spectra[i : i + 1])).ravel() for i in range(len(data.labels))]
    answers = [int(answer.argmax()) if answer.size > 1 else int(answer[0]) for answer in answers]
    expected = classifier.scores(data.spectra).argmax(axis=1)
    assert (np.array(answers) == expected).mean() > 0.95  # rounding may turn a tie


def test_macs_and_microseconds_are_positive_numbers(name, axis, make_part):
    classifier, data = fitted(name, axis, make_part(0), 4)
    assert classifier.macs > 0
    assert measure_us(classifier, data.spectra[:2]) > 0
    assert classifier.runtime


def test_the_same_seed_gives_the_same_scores(name, axis, make_part):
    first, data = fitted(name, axis, make_part(0), 4, seed=7)
    second, _ = fitted(name, axis, make_part(0), 4, seed=7)
    np.testing.assert_array_equal(first.scores(data.spectra), second.scores(data.spectra))


def test_an_unknown_baseline_names_the_known_ones():
    with pytest.raises(ConfigurationError, match="unknown baseline 'oracle'; known: pls_da, ridge"):
        create_baseline("oracle")
