"""The spectrometer: where it believes a band to be, how wide it makes it, and how sensitive it is along the axis."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from specnet.datasets.simulation.detector import Detector
from specnet.datasets.simulation.peaks import Bands, Floats

LASER_NM = 785.0
N_BENDS = 3


@dataclass(frozen=True)
class SimulatedInstrument:
    """One spectrometer with a 785 nm laser.

    Attributes
    ----------
    name
        Serial name.
    offset_cm
        Calibration error: a band appears this much too high, 1/cm.
    stretch_cm
        A further error that grows linearly from ``-stretch_cm`` at the low to ``+stretch_cm`` at the high end.
    resolution_cm
        FWHM of the Gaussian line function, 1/cm.
    response
        ``(n_points,)`` relative sensitivity: filter edge, quantum efficiency, ripple.
    detector
        Camera and converter.
    bend_cm
        ``(3,)`` what the error has of sine waves with 1/2, 1 and 3/2 periods over the axis, 1/cm: what is left of a
        diffraction grating's curved scale after a calibration with two lines.
    """

    name: str
    offset_cm: float
    stretch_cm: float
    resolution_cm: float
    response: NDArray[np.float32]
    detector: Detector
    bend_cm: NDArray[np.float64] = field(default_factory=lambda: np.zeros(N_BENDS))


def draw_instrument(
    name: str,
    axis: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    offset_cm: float,
    stretch_cm: float,
    resolution_cm: tuple[float, float],
    bend_cm: float = 0.0,
) -> SimulatedInstrument:
    """Draw one spectrometer with errors up to ``offset_cm``, ``stretch_cm`` and ``bend_cm`` of either sign."""
    straight = SimulatedInstrument(
        name,
        float(rng.uniform(-offset_cm, offset_cm)),
        float(rng.uniform(-stretch_cm, stretch_cm)),
        float(rng.uniform(*resolution_cm)),
        response_curve(axis, rng),
        Detector(
            electrons_per_count=float(rng.uniform(1.2, 1.8)),
            read_noise=float(rng.uniform(4.0, 10.0)),
            offset_counts=float(rng.uniform(300.0, 900.0)),
        ),
    )
    # without bend nothing more is drawn: a seed means the same spectra as before there was one
    return replace(straight, bend_cm=_draw_bend(bend_cm, rng)) if bend_cm > 0 else straight


def _draw_bend(largest: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Amplitudes ``(3,)`` whose sum of waves has its extreme between a half of `largest` and `largest`."""
    amplitudes = rng.uniform(-1.0, 1.0, N_BENDS)
    extreme = float(np.abs(_waves(np.linspace(0.0, 1.0, 257)) @ amplitudes).max())
    return np.asarray(amplitudes * (largest * rng.uniform(0.5, 1.0) / extreme), dtype=np.float64)


def _waves(unit: Floats) -> NDArray[np.float64]:
    """Sine waves ``(..., 3)`` at places of the axis from 0 to 1; zero at both ends."""
    return np.sin(np.pi * np.asarray(unit, dtype=np.float64)[..., None] * np.arange(1, N_BENDS + 1))


def response_curve(axis: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a smooth sensitivity ``(n_points,)`` with maximum 1.

    The long-pass filter opens near 110 1/cm, silicon loses sensitivity towards 1000 nm (about 0.15 per 50 nm beyond
    820 nm), and reflections inside a thinned chip leave a ripple of a few per cent.
    """
    wavelength = 1e7 / (1e7 / LASER_NM - axis)
    edge = 1.0 / (1.0 + np.exp(-(axis - rng.uniform(85.0, 120.0)) / rng.uniform(8.0, 14.0)))
    silicon = 1.0 - rng.uniform(0.002, 0.004) * np.clip(wavelength - 820.0, 0.0, 200.0)
    ripple = 1.0 + rng.uniform(0.005, 0.03) * np.sin(
        2.0 * np.pi * wavelength / rng.uniform(4.0, 12.0) + rng.uniform(0, 6.28)
    )
    response = edge * silicon * ripple
    return np.asarray(response / response.max(), dtype=np.float32)


def observe(
    bands: Bands,
    axis: NDArray[np.float64],
    offset: Floats,
    stretch: Floats,
    resolution: Floats,
    bend: Floats | None = None,
) -> Bands:
    """Bands as a spectrometer sees them: displaced and broadened.

    Parameters
    ----------
    bands
        True bands, ``(n, P)``.
    axis
        ``(n_points,)`` nominal axis; its ends are where the stretch is largest.
    offset, stretch, resolution
        ``(n,)`` in 1/cm, as in `SimulatedInstrument`.
    bend
        ``(n, 3)`` in 1/cm, as in `SimulatedInstrument`; none when None.

    Notes
    -----
    Gaussian widths add in quadrature; the Lorentzian part stays, and their joint profile is a Voigt profile.
    """
    middle, half = 0.5 * (axis[0] + axis[-1]), 0.5 * (axis[-1] - axis[0])
    error = offset[:, None] + stretch[:, None] * (bands.position - middle) / half
    if bend is not None:
        error = error + np.einsum("npk,nk->np", _waves((bands.position - axis[0]) / (2.0 * half)), bend)
    return replace(bands, position=bands.position + error, gaussian=np.hypot(bands.gaussian, resolution[:, None]))
