"""What every registered step must do, whatever it computes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from specnet.errors import ConfigurationError, SpectrumError
from specnet.preprocessing import (
    STEPS,
    Absorbance,
    Autoscale,
    Compress,
    Crop,
    Despike,
    Normalise,
    Pipeline,
    PolynomialBaseline,
    Resample,
    SavitzkyGolay,
    SnipBaseline,
    StandardNormalVariate,
    Step,
    list_steps,
)
from specnet.spectra import SpectralAxis

GRID = {"quantity": "raman_shift", "unit": "1/cm"}
EXAMPLES: dict[str, list[Step]] = {
    "absorbance": [Absorbance(), Absorbance(floor=0.01)],
    "autoscale": [Autoscale(mean=tuple(float(i % 5) for i in range(401)), scale=(2.0,) * 401)],
    "compress": [Compress(), Compress(level=3.0)],
    "crop": [Crop(start=400.0, stop=1200.0), Crop(start=500.0)],
    "despike": [Despike()],
    "normalise": [Normalise(norm="vector"), Normalise(norm="area"), Normalise(norm="max")],
    "polynomial_baseline": [PolynomialBaseline(), PolynomialBaseline(method="least_squares", degree=2)],
    "resample": [
        Resample(start=250.0, stop=1750.0, points=600, **GRID),
        Resample(start=250.0, stop=1750.0, points=600, method="cubic", **GRID),
        Resample(start=250.0, stop=1750.0, points=100, **GRID),
        Resample(values=(300.0, 301.5, 310.0, 900.0), **GRID),
    ],
    "savitzky_golay": [SavitzkyGolay(), SavitzkyGolay(window=9, degree=3, derivative=2)],
    "snip_baseline": [SnipBaseline(half_width=60.0), SnipBaseline(half_width=60.0, log_scale=True, decreasing=False)],
    "snv": [StandardNormalVariate()],
}
every_step = pytest.mark.parametrize(
    "step", [pytest.param(step, id=repr(step)[:60]) for steps in EXAMPLES.values() for step in steps]
)


def test_the_examples_cover_the_registry() -> None:
    assert sorted(EXAMPLES) == list_steps()
    assert all(type(step) is STEPS[name] for name, steps in EXAMPLES.items() for step in steps)


@every_step
def test_the_input_is_left_untouched(step: Step, axis: SpectralAxis, spectra: NDArray[np.float32]) -> None:
    spectra[2, 100] += 9000  # a spike, so that despiking has something to write
    before = spectra.copy()
    result = Pipeline((step,)).bind(axis)(spectra)
    result += 1
    np.testing.assert_array_equal(spectra, before)


@every_step
def test_read_only_spectra_are_accepted(step: Step, axis: SpectralAxis, spectra: NDArray[np.float32]) -> None:
    spectra[2, 100] += 9000
    bound = Pipeline((step,)).bind(axis)
    expected = bound(spectra)
    spectra.flags.writeable = False
    np.testing.assert_array_equal(bound(spectra), expected)


@every_step
def test_lists_and_integers_give_the_same(step: Step, axis: SpectralAxis, spectra: NDArray[np.float32]) -> None:
    bound = Pipeline((step,)).bind(axis)
    expected = bound(spectra)
    np.testing.assert_array_equal(bound(spectra.tolist()), expected)
    np.testing.assert_array_equal(bound(spectra.astype(np.uint16)), expected)


@every_step
def test_one_spectrum_and_many_agree(step: Step, axis: SpectralAxis, spectra: NDArray[np.float32]) -> None:
    spectra[2, 100] += 9000
    bound = Pipeline((step,)).bind(axis)
    many = bound(spectra)
    assert many.shape == (7, bound.axis.n_points)
    for row, expected in zip(spectra, many, strict=True):
        one = bound(row)
        assert one.shape == (bound.axis.n_points,)
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@every_step
def test_the_result_is_single_precision_finite_and_repeatable(
    step: Step, axis: SpectralAxis, spectra: NDArray[np.float32]
) -> None:
    first = Pipeline((step,)).bind(axis)(spectra)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(Pipeline((step,)).bind(axis)(spectra), first)


@every_step
def test_no_spectra_give_no_spectra(step: Step, axis: SpectralAxis) -> None:
    bound = Pipeline((step,)).bind(axis)
    assert bound(np.zeros((0, axis.n_points))).shape == (0, bound.axis.n_points)


@every_step
def test_the_axis_keeps_its_quantity_and_unit(step: Step, axis: SpectralAxis) -> None:
    after = step.bind(axis).axis
    assert (after.quantity, after.unit) == (axis.quantity, axis.unit)


@every_step
def test_a_step_survives_json(step: Step) -> None:
    pipeline = Pipeline((step,))
    document = json.loads(json.dumps(pipeline.to_list()))
    assert Pipeline.from_list(document) == pipeline
    assert set(document[0]) == {"step", *step.__struct_fields__}


@every_step
def test_another_length_is_refused_with_both_lengths(step: Step, axis: SpectralAxis) -> None:
    bound = Pipeline((step,)).bind(axis)
    with pytest.raises(SpectrumError, match="got 400 points, expected 401"):
        bound(np.ones(400))


@every_step
def test_nan_is_refused(step: Step, axis: SpectralAxis, spectra: NDArray[np.float32]) -> None:
    spectra[3, 5] = np.nan
    with pytest.raises(SpectrumError, match="NaN"):
        Pipeline((step,)).bind(axis)(spectra)


@every_step
def test_an_unknown_field_is_named(step: Step) -> None:
    document = Pipeline((step,)).to_list()
    document[0]["colour"] = "red"
    with pytest.raises(ConfigurationError, match="colour"):
        Pipeline.from_list(document)


@pytest.mark.parametrize(
    ("step_class", "field", "value"),
    [
        (Absorbance, "floor", -1.0),
        (Compress, "level", 0.0),
        (Crop, "start", float("nan")),
        (Despike, "threshold", 0.0),
        (Despike, "threshold", "7"),
        (Despike, "width", 0),
        (Despike, "window", 2.5),
        (Despike, "passes", True),
        (Normalise, "norm", "sum"),
        (PolynomialBaseline, "degree", -1),
        (PolynomialBaseline, "method", "spline"),
        (PolynomialBaseline, "max_iterations", 10**9),
        (PolynomialBaseline, "tolerance", float("inf")),
        (SavitzkyGolay, "window", 10),
        (SavitzkyGolay, "window", 10**6 + 1),
        (SavitzkyGolay, "degree", 12),
        (SavitzkyGolay, "derivative", 3),
        (SnipBaseline, "half_width", -1.0),
    ],
)
def test_a_value_out_of_range_is_named_in_python_and_in_json(step_class: type[Step], field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"{field}.*{value}"):
        step_class(**{field: value})
    name = next(name for name, known in STEPS.items() if known is step_class)
    with pytest.raises(ConfigurationError, match=rf"step 1.*{name}.*{field}"):
        Pipeline.from_list([{"step": name, field: value}])
