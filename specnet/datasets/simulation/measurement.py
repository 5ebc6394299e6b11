"""Take the planned spectra: bands through an instrument onto a camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specnet.datasets.simulation.background import dispersion, fluorescence
from specnet.datasets.simulation.configuration import SimulationConfig
from specnet.datasets.simulation.detector import cosmic_rays, expose, limit_exposure
from specnet.datasets.simulation.instrument import SimulatedInstrument, draw_instrument, observe
from specnet.datasets.simulation.peaks import Bands, render, to_unit_maximum
from specnet.datasets.simulation.plan import Plan
from specnet.datasets.simulation.samples import Variation, orient, vary_samples


def draw_instruments(
    config: SimulationConfig, axis: NDArray[np.float64], numbers: range, rng: np.random.Generator
) -> tuple[SimulatedInstrument, ...]:
    """Draw spectrometers; their names count from 1."""
    return tuple(
        draw_instrument(
            f"simulated-{number + 1}",
            axis,
            rng,
            offset_cm=config.offset_cm,
            stretch_cm=config.stretch_cm,
            resolution_cm=config.resolution_cm,
            bend_cm=config.bend_cm,
        )
        for number in numbers
    )


@dataclass(frozen=True)
class Laboratory:
    """Everything that spectra are taken with and of.

    Attributes
    ----------
    config
        The simulation.
    axis
        ``(n_points,)`` nominal axis, 1/cm.
    plan
        What to measure.
    pure
        Undisturbed bands of the substances.
    samples
        Bands of all samples.
    shared
        The spectrometers; empty when each spectrum has one of its own.
    """

    config: SimulationConfig
    axis: NDArray[np.float64]
    plan: Plan
    pure: Bands
    samples: Bands
    shared: tuple[SimulatedInstrument, ...]

    def measure(
        self, rows: NDArray[np.intp], rng_instruments: np.random.Generator, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
        """Take consecutive rows of the plan.

        Returns
        -------
        counts, signal
            ``(n, n_points)`` and the ``(n,)`` photo-electrons that the strongest bands have in the end.
        """
        instruments, used = self.shared, self.plan.instrument[rows]
        if not instruments:
            numbers = range(int(used[0]), int(used[-1]) + 1)
            instruments = draw_instruments(self.config, self.axis, numbers, rng_instruments)
            used = used - used[0]
        raman = self._raman(rows, instruments, used, rng)
        background = self.plan.ratio[rows, None].astype(np.float32) * self._background(rows.size, rng)
        signal = self.plan.signal[rows]
        response = np.stack([instrument.response for instrument in instruments])[used]
        expected = response * (raman + background) * signal[:, None].astype(np.float32)
        full_well = np.array([instrument.detector.full_well for instrument in instruments])[used]
        factor = limit_exposure(expected, full_well)
        expected *= factor[:, None].astype(np.float32)
        cosmic = cosmic_rays(rows.size, self.axis.size, self.config.cosmic_rays, rng)
        detectors = tuple(instrument.detector for instrument in instruments)
        return expose(expected, cosmic, detectors, used, rng), signal * factor

    def _raman(
        self,
        rows: NDArray[np.intp],
        instruments: tuple[SimulatedInstrument, ...],
        used: NDArray[np.intp],
        rng: np.random.Generator,
    ) -> NDArray[np.float32]:
        """Noise-free Raman signal ``(n, n_points)`` of the mixtures, maximum 1."""
        config, variation = self.config, variation_of(self.config)
        offset = np.array([instrument.offset_cm for instrument in instruments])[used]
        offset = offset + rng.normal(0.0, config.drift_cm, rows.size)
        stretch = np.array([instrument.stretch_cm for instrument in instruments])[used]
        resolution = np.array([instrument.resolution_cm for instrument in instruments])[used]
        bend = np.stack([instrument.bend_cm for instrument in instruments])[used] if config.bend_cm else None

        def see(bands: Bands, which: NDArray[np.intp] | slice = slice(None)) -> NDArray[np.float32]:
            curve = None if bend is None else bend[which]
            turned = orient(bands, variation, rng)
            seen = observe(turned, self.axis, offset[which], stretch[which], resolution[which], curve)
            return to_unit_maximum(render(seen, self.axis))

        shares, others = self.plan.mixing.shares[rows], self.plan.mixing.others[rows]
        raman = see(self.samples.take(self.plan.sample[rows])) * (1.0 - shares.sum(axis=1, keepdims=True))
        for column in range(others.shape[1]):
            mixed = np.flatnonzero(others[:, column] >= 0)
            if mixed.size:
                grain = vary_samples(self.pure.take(others[mixed, column]), variation, rng)
                raman[mixed] += shares[mixed, column, None] * see(grain, mixed)
        return to_unit_maximum(raman)

    def _background(self, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
        background = fluorescence(self.axis, n, rng)
        if self.config.dispersive_share:
            bent = np.flatnonzero(rng.random(n) < self.config.dispersive_share)
            background[bent] *= dispersion(self.axis, bent.size, rng)
        return background


def variation_of(config: SimulationConfig) -> Variation:
    """How samples of the configuration differ."""
    return Variation(config.shift_cm, config.width_spread, config.disorder_cm, config.orientation)
