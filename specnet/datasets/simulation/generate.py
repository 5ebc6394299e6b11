"""From a configuration to a table of spectra."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specnet.datasets import Instrument, SpectraTable, grouped_holdout
from specnet.datasets.simulation.background import fluorescence
from specnet.datasets.simulation.configuration import MAX_SPECTRA, SimulationConfig
from specnet.datasets.simulation.detector import cosmic_rays, expose, limit_exposure
from specnet.datasets.simulation.instrument import LASER_NM, SimulatedInstrument, draw_instrument, observe
from specnet.datasets.simulation.minerals import Mineral, load_minerals, minerals_path
from specnet.datasets.simulation.mixtures import Mixing, draw_mixing
from specnet.datasets.simulation.peaks import Bands, render, to_unit_maximum
from specnet.datasets.simulation.samples import Variation, orient, vary_samples
from specnet.errors import ConfigurationError
from specnet.spectra import Quantity, SpectralAxis

BLOCK = 256
"""Spectra computed at a time; part of what a seed means, since random numbers are drawn block by block."""


@dataclass(frozen=True)
class _Plan:
    """Which sample each spectrum is of, with which instrument it is taken and what else is in it; ``(n,)`` each."""

    labels: NDArray[np.intp]
    sample: NDArray[np.intp]
    instrument: NDArray[np.intp]
    mixing: Mixing
    signal: NDArray[np.float64]
    ratio: NDArray[np.float64]


def simulate(config: SimulationConfig, *, progress: Callable[[int, int], None] | None = None) -> SpectraTable:
    """Simulate Raman spectra of minerals, with labels, samples, instruments and a split.

    Parameters
    ----------
    config
        What to simulate.
    progress
        Called with the spectra done and their total after each block.

    Returns
    -------
    SpectraTable
        uint16 counts. Columns ``sample_id``, ``instrument_id``, ``is_mixture`` (0 or 1), ``secondary_share`` (of the
        Raman signal), ``signal_electrons`` (at the strongest band) and ``fluorescence_ratio``. The label is the main
        mineral. The holdout (60 % train, 20 % calibration, 20 % test) keeps the spectra of a sample together. The same
        configuration gives the same table, byte for byte.

    Raises
    ------
    ConfigurationError
        When the table has too few minerals, one of them has no band on the axis, or the result would be too large.
    DatasetError
        When the table of minerals cannot be read, or there are too few samples to split.
    """
    minerals = choose_minerals(load_minerals(), config)
    total = config.spectra_per_class * len(minerals)
    if total > MAX_SPECTRA:
        raise ConfigurationError(f"at most {MAX_SPECTRA} spectra are simulated at a time, got {total}")
    axis = np.linspace(*config.axis_range, config.n_points)
    seeds = np.random.SeedSequence(config.seed).spawn(4)
    rng_instruments, rng_samples, rng_plan, rng_spectra = (np.random.default_rng(seed) for seed in seeds)
    instruments = _draw_instruments(config, axis, rng_instruments)
    plan = _draw_plan(config, minerals, rng_plan)
    samples = _draw_samples(config, minerals, rng_samples)
    counts = np.empty((total, config.n_points), dtype=np.uint16)
    signal = np.empty(total)
    for start in range(0, total, BLOCK):
        rows = np.arange(start, min(start + BLOCK, total))
        counts[rows], signal[rows] = _measure(rows, plan, samples, minerals, instruments, axis, config, rng_spectra)
        if progress is not None:
            progress(int(rows[-1]) + 1, total)
    return _to_table(config, minerals, instruments, axis, plan, counts, signal)


def choose_minerals(minerals: tuple[Mineral, ...], config: SimulationConfig) -> tuple[Mineral, ...]:
    """Take ``config.n_classes`` minerals evenly from the table and check that each has a band on the axis."""
    wanted = config.n_classes or len(minerals)
    if wanted > len(minerals):
        raise ConfigurationError(f"the table has {len(minerals)} minerals, n_classes asks for {wanted}")
    chosen = tuple(minerals[index] for index in np.linspace(0, len(minerals) - 1, wanted).round().astype(int))
    low, high = config.axis_range
    for mineral in chosen:
        if not any(low < peak.position < high for peak in mineral.peaks):
            raise ConfigurationError(f"{mineral.name} has no band between {low:g} and {high:g} 1/cm")
    return chosen


def _variation(config: SimulationConfig) -> Variation:
    return Variation(config.shift_cm, config.width_spread, config.disorder_cm, config.orientation)


def _draw_instruments(
    config: SimulationConfig, axis: NDArray[np.float64], rng: np.random.Generator
) -> tuple[SimulatedInstrument, ...]:
    return tuple(
        draw_instrument(
            f"simulated-{number + 1}",
            axis,
            rng,
            offset_cm=config.offset_cm,
            stretch_cm=config.stretch_cm,
            resolution_cm=config.resolution_cm,
        )
        for number in range(config.n_instruments)
    )


def _draw_samples(config: SimulationConfig, minerals: tuple[Mineral, ...], rng: np.random.Generator) -> Bands:
    """Bands of all samples, those of the first mineral first."""
    mineral = np.repeat(np.arange(len(minerals)), config.samples_per_class)
    return vary_samples(Bands.of_minerals(minerals).take(mineral), _variation(config), rng)


def _draw_plan(config: SimulationConfig, minerals: tuple[Mineral, ...], rng: np.random.Generator) -> _Plan:
    n, per_class = config.spectra_per_class * len(minerals), config.spectra_per_class
    # shuffled, so that any run of rows of the file has all classes in it
    order = rng.permutation(n)
    labels = order // per_class
    sample = labels * config.samples_per_class + (order % per_class) // config.spectra_per_sample
    mixing = draw_mixing(
        labels,
        minerals,
        rng,
        mixture_share=config.mixture_share,
        share_range=config.mixture_range,
        family_share=config.family_share,
    )
    instrument = rng.integers(0, config.n_instruments, n)
    signal = _log_uniform(config.signal_electrons, n, rng)
    ratio = _log_uniform(config.fluorescence_ratio, n, rng)
    return _Plan(labels, sample, instrument, mixing, signal, ratio)


def _log_uniform(limits: tuple[float, float], n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]), n))


def _measure(
    rows: NDArray[np.intp],
    plan: _Plan,
    samples: Bands,
    minerals: tuple[Mineral, ...],
    instruments: tuple[SimulatedInstrument, ...],
    axis: NDArray[np.float64],
    config: SimulationConfig,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    """Take some rows: their counts and the photo-electrons that their strongest bands have in the end."""
    used = plan.instrument[rows]
    offset = np.array([instrument.offset_cm for instrument in instruments])[used]
    offset = offset + rng.normal(0.0, config.drift_cm, rows.size)
    stretch = np.array([instrument.stretch_cm for instrument in instruments])[used]
    resolution = np.array([instrument.resolution_cm for instrument in instruments])[used]
    variation = _variation(config)

    def see(bands: Bands, which: NDArray[np.intp] | slice = slice(None)) -> NDArray[np.float32]:
        seen = observe(orient(bands, variation, rng), axis, offset[which], stretch[which], resolution[which])
        return to_unit_maximum(render(seen, axis))

    shares, others = plan.mixing.shares[rows], plan.mixing.others[rows]
    raman = see(samples.take(plan.sample[rows])) * (1.0 - shares.sum(axis=1, keepdims=True))
    pure = Bands.of_minerals(minerals)
    for column in range(others.shape[1]):
        mixed = np.flatnonzero(others[:, column] >= 0)
        if mixed.size:
            grain = vary_samples(pure.take(others[mixed, column]), variation, rng)
            raman[mixed] += shares[mixed, column, None] * see(grain, mixed)
    light = to_unit_maximum(raman) + plan.ratio[rows, None].astype(np.float32) * fluorescence(axis, rows.size, rng)
    response = np.stack([instrument.response for instrument in instruments])[used]
    expected = response * light * plan.signal[rows, None].astype(np.float32)
    full_well = np.array([instrument.detector.full_well for instrument in instruments])[used]
    factor = limit_exposure(expected, full_well)
    expected *= factor[:, None].astype(np.float32)
    cosmic = cosmic_rays(rows.size, axis.size, config.cosmic_rays, rng)
    detectors = tuple(instrument.detector for instrument in instruments)
    return expose(expected, cosmic, detectors, used, rng), plan.signal[rows] * factor


def _to_table(
    config: SimulationConfig,
    minerals: tuple[Mineral, ...],
    instruments: tuple[SimulatedInstrument, ...],
    axis: NDArray[np.float64],
    plan: _Plan,
    counts: NDArray[np.uint16],
    signal: NDArray[np.float64],
) -> SpectraTable:
    names = tuple(mineral.name for mineral in minerals)
    within = plan.sample % config.samples_per_class
    sample_id = np.array(
        [f"{names[label]}-{number + 1:04d}" for label, number in zip(plan.labels, within, strict=True)]
    )
    labels = plan.labels.astype(np.int64)
    table = minerals_path()
    return SpectraTable(
        intensity=counts,
        axis=SpectralAxis(axis, Quantity.RAMAN_SHIFT),
        labels=labels,
        class_names=names,
        columns={
            "sample_id": sample_id,
            "instrument_id": np.array([instrument.name for instrument in instruments])[plan.instrument],
            "is_mixture": plan.mixing.is_mixture.astype(np.uint8),
            "secondary_share": plan.mixing.secondary_share,
            "signal_electrons": signal.astype(np.float32),
            "fluorescence_ratio": plan.ratio.astype(np.float32),
        },
        holdout=grouped_holdout(labels, sample_id, seed=config.seed, test=0.2, calibration=0.2),
        group_by="sample_id",
        split_seed=config.seed,
        intensity_unit="counts",
        title=f"Simulated Raman spectra of {len(names)} minerals",
        experiment_type="Raman",
        instrument=Instrument(
            name="simulated spectrometers",
            model=f"specnet simulator, {len(instruments)} instruments",
            laser_nm=LASER_NM,
        ),
        provenance={
            "command": f"specnet.datasets.simulation.simulate({config!r})",
            "minerals_sha256": hashlib.sha256(table.read_bytes()).hexdigest(),
            "license": "Apache-2.0",
        },
    )
