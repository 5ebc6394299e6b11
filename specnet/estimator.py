"""The early-exit network as a scikit-learn classifier: in memory, in a `Pipeline`, in a `GridSearchCV`.

Legend: n spectra, L features (points of a spectrum), C classes, E exits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from specnet import __version__
from specnet.calibration import CachedLogits, calibrate
from specnet.datasets.splits import stratified_folds
from specnet.errors import ConfigurationError, DatasetError
from specnet.exits import NEVER, ExitPolicy, Routing, route
from specnet.nn import HARD
from specnet.nn.protocol import ExitNetwork
from specnet.preprocessing import Pipeline, Resample, fit_pipeline, suitable_pipelines
from specnet.spectra import Quantity, SpectralAxis
from specnet.training.building import build_network
from specnet.training.config import AUTO, TrainConfig
from specnet.training.determinism import deterministic
from specnet.training.linear import LinearChoice, choose_linear
from specnet.training.loop import train_network
from specnet.training.pilots import choose_recipe, without_pilots
from specnet.training.preparation import compare_preprocessings, points_per_bin
from specnet.training.run import Run
from specnet.training.settling import settle

SHORTEST = 8
"""Points that a network needs for a stage of any use; shorter spectra are interpolated to as many."""
FEWEST_CALIBRATION = 8
"""Below this number of calibration spectra a temperature or threshold would be chance; none is fitted then."""
BATCH = 512


class SpecNetClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Early-exit network on spectra, trained, calibrated and deciding as the device would.

    Parameters
    ----------
    preset
        Size of the network, see `specnet.list_models`.
    axis
        Spectral axis of the columns of X: a `SpectralAxis`, or ``(n_features,)`` values of `quantity` in `unit`. None
        when it is not known.
    quantity, unit
        What `axis` is when it is an array, see `SpectralAxis`.
    preprocessing
        Name of a pipeline preset, see `specnet.preprocessing.list_pipelines`. ``"auto"`` chooses among those that suit
        the axis by cross-validating exit 0; without an axis it standardises every feature, because an earlier step of a
        pipeline may have prepared them.
    epochs, batch_size, learning_rate, augmentation, adaptivity, additive, active_target
        See `specnet.training.TrainConfig`; 0 epochs means as many as the data need.
    calibration_share
        Share of the spectra on which temperatures and thresholds are fitted, 0.1 to 0.5; whole groups, and alike in
        classes. When fewer than `FEWEST_CALIBRATION` would come out, or a class would lose all its training spectra,
        all spectra are trained on and all of them run to the last exit.
    budget
        Largest mean cost of a spectrum: a share of the full network (up to 1) or a number of multiply-accumulates. None
        takes the cheapest operating point within 0.3 points of the best.
    random_state
        Seed or `numpy.random.RandomState` of initialisation, order, augmentation and split.

    Attributes
    ----------
    classes_ : NDArray
        ``(C,)`` labels.
    run_ : specnet.training.Run
        Network, preprocessing and axis.
    policy_ : specnet.exits.ExitPolicy
        Temperatures, combiner and thresholds.
    calibration_ : specnet.calibration.Calibration or None
        All operating points; None when there were too few spectra to calibrate on.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(n_class=3, return_X_y=True)
    >>> SpecNetClassifier(preset="nano", epochs=2, random_state=0).fit(X, y).predict(X[:3])
    array([0, 1, 2])
    """

    def __init__(
        self,
        preset: str = "tiny",
        *,
        axis: Any = None,
        quantity: str = "channel",
        unit: str = "",
        preprocessing: str = "auto",
        epochs: int = 0,
        batch_size: int = 64,
        learning_rate: float = 3e-3,
        augmentation: str = "auto",
        adaptivity: str = "gate",
        additive: bool | None = None,
        active_target: float = 0.35,
        calibration_share: float = 0.2,
        budget: float | None = None,
        random_state: Any = None,
    ) -> None:
        self.preset = preset
        self.axis = axis
        self.quantity = quantity
        self.unit = unit
        self.preprocessing = preprocessing
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.augmentation = augmentation
        self.adaptivity = adaptivity
        self.additive = additive
        self.active_target = active_target
        self.calibration_share = calibration_share
        self.budget = budget
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Train and calibrate.

        Parameters
        ----------
        X
            ``(n, L)`` intensities.
        y
            ``(n,)`` labels of any kind, at least two classes. There are no sample weights.
        groups
            ``(n,)`` physical sample of each spectrum; none is split between training and calibration.

        Raises
        ------
        ValueError
            When X and y are not what scikit-learn calls valid.
        SpecnetError
            When the spectra, the axis or a parameter cannot be used.
        """
        intensity, y = validate_data(
            self, X, y, dtype=(np.float32, np.float64), ensure_min_samples=2, ensure_min_features=2
        )
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"a classifier needs at least 2 classes, all {len(labels)} labels are of 1 class")
        numbers = None if groups is None else _group_numbers(groups, len(labels))
        axis = self._axis(intensity.shape[1])
        config = self._config()
        training, held = _split(labels, numbers, self.calibration_share, config.seed)
        config = config.for_spectra(len(training))
        known = labels[training].astype(np.int64)
        own_groups = None if numbers is None else numbers[training]
        pipeline = _pipeline(config, axis, intensity[training], known, own_groups)
        bound = pipeline.bind(axis)
        spectra = bound(_dark_allowed(axis, intensity))
        linear = choose_linear(
            spectra[training],
            known,
            own_groups,
            len(self.classes_),
            bin_points=points_per_bin(bound.axis),
            seed=config.seed,
        )
        with _own_randomness(config.seed):
            config, network, history = _train(
                config, linear, spectra[training], known, spectra[held], labels[held].astype(np.int64)
            )
        self.run_ = Run(
            path=Path("specnet"),
            network=network,
            pipeline=pipeline,
            axis=bound.axis,
            source_axis=axis,
            classes=tuple(str(label) for label in self.classes_),
            config=config,
            split_by="spectrum" if groups is None else "group",
            split_origin=f"{len(held)} of {len(labels)} spectra are for calibration",
            intensity_unit="",
            provenance={"specnet": __version__, "n_train": len(training), "exit0": linear.name, "history": history},
        )
        self._calibrate(spectra[held], labels[held], None if numbers is None else numbers[held])
        examples = [np.flatnonzero(labels == label)[0] for label in range(len(self.classes_))]
        self._selftest = np.array(intensity[examples], dtype=np.float32)
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Labels ``(n,)``, each from the exit where the spectrum left."""
        probabilities = self.predict_proba(X)
        answers: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return answers

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities ``(n, C)`` at the exit where the spectrum left."""
        probabilities = self._route(X)[0].probabilities.astype(np.float64)
        normalised: NDArray[np.float64] = probabilities / probabilities.sum(axis=1, keepdims=True)
        return normalised

    def predict_exits(self, X: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Exit ``(n,)`` where each spectrum leaves and the multiply-accumulates ``(n,)`` executed until then."""
        routing, macs = self._route(X)
        return routing.exit_index, macs[routing.exit_index, np.arange(len(routing.exit_index))]

    def save_bundle(self, path: Path | str, *, name: str = "specnet", version: int = 1) -> Path:
        """Write what a device runs; labels become text.

        Raises
        ------
        ConfigurationError
            When there were too few spectra to calibrate on, or for an invalid name or version.
        BundleIntegrityError
            When torch and ONNX Runtime disagree: nothing is written.
        """
        from specnet.packing import assemble

        check_is_fitted(self)
        if self.calibration_ is None:
            raise ConfigurationError(
                f"a bundle needs a calibrated network; fewer than {FEWEST_CALIBRATION} spectra were left for that"
            )
        assemble(self.run_, self.calibration_, self._selftest, path, name=name, version=version)
        return Path(path)

    def _config(self) -> TrainConfig:
        preprocessing = "autoscale" if self.preprocessing == "auto" and self.axis is None else self.preprocessing
        return TrainConfig(
            preset=self.preset,
            preprocessing=preprocessing,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            augmentation=self.augmentation,
            adaptivity=self.adaptivity,
            additive=self.additive,
            active_target=self.active_target,
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
        )

    def _axis(self, n_points: int) -> SpectralAxis:
        if self.axis is None:
            return SpectralAxis.channels(n_points)
        if isinstance(self.axis, SpectralAxis):
            return self.axis
        return SpectralAxis(np.asarray(self.axis, dtype=np.float64), Quantity(self.quantity), self.unit)

    def _calibrate(
        self, spectra: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.int64] | None
    ) -> None:
        n_exits, additive = self.run_.network.n_exits, self.run_.additive
        self.calibration_ = None
        self.policy_ = ExitPolicy(temperatures=(1.0,) * n_exits, thresholds=(NEVER,) * n_exits, additive=additive)
        if len(labels):
            logits, macs = self._exits(spectra)
            cached = CachedLogits(logits, labels.astype(np.int64), macs, self.run_.network.static_macs(), groups)
            self.calibration_ = calibrate(cached, budget=self.budget, additive=additive)
            self.policy_ = self.calibration_.policy

    def _route(self, X: ArrayLike) -> tuple[Routing, NDArray[np.int64]]:
        check_is_fitted(self)
        intensity = validate_data(self, X, dtype=(np.float32, np.float64), reset=False)
        axis = self.run_.source_axis
        logits, macs = self._exits(self.run_.pipeline.bind(axis)(_dark_allowed(axis, intensity)))
        return route(self.policy_, logits), macs

    def _exits(self, spectra: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Logits ``(E, n, C)`` and executed multiply-accumulates ``(E, n)`` of preprocessed spectra.

        In double precision: what single precision rounds depends on how many spectra are judged at once.
        """
        network = deepcopy(cast("nn.Module", self.run_.network)).double()
        logits, depths = [], []
        with torch.no_grad():
            for start in range(0, len(spectra), BATCH):
                outputs = network(torch.from_numpy(spectra[start : start + BATCH]).double()[:, None], HARD)
                logits.append(torch.stack(outputs.logits).float().numpy())
                depths.append([depth.to(torch.uint8).numpy() for depth in outputs.depths])
        joined = [np.concatenate(parts) for parts in zip(*depths, strict=True)]
        return np.concatenate(logits, axis=1), self.run_.executed_macs(joined, len(spectra))


def _pipeline(
    config: TrainConfig,
    axis: SpectralAxis,
    intensity: NDArray[Any],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
) -> Pipeline:
    """Preprocessing, chosen and fitted on training spectra; those of a few points are interpolated to more first."""
    intensity = _dark_allowed(axis, intensity)
    interpolate: tuple[Resample, ...] = ()
    if axis.n_points < SHORTEST:
        fine = np.linspace(axis.values[0], axis.values[-1], SHORTEST)
        finer = SpectralAxis(fine, axis.quantity, axis.unit)
        interpolate = (Resample.uniform(finer),)
        axis, intensity = finer, Pipeline(interpolate).bind(axis)(intensity)
    name = config.preprocessing
    if name == AUTO:
        names = suitable_pipelines(axis, intensity)
        found = compare_preprocessings(
            names, axis, intensity, labels, groups, n_classes=int(labels.max()) + 1, seed=config.seed
        )
        name = max(found, key=lambda candidate: found[candidate]) if found else names[0]
    steps = fit_pipeline(name, axis, intensity).steps
    return Pipeline((*interpolate, *(step for step in steps if not (interpolate and isinstance(step, Resample)))))


def _train(
    config: TrainConfig,
    linear: LinearChoice,
    spectra: NDArray[np.float32],
    labels: NDArray[np.int64],
    held_out: NDArray[np.float32],
    held_labels: NDArray[np.int64],
) -> tuple[TrainConfig, ExitNetwork, list[dict[str, float]]]:
    """Network of the settled recipe, trained on preprocessed spectra, with what each epoch reported."""
    data = cast("Dataset[tuple[Tensor, Tensor]]", TensorDataset(torch.from_numpy(spectra), torch.from_numpy(labels)))
    offsets = torch.from_numpy(linear.out_of_fold)

    def build(recipe: TrainConfig) -> ExitNetwork:
        torch.manual_seed(recipe.seed)
        return build_network(recipe, spectra.shape[1], linear.out_of_fold.shape[1], linear)

    choice = without_pilots(config)
    if config.augmentation == AUTO and len(held_labels):
        choice = choose_recipe(build, data, offsets, held_out, held_labels, config)
    config = choice.settled(config)
    network = build(config)
    additive = config.additive and network.exit0 is not None
    progress = train_network(network, data, config, offsets=offsets if additive else None)
    return config, settle(network, data), progress.history


def _dark_allowed(axis: SpectralAxis, spectra: NDArray[Any]) -> NDArray[Any]:
    """Let features of an unknown kind be zero all together, which no spectrum of a detector is."""
    if axis.quantity is not Quantity.CHANNEL or spectra.any(axis=1).all():
        return spectra
    spectra = spectra.copy()
    spectra[~spectra.any(axis=1), 0] = np.finfo(np.float32).tiny
    return spectra


def _split(
    labels: NDArray[np.int64], groups: NDArray[np.int64] | None, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows for training and for calibration; the latter are none where a sensible choice is not possible."""
    if not 0.1 <= share <= 0.5:
        raise ConfigurationError(f"calibration_share is from 0.1 to 0.5, got {share}")
    everything = np.arange(len(labels))
    units = everything if groups is None else groups
    try:
        folds = stratified_folds(labels, units, seed=seed, n_folds=round(1 / share))
    except DatasetError:  # fewer groups, or spectra of every class, than folds
        return everything, everything[:0]
    for fold in np.unique(folds):
        training, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if len(held) >= FEWEST_CALIBRATION and len(np.unique(labels[training])) == labels.max() + 1:
            return training, held
    return everything, everything[:0]


def _group_numbers(groups: ArrayLike, n_spectra: int) -> NDArray[np.int64]:
    values = np.asarray(groups)
    if values.shape != (n_spectra,):
        raise DatasetError(f"groups has shape {values.shape}, expected ({n_spectra},), one group a spectrum")
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Seed torch and make it deterministic; the caller's state is restored."""
    with torch.random.fork_rng(devices=[]), deterministic():
        torch.manual_seed(seed)
        yield
