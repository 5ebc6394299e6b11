"""What is measured when: the sample, the instrument, the company and the light of each spectrum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specnet.datasets.simulation.configuration import SimulationConfig
from specnet.datasets.simulation.mixtures import Mixing, draw_mixing
from specnet.datasets.simulation.substances import Substances
from specnet.datasets.splits import grouped_holdout
from specnet.datasets.table import Holdout


@dataclass(frozen=True)
class Plan:
    """Which sample each spectrum is of, with which instrument it is taken and what else is in it.

    Attributes
    ----------
    labels, sample, instrument
        ``(n,)`` class, number of the sample (those of the first class first) and number of the instrument.
    mixing
        What else is in a spectrum.
    signal, ratio
        ``(n,)`` photo-electrons at the strongest band, and fluorescence over it.
    holdout
        ``(n,)`` int8 of `Holdout`.
    """

    labels: NDArray[np.intp]
    sample: NDArray[np.intp]
    instrument: NDArray[np.intp]
    mixing: Mixing
    signal: NDArray[np.float64]
    ratio: NDArray[np.float64]
    holdout: NDArray[np.int8]


def draw_plan(config: SimulationConfig, substances: Substances, rng: np.random.Generator) -> Plan:
    """Draw the plan; samples are wholly in one part of the holdout (60 % train, 20 % calibration, 20 % test)."""
    n, per_class = config.spectra_per_class * len(substances), config.spectra_per_class
    # shuffled, so that any run of rows of the file has all classes in it
    order = rng.permutation(n)
    labels = order // per_class
    sample = labels * config.samples_per_class + (order % per_class) // config.spectra_per_sample
    mixing = draw_mixing(
        labels,
        substances.families,
        rng,
        mixture_share=config.mixture_share,
        share_range=config.mixture_range,
        family_share=config.family_share,
    )
    names = sample_names(config, substances, labels, sample)
    holdout = grouped_holdout(labels, names, seed=config.seed, test=0.2, calibration=0.2)
    instrument = _draw_instrument_of(config, holdout, rng)
    signal = _log_uniform(config.signal_electrons, n, rng)
    ratio = _log_uniform(config.fluorescence_ratio, n, rng)
    return Plan(labels, sample, instrument, mixing, signal, ratio, holdout)


def sample_names(
    config: SimulationConfig, substances: Substances, labels: NDArray[np.intp], sample: NDArray[np.intp]
) -> NDArray[np.str_]:
    """Names ``(n,)`` of samples: that of the substance and a number."""
    within = sample % config.samples_per_class
    return np.array(
        [f"{substances.names[label]}-{number + 1:04d}" for label, number in zip(labels, within, strict=True)]
    )


def _draw_instrument_of(
    config: SimulationConfig, holdout: NDArray[np.int8], rng: np.random.Generator
) -> NDArray[np.intp]:
    if config.n_instruments is None:
        return np.arange(holdout.size)
    if not config.test_instruments:
        return rng.integers(0, config.n_instruments, holdout.size)
    first = config.n_instruments - config.test_instruments
    known = rng.integers(0, first, holdout.size)
    unseen = rng.integers(first, config.n_instruments, holdout.size)
    return np.where(holdout == Holdout.TEST, unseen, known)


def _log_uniform(limits: tuple[float, float], n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]), n)), dtype=np.float64)
