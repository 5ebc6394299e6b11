from __future__ import annotations

import numpy as np
import pytest
from scipy.special import voigt_profile

from specnet.datasets.simulation import load_minerals
from specnet.datasets.simulation.instrument import observe
from specnet.datasets.simulation.peaks import Bands, pseudo_voigt, pseudo_voigt_area, render, thompson_cox_hastings
from specnet.datasets.simulation.samples import Variation, orient, vary_samples

AXIS = np.linspace(0.0, 1600.0, 16_001)


def one_band(position=800.0, height=1.0, lorentzian=6.0, gaussian=0.0) -> Bands:
    return Bands(*(np.array([[value]], dtype=float) for value in (position, height, lorentzian, gaussian)))


def width_at_half_maximum(axis, profile) -> float:
    above = np.flatnonzero(profile >= 0.5 * profile.max())
    edges = []
    for inside, outside in ((above[0], above[0] - 1), (above[-1], above[-1] + 1)):
        part = (0.5 * profile.max() - profile[outside]) / (profile[inside] - profile[outside])
        edges.append(axis[outside] + part * (axis[inside] - axis[outside]))
    return edges[1] - edges[0]


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_pseudo_voigt_has_unit_height_the_asked_width_and_the_closed_form_area(eta):
    far = np.linspace(-40_000, 40_000, 1_600_001)
    profile = pseudo_voigt(far, np.array(8.0), np.array(eta))
    assert profile.max() == pytest.approx(1.0)
    assert width_at_half_maximum(far, profile) == pytest.approx(8.0, rel=1e-4)
    assert np.trapezoid(profile, far) == pytest.approx(pseudo_voigt_area(np.array(8.0), np.array(eta)), rel=1e-3)


def test_thompson_cox_hastings_is_exact_for_pure_lines():
    fwhm, eta = thompson_cox_hastings(np.array([7.0, 0.0]), np.array([0.0, 7.0]))
    np.testing.assert_allclose(fwhm, 7.0, rtol=1e-12)
    np.testing.assert_allclose(eta, [0.0, 1.0], atol=1e-12)


@pytest.mark.parametrize(("gaussian", "lorentzian"), [(2.0, 8.0), (5.0, 5.0), (8.0, 2.0)])
def test_thompson_cox_hastings_agrees_with_the_true_voigt_profile(gaussian, lorentzian):
    offset = np.linspace(-60, 60, 2401)
    true = voigt_profile(offset, gaussian / (2 * np.sqrt(2 * np.log(2))), lorentzian / 2)
    fwhm, eta = thompson_cox_hastings(np.array(gaussian), np.array(lorentzian))
    ours = pseudo_voigt(offset, fwhm, eta) / pseudo_voigt_area(fwhm, eta)
    assert np.abs(ours - true).max() < 0.015 * true.max()


def test_resolution_adds_to_a_gaussian_line_in_quadrature():
    line = one_band(lorentzian=1e-6, gaussian=3.0)
    seen = observe(line, AXIS, np.zeros(1), np.zeros(1), np.array([4.0]))
    assert seen.gaussian[0, 0] == pytest.approx(5.0)
    assert width_at_half_maximum(AXIS, render(seen, AXIS)[0].astype(float)) == pytest.approx(5.0, rel=1e-3)


def test_broadening_keeps_the_area_of_a_band_and_lowers_it():
    far = np.linspace(-20_000, 20_000, 400_001)
    sharp, coarse = (
        render(observe(one_band(0.0), far, np.zeros(1), np.zeros(1), np.array([fwhm])), far)[0] for fwhm in (0.0, 10.0)
    )
    assert sharp.max() == pytest.approx(1.0, abs=1e-4)
    assert coarse.max() < 0.6
    assert np.trapezoid(coarse, far) == pytest.approx(np.trapezoid(sharp, far), rel=2e-3)


@pytest.mark.parametrize("mineral", load_minerals(), ids=lambda mineral: mineral.name)
def test_strong_bands_of_each_mineral_appear_where_the_table_and_the_calibration_error_put_them(mineral):
    axis = np.linspace(100.0, 1500.0, 2801)
    offset, stretch = np.array([3.0]), np.array([-2.0])
    seen = observe(Bands.of_minerals([mineral]), axis, offset, stretch, np.array([0.5]))
    spectrum = render(seen, axis)[0]
    maxima = axis[1:-1][(spectrum[1:-1] > spectrum[:-2]) & (spectrum[1:-1] >= spectrum[2:])]
    neighbours = np.array([peak.position for peak in mineral.peaks])
    strong = [peak for peak in mineral.peaks if peak.intensity >= 0.5]
    assert strong
    for peak in strong:
        # two bands closer than their widths melt into one maximum between them
        close = np.abs(neighbours - peak.position) < 1.5 * peak.width
        tolerance = 1.0 if close.sum() == 1 else peak.width
        expected = peak.position + 3.0 - 2.0 * (peak.position - 800.0) / 700.0
        assert np.abs(maxima - expected).min() < tolerance, peak


def test_padding_adds_nothing():
    minerals = load_minerals()
    together = render(Bands.of_minerals(minerals), AXIS[::20])
    for row, mineral in enumerate(minerals):
        np.testing.assert_array_equal(together[row], render(Bands.of_minerals([mineral]), AXIS[::20])[0])


def test_samples_differ_in_position_and_width_with_the_asked_spread():
    bands = Bands.of_minerals(load_minerals()[:1]).take(np.zeros(4000, dtype=np.intp))
    varied = vary_samples(bands, Variation(0.8, 0.1, 4.0, 0.5), np.random.default_rng(1))
    moved = varied.position - bands.position
    assert moved.std() == pytest.approx(0.8 * np.sqrt(1 + 1 / 9), rel=0.05)
    assert np.log(varied.lorentzian / bands.lorentzian).std() == pytest.approx(0.1, rel=0.05)
    assert varied.gaussian.min() >= 0
    assert varied.gaussian.max() <= 4.0
    np.testing.assert_array_equal(varied.height, bands.height)


def test_orientation_scales_each_band_by_a_log_normal_factor_and_moves_none():
    bands = one_band().take(np.zeros(4000, dtype=np.intp))
    turned = orient(bands, Variation(0.8, 0.1, 4.0, 0.5), np.random.default_rng(1))
    assert np.log(turned.height).std() == pytest.approx(0.5, rel=0.05)
    assert np.log(turned.height).mean() == pytest.approx(0.0, abs=0.03)
    np.testing.assert_array_equal(turned.position, bands.position)
