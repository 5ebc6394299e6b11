"""From a configuration to a table of spectra."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from specnet.datasets.simulation.configuration import MAX_SPECTRA, SimulationConfig
from specnet.datasets.simulation.instrument import LASER_NM
from specnet.datasets.simulation.measurement import Laboratory, draw_instruments, variation_of
from specnet.datasets.simulation.plan import Plan, draw_plan, sample_names
from specnet.datasets.simulation.samples import vary_samples
from specnet.datasets.simulation.substances import Substances, make_substances
from specnet.datasets.table import Instrument, SpectraTable
from specnet.errors import ConfigurationError
from specnet.spectra import Quantity, SpectralAxis

BLOCK = 256
"""Spectra computed at a time; part of what a seed means, since random numbers are drawn block by block."""


def simulate(config: SimulationConfig, *, progress: Callable[[int, int], None] | None = None) -> SpectraTable:
    """Simulate spectra of minerals or of random substances, with labels, samples, instruments and a split.

    Parameters
    ----------
    config
        What to simulate.
    progress
        Called with the spectra done and their total after each block.

    Returns
    -------
    SpectraTable
        uint16 counts. Columns ``sample_id``, ``instrument_id``, ``family``, ``is_mixture`` (0 or 1),
        ``secondary_share`` (of the Raman signal), ``signal_electrons`` (at the strongest band) and
        ``fluorescence_ratio``. The label is the main substance, ``bands`` has the true bands of all. The holdout (60 %
        train, 20 % calibration, 20 % test) keeps the spectra of a sample together. The same configuration gives the
        same table, byte for byte.

    Raises
    ------
    ConfigurationError
        When the table has too few minerals, one of them has no band on the axis, or the result would be too large.
    DatasetError
        When the table of minerals cannot be read, or there are too few samples to split.
    """
    substances = make_substances(config)
    total = config.spectra_per_class * len(substances)
    if total > MAX_SPECTRA:
        raise ConfigurationError(f"at most {MAX_SPECTRA} spectra are simulated at a time, got {total}")
    axis = np.linspace(*config.axis_range, config.n_points)
    seeds = np.random.SeedSequence(config.seed).spawn(4)
    rng_instruments, rng_samples, rng_plan, rng_spectra = (np.random.default_rng(seed) for seed in seeds)
    shared = draw_instruments(config, axis, range(config.n_instruments or 0), rng_instruments)
    plan = draw_plan(config, substances, rng_plan)
    of_sample = np.repeat(np.arange(len(substances)), config.samples_per_class)
    samples = vary_samples(substances.bands.take(of_sample), variation_of(config), rng_samples)
    laboratory = Laboratory(config, axis, plan, substances.bands, samples, shared)
    counts = np.empty((total, config.n_points), dtype=np.uint16)
    signal = np.empty(total)
    for start in range(0, total, BLOCK):
        rows = np.arange(start, min(start + BLOCK, total))
        counts[rows], signal[rows] = laboratory.measure(rows, rng_instruments, rng_spectra)
        if progress is not None:
            progress(int(rows[-1]) + 1, total)
    return _to_table(config, substances, axis, plan, counts, signal)


def _to_table(
    config: SimulationConfig,
    substances: Substances,
    axis: NDArray[np.float64],
    plan: Plan,
    counts: NDArray[np.uint16],
    signal: NDArray[np.float64],
) -> SpectraTable:
    n_instruments = len(np.unique(plan.instrument)) if config.n_instruments is None else config.n_instruments
    return SpectraTable(
        intensity=counts,
        axis=SpectralAxis(axis, Quantity.RAMAN_SHIFT),
        labels=plan.labels.astype(np.int64),
        class_names=substances.names,
        columns={
            "sample_id": sample_names(config, substances, plan.labels, plan.sample),
            "instrument_id": np.array([f"simulated-{number + 1}" for number in plan.instrument]),
            "family": np.array(substances.families)[plan.labels],
            "is_mixture": plan.mixing.is_mixture.astype(np.uint8),
            "secondary_share": plan.mixing.secondary_share,
            "signal_electrons": signal.astype(np.float32),
            "fluorescence_ratio": plan.ratio.astype(np.float32),
        },
        holdout=plan.holdout,
        group_by="sample_id",
        split_seed=config.seed,
        intensity_unit="counts",
        title=f"Simulated Raman spectra of {len(substances)} {substances.kind}",
        experiment_type="Raman",
        instrument=Instrument(
            name="simulated spectrometers",
            model=f"specnet simulator, {n_instruments} instruments",
            laser_nm=LASER_NM,
        ),
        provenance={
            "command": f"specnet.datasets.simulation.simulate({config!r})",
            **substances.provenance,
            "license": "Apache-2.0",
        },
        bands=substances.known_bands(),
    )
