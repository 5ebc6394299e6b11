"""MiniRocket and Hydra: thousands of fixed convolution kernels, what they count, and ridge on the counts.

The transforms are aeon's, installed by the extra ``benchmark``.

Legend: n spectra, L points, F features, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from specnet.baselines.classifier import Classifier, Setting, Spectra, TrainingSpectra
from specnet.baselines.linear import LinearClassifier
from specnet.baselines.registry import register_baseline
from specnet.baselines.ridge import ridge_classifiers
from specnet.errors import ConfigurationError, DatasetError

KERNEL = 9
BLOCK = 8
"""Spectra transformed at once: Hydra keeps all its convolutions of a block in memory, and is slower out of cache."""
PENALTIES = (100.0, 10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4)
Features = NDArray[np.float32]
Transform = Callable[[Spectra], Features]


class SharedFeatures:
    """A transform, and what it made of the array that it was last asked for.

    The penalties of a path are judged on one array one after the other; transforming it takes far longer than all else.

    Parameters
    ----------
    transform
        The slow part, run block by block.
    finish
        The quick part.
    """

    def __init__(self, transform: Transform, finish: Transform = lambda features: features) -> None:
        self.transform = transform
        self.finish = finish
        self._last: tuple[Spectra, Features] | None = None

    def __call__(self, spectra: Spectra) -> Features:
        """Features ``(n, F)``; the same array object is transformed once."""
        if self._last is None or self._last[0] is not spectra:
            blocks = [self.transform(spectra[start : start + BLOCK]) for start in range(0, len(spectra), BLOCK)]
            self._last = spectra, np.concatenate(blocks)
        return self.finish(self._last[1])

    def one(self, spectrum: Spectra) -> Features:
        """Features ``(1, F)`` of a spectrum ``(1, L)``; nothing is kept."""
        return self.finish(self.transform(spectrum))


@dataclass(frozen=True)
class KernelClassifier:
    """Features of fixed kernels, then a linear classifier: `transform_macs` and one MAC a weight."""

    features: SharedFeatures
    transform_macs: int
    head: LinearClassifier
    runtime: str = "aeon"

    @property
    def macs(self) -> int:
        """Of the transform and of the linear classifier on its F features."""
        return self.transform_macs + self.head.macs

    def scores(self, spectra: Spectra) -> NDArray[np.floating[Any]]:
        """Scores ``(n, C)``."""
        return self.head.scores(self.features(spectra))

    def single(self) -> Callable[[Spectra], Any]:
        """Ask aeon, then numpy."""
        return lambda spectrum: self.head.scores(self.features.one(spectrum)).argmax(axis=1)


def minirocket_macs(n_points: int, dilations: Sequence[int], features_per_dilation: Sequence[int]) -> int:
    """Operations of MiniRocket's transform of one spectrum.

    All 84 kernels have weights -1 and 2, three of the latter. For each dilation d, the sum of the nine shifted copies
    of -x (8 L additions) and 3 x (L multiplications) are shared; each kernel adds three shifted copies of 3 x to the
    sum (3 L additions). A feature compares a kernel's output with its bias at every point, at L points with padding
    and at L - 8 d without; kernels alternate between both. So for D dilations with f_d features a kernel::

        D (9 L + 84 * 3 L) + sum_d 42 f_d (L + L - 8 d)

    Parameters
    ----------
    n_points
        L.
    dilations
        D values of d.
    features_per_dilation
        D values of f_d.

    Notes
    -----
    Dempster, Schmidt and Webb 2021, "MiniRocket", KDD, section 3.2.
    """
    convolutions = len(dilations) * (9 + 84 * 3) * n_points
    comparisons = sum(42 * f * (2 * n_points - 8 * d) for d, f in zip(dilations, features_per_dilation, strict=True))
    return int(convolutions + comparisons)


def hydra_macs(n_points: int, n_dilations: int, kernels: int) -> int:
    """Operations of Hydra's transform of one spectrum.

    For each dilation, `kernels` dense kernels of nine weights run over the spectrum (L points) and as many over its
    first difference (L - 1 points), with padding; every output is compared twice within its group, for the
    highest and for the lowest::

        D * kernels * (9 + 2) * (2 L - 1)

    Notes
    -----
    Dempster, Schmidt and Webb 2023, "Hydra", Data Mining and Knowledge Discovery 37, 1779.
    """
    return n_dilations * kernels * (KERNEL + 2) * (2 * n_points - 1)


class _ConvolutionKernels:
    """What both have in common: transform once, then a path of ridge penalties."""

    linear: ClassVar[bool] = False
    selection_spectra: ClassVar[int] = 2000

    def settings(self, data: TrainingSpectra) -> Sequence[Setting]:
        """Penalties, strongest first."""
        return [{"penalty": penalty} for penalty in PENALTIES]

    def fit(self, data: TrainingSpectra, settings: Sequence[Setting]) -> Iterator[tuple[Setting, Classifier]]:
        """Draw the kernels and fit the path."""
        if data.n_points < KERNEL:
            raise DatasetError(f"spectra have {data.n_points} points, kernels of {KERNEL} need at least as many")
        shared, macs = self.prepare(data)
        wanted = {float(setting["penalty"]): setting for setting in settings}
        for penalty, head in ridge_classifiers(data, shared(data.spectra), list(wanted), standardise=True):
            yield wanted[penalty], KernelClassifier(shared, macs, head)

    def prepare(self, data: TrainingSpectra) -> tuple[SharedFeatures, int]:
        """Fit the transform; returns it and its MACs."""
        raise NotImplementedError


@register_baseline("minirocket")
class MiniRocket(_ConvolutionKernels):
    """About 10,000 shares of points above a bias, after 84 fixed kernels at many dilations."""

    def __init__(self) -> None:
        self._make = _aeon("MiniRocket")

    def prepare(self, data: TrainingSpectra) -> tuple[SharedFeatures, int]:
        """Fit dilations and biases."""
        rocket = self._make(random_state=data.seed, n_jobs=1)
        rocket.fit(data.spectra[:, np.newaxis].astype(np.float32))
        _, _, dilations, per_dilation, _ = rocket.parameters

        def transform(spectra: Spectra) -> Features:
            return np.asarray(rocket.transform(spectra[:, np.newaxis]), np.float32)

        return SharedFeatures(transform), minirocket_macs(data.n_points, dilations.tolist(), per_dilation.tolist())


@register_baseline("hydra")
class Hydra(_ConvolutionKernels):
    """Counts of which kernel of a group fits best at each point, 64 groups of 8 random kernels."""

    selection_spectra: ClassVar[int] = 300  # a spectrum of 1,700 points takes a tenth of a second

    def __init__(self) -> None:
        self._make = _aeon("HydraTransformer")

    def prepare(self, data: TrainingSpectra) -> tuple[SharedFeatures, int]:
        """Draw the kernels; counts are scaled as the paper's code does: square root, and rare counts less."""
        hydra = self._make(random_state=data.seed, n_jobs=1, output_type="numpy")
        hydra.fit(data.spectra[:2, np.newaxis])

        def counts(spectra: Spectra) -> Features:
            raw = np.asarray(hydra.transform(spectra[:, np.newaxis]), np.float32)
            return np.asarray(np.sqrt(np.maximum(raw, 0)), np.float32)

        shared = SharedFeatures(counts)
        sample = shared(data.spectra)
        mean, rare = sample.mean(axis=0), (sample == 0).mean(axis=0) ** 4
        scale = sample.std(axis=0) + rare.astype(np.float32) + 1e-8

        def scaled(found: Features) -> Features:
            return np.asarray((found - mean) * (found != 0) / scale, np.float32)

        # the features are two for each kernel and dilation: highest and lowest, over spectrum and difference
        per_dilation = hydra.n_kernels * hydra.n_groups // 2
        n_dilations = sample.shape[1] // (4 * per_dilation)
        shared.finish = scaled
        return shared, hydra_macs(data.n_points, n_dilations, per_dilation)


def _aeon(name: str) -> Any:
    """Find a transform of aeon; imported here, because it takes seconds."""
    try:
        from aeon.transformations.collection import convolution_based
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed; pip install 'specnet-edge[benchmark]'") from error
    return getattr(convolution_based, name)
