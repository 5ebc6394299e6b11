from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from specnet.errors import AxisError, ConfigurationError, SpectrumError
from specnet.preprocessing import (
    Crop,
    Normalise,
    Pipeline,
    SavitzkyGolay,
    SnipBaseline,
    StandardNormalVariate,
    Step,
    pipeline_preset,
    register_step,
)
from specnet.preprocessing.pipeline import BLOCK_POINTS
from specnet.spectra import SpectralAxis


def test_steps_run_in_order_on_the_axis_that_reaches_them(axis: SpectralAxis, spectra: NDArray[np.float32]) -> None:
    crop, scale = Crop(start=400.0, stop=800.0), Normalise(norm="max")
    bound = Pipeline((crop, scale)).bind(axis)
    inside = (axis.values >= 400) & (axis.values <= 800)
    np.testing.assert_array_equal(bound.axis.values, axis.values[inside])
    expected = spectra[:, inside] / spectra[:, inside].max(axis=1, keepdims=True)
    np.testing.assert_allclose(bound(spectra), expected, rtol=1e-6)
    assert not np.allclose(Pipeline((scale, crop)).bind(axis)(spectra), expected)


def test_no_steps_give_a_copy(axis: SpectralAxis, spectra: NDArray[np.float32]) -> None:
    bound = Pipeline().bind(axis)
    result = bound(spectra)
    assert bound.axis == axis
    np.testing.assert_array_equal(result, spectra)
    assert not np.shares_memory(result, spectra)


def test_blocks_do_not_show_in_the_result(axis: SpectralAxis, spectra: NDArray[np.float32]) -> None:
    rows = BLOCK_POINTS // axis.n_points + 3
    many = np.resize(spectra, (2 * rows, axis.n_points))
    bound = pipeline_preset("raman", axis).bind(axis)
    np.testing.assert_array_equal(bound(many), np.resize(bound(spectra), many.shape))


def test_bulk_runs_need_little_more_memory_than_their_result(axis: SpectralAxis, spectra: NDArray[np.float32]) -> None:
    many = np.resize(spectra, (8000, axis.n_points))
    bound = pipeline_preset("raman", axis).bind(axis)
    bound(spectra)
    tracemalloc.start()
    result = bound(many)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < result.nbytes + 8e6


def test_more_than_two_dimensions_are_refused(axis: SpectralAxis) -> None:
    with pytest.raises(SpectrumError, match=r"got shape \(1, 1, 401\)"):
        Pipeline().bind(axis)(np.ones((1, 1, axis.n_points)))


def test_overflow_of_single_precision_is_an_error_and_not_infinity(axis: SpectralAxis) -> None:
    huge = np.where(np.arange(axis.n_points) % 7 < 3, 3.4e38, -3.4e38).astype(np.float32)
    with pytest.raises(SpectrumError, match="overflow"):
        Pipeline((SavitzkyGolay(window=5, degree=4), SnipBaseline(half_width=20.0))).bind(axis)(huge)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("snv", "list of steps, got str"),
        ({"step": "snv"}, "list of steps, got dict"),
        (["snv"], "step 1 is an object with a name in 'step'"),
        ([{"name": "snv"}], "step 1 is an object with a name in 'step'"),
        ([{"step": ["snv"]}], "step 1 is an object"),
        (
            [{"step": "snv"}, {"step": "magic"}],
            r"step 2: unknown step 'magic'; known: absorbance,.*despike,.*snv",
        ),
        ([{"step": "snip_baseline"}], "missing required field `half_width`"),
        ([{"step": "normalise", "size": 1}], "its fields: norm"),
        ([{"step": "snv"}] * 33, "at most 32 steps, got 33"),
    ],
)
def test_a_damaged_document_is_refused_by_name(document: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Pipeline.from_list(document)  # type: ignore[arg-type]


def test_too_many_steps_and_things_that_are_no_steps_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="at most 32 steps, got 33"):
        Pipeline((StandardNormalVariate(),) * 33)
    with pytest.raises(ConfigurationError, match="step 2 is no step but str"):
        Pipeline((StandardNormalVariate(), "snv"))  # type: ignore[arg-type]


def test_an_axis_that_a_later_step_cannot_use_is_refused(axis: SpectralAxis) -> None:
    pipeline = Pipeline((Crop(start=400.0, stop=500.0), SnipBaseline(half_width=80.0)))
    with pytest.raises(AxisError, match=r"20 points at a step of 4; at most 12 fit into 26 points"):
        pipeline.bind(axis)


def test_two_steps_of_one_name_are_refused() -> None:
    class Other(Step, frozen=True, tag="snv"):
        pass

    with pytest.raises(ConfigurationError, match="two preprocessing steps are named 'snv'"):
        register_step(Other)
