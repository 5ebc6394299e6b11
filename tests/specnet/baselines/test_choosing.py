"""Preprocessing and setting come from the calibration part, fitting from the training part."""

from __future__ import annotations

import numpy as np
import pytest

from specnet.baselines import Part, candidate_pipelines, choose, create_baseline
from specnet.baselines.ridge import Ridge
from specnet.errors import DatasetError
from specnet.preprocessing import list_pipelines


class Recorder(Ridge):
    """Ridge that keeps how many spectra it was fitted on."""

    selection_spectra = 0

    def __init__(self):
        self.fits = []

    def fit(self, data, settings):
        self.fits.append((len(data.labels), len(settings)))
        return super().fit(data, settings)


def test_every_pipeline_that_differs_is_a_candidate_once(axis):
    candidates = candidate_pipelines(axis)
    assert "auto" not in candidates  # on this axis it is another preset under a second name
    assert set(candidates) < set(list_pipelines())
    plain = [str(pipeline.to_list()) for pipeline in candidates.values()]
    assert len(set(plain)) == len(plain)


def test_the_choice_is_the_best_on_the_calibration_part(axis, make_part):
    train, held = make_part(0, noise=0.5), make_part(1, noise=0.5)
    choice = choose(create_baseline("ridge"), axis, train, held, n_classes=4, seed=0)
    spectra = choice.pipeline.bind(axis)(held.intensity)
    accuracy = (choice.classifier.scores(spectra).argmax(axis=1) == held.labels).mean()
    assert choice.calibration_accuracy == pytest.approx(accuracy)
    # labels that contradict the training part turn the choice, so it is they that decide
    turned = Part(held.intensity, (held.labels + 1) % 4)
    other = choose(create_baseline("ridge"), axis, train, turned, n_classes=4, seed=0)
    assert (other.preprocessing, other.setting) != (choice.preprocessing, choice.setting)


def test_calibration_spectra_are_fitted_on_only_when_asked_for(axis, make_part):
    train, held = make_part(0), make_part(1, per_class=4)
    recorder = Recorder()
    choose(recorder, axis, train, held, n_classes=4, seed=0)
    assert {n for n, _ in recorder.fits} == {48}
    again = choose(recorder, axis, train, held, n_classes=4, seed=0, refit=True)
    assert recorder.fits[-1] == (64, 1)
    assert again.setting in create_baseline("ridge").settings(None)  # type: ignore[arg-type]


def test_a_slow_baseline_chooses_on_fewer_spectra_and_is_fitted_on_all(axis, make_part):
    recorder = Recorder()
    recorder.selection_spectra = 20  # type: ignore[misc]
    choose(recorder, axis, make_part(0), make_part(1), n_classes=4, seed=0)
    assert [n for n, _ in recorder.fits[:-1]] == [20] * (len(recorder.fits) - 1)
    assert recorder.fits[-1] == (48, 1)


def test_a_pipeline_that_cannot_be_used_is_left_out_and_named(axis, make_part):
    train, held = make_part(0), make_part(1)
    flat = np.ones_like(held.intensity[:1])  # nothing to scale by
    held = Part(np.concatenate([held.intensity, flat]), np.append(held.labels, 0))
    choice = choose(create_baseline("ridge"), axis, train, held, n_classes=4, seed=0)
    assert choice.preprocessing not in choice.left_out
    assert "snv" in choice.left_out


def test_spectra_that_no_pipeline_can_use_are_an_error(axis, make_part):
    part = make_part(0)
    broken = Part(np.full_like(part.intensity, np.nan), part.labels)
    with pytest.raises(DatasetError, match="no preprocessing can be used"):
        choose(create_baseline("ridge"), axis, broken, part, n_classes=4, seed=0)
