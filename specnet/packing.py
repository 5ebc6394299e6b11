"""A trained and calibrated run as a bundle: segments, preprocessing, axis, classes, policy, self-test vectors."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from specnet import __version__
from specnet.bundle import FORMAT, FORMAT_VERSION, read_bundle, write_bundle
from specnet.calibration import Calibration, read_calibration
from specnet.codec import RAW, BottleneckInfo
from specnet.datasets import Holdout
from specnet.errors import ConfigurationError
from specnet.export import UnitForm, export_segments, fastest_forms
from specnet.files import write_atomically
from specnet.manifest import SELFTEST, WEIGHTS, Manifest
from specnet.nn import HARD, SpecNet, save_weights
from specnet.placement import Placement
from specnet.runtime import Segments, self_test
from specnet.training.bottleneck_files import StoredBottleneck, read_bottlenecks, weights_sha256
from specnet.training.run import Run
from specnet.tuning.deployment import CHOSEN, Deployment, placements_of
from specnet.tuning.points import Point
from specnet.wire.topics import NAME

FEATURE_CODEC = "int8"
BOTTLENECK_LOSS = 0.005
"""Accuracy at the last exit, on calibration spectra, that a bottleneck may cost to be the codec of its split point."""
TOLERANCE = 1e-4
"""Largest deviation of a logit, over the largest magnitude of the vectors' logits where that exceeds one."""


def pack(
    run: Run,
    data: Path | str,
    out: Path | str,
    *,
    name: str = "",
    version: int = 1,
    spectra_per_class: int = 1,
    deployment: Deployment | None = None,
    fastest: bool = False,
) -> Manifest:
    """Write the bundle of a run; it is read back and self-tested before it gets its name.

    Parameters
    ----------
    run
        A trained run with a calibration.
    data
        The file it was trained on: self-test vectors are spectra of its calibration split.
    out
        The bundle file.
    name
        Name of the model; the folder's name by default.
    version
        Monotonic version: devices refuse to go back.
    spectra_per_class
        Self-test vectors of each class.
    deployment
        What tuning chose: its operating points go into the bundle, the chosen one is in force.
    fastest
        Mask halted positions in those stages where that takes less time on this machine than skipping them, with the
        self-test's spectra; see `specnet.export.fastest`. Otherwise they are skipped, which has the fewest MACs.

    Raises
    ------
    ConfigurationError
        For an invalid name or version, a baseline network, or a deployment of another network.
    BundleIntegrityError
        When torch and ONNX Runtime disagree: nothing is written.
    """
    calibration = read_calibration(run.calibration_path)
    if deployment is not None and deployment.weights_sha256 != weights_sha256(run):
        raise ConfigurationError(
            f"the deployment was tuned for run {deployment.run}, whose weights are others than those of {run.path}"
        )
    intensity = _examples(run, data, spectra_per_class)
    return assemble(
        run,
        calibration,
        intensity,
        out,
        name=name or run.path.resolve().name,
        version=version,
        learned=read_bottlenecks(run),
        points={} if deployment is None else deployment.operating_points,
        placements={} if deployment is None else placements_of(deployment),
        fastest=fastest,
    )


def assemble(
    run: Run,
    calibration: Calibration,
    intensity: NDArray[Any],
    out: Path | str,
    *,
    name: str,
    version: int = 1,
    learned: Sequence[StoredBottleneck] = (),
    points: dict[str, Point] | None = None,
    placements: Mapping[str, Placement] | None = None,
    fastest: bool = False,
) -> Manifest:
    """Write a bundle from what is in memory.

    Parameters
    ----------
    run, calibration
        A network with all that belongs to it, and its operating points.
    intensity
        ``(n, n_points)`` raw spectra on the run's source axis that become the self-test vectors.
    out, name, version
        As for `pack`, which also tells the errors.
    learned
        Bottlenecks of this network.
    points
        Operating points that tuning found, the chosen one among them.
    placements
        Where they split, and what tuning expects of them.
    fastest
        As for `pack`.
    """
    if not NAME.match(name):
        raise ConfigurationError(f"a model's name is 1 to 64 of letters, digits, '_', '.', '-'; got {name[:80]!r}")
    if version < 1:
        raise ConfigurationError(f"a version is at least 1, got {version}")
    if not isinstance(run.network, SpecNet):
        raise ConfigurationError(
            f"{type(run.network).__name__} is a baseline for comparison; a bundle holds a network of specnet's own"
        )
    forms: tuple[UnitForm, ...] = ()
    if fastest:
        forms = fastest_forms(run.network, run.pipeline.bind(run.source_axis)(intensity))
    segments = export_segments(run.network, forms)
    vectors = _selftest(run, intensity)
    files = {segment.info.file: segment.data for segment in segments}
    files[WEIGHTS] = save_weights(run.network)
    files[SELFTEST] = _npz(vectors)
    bottlenecks = {stored.name: stored.codec.info for stored in learned}
    points = points or {}
    tuned = {
        name: msgspec.structs.replace(calibration.policy, thresholds=point.thresholds) for name, point in points.items()
    }
    files |= {stored.codec.info.file: _npz(stored.codec.arrays()) for stored in learned}
    manifest = Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        bundle_id="",
        name=name,
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        producer=f"specnet {__version__}",
        classes=run.classes,
        axis=run.axis.to_dict(),
        source_axis=run.source_axis.to_dict(),
        intensity_unit=run.intensity_unit,
        pipeline=run.pipeline.to_list(),
        segments=tuple(segment.info for segment in segments),
        policy=tuned.get(CHOSEN, calibration.policy),
        operating_points={**calibration.operating_points, **tuned},
        placements=dict(placements or {}),
        codecs={str(split): _codec(split, bottlenecks) for split in range(len(segments) - 1)}
        | {str(points[name].split): points[name].codec for name in reversed(points) if points[name].codec},
        architecture=run.network.config.to_dict(),
        provenance=_provenance(run, calibration),
        files={},
        selftest_tolerance=TOLERANCE * max(1.0, float(np.abs(vectors["logits"]).max())),
        bottlenecks=bottlenecks,
    )
    written: list[Manifest] = []

    def fill(temporary: Path) -> None:
        written.append(write_bundle(temporary, manifest, files))
        self_test(Segments(read_bundle(temporary)))

    write_atomically(out, fill)
    return written[0]


def _codec(split: int, bottlenecks: Mapping[str, BottleneckInfo]) -> str:
    """Codec of a split point: the raw spectrum, or the smallest bottleneck that was judged to cost next to nothing."""
    if split == 0:
        return RAW
    fine = [
        (info.mean_bytes, name)
        for name, info in bottlenecks.items()
        if info.split == split and info.mean_bytes and info.accuracy >= info.whole_accuracy - BOTTLENECK_LOSS
    ]
    return min(fine)[1] if fine else FEATURE_CODEC


def _examples(run: Run, data: Path | str, per_class: int) -> NDArray[Any]:
    """Raw spectra of every class from the calibration split."""
    intensity, labels, axis = run.read_part(data, Holdout.CALIBRATION)
    if axis != run.source_axis:
        raise ConfigurationError(
            "self-test vectors come from the file that the run was trained on; this one has another axis"
        )
    rows = np.concatenate([np.flatnonzero(labels == label)[:per_class] for label in np.unique(labels)])
    return np.asarray(intensity[rows])


def _selftest(run: Run, intensity: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Raw spectra, and what torch says of them at every exit."""
    spectra = run.pipeline.bind(run.source_axis)(intensity)
    with torch.no_grad():
        outputs = run.network(torch.from_numpy(spectra)[:, None], HARD)
    return {"intensity": intensity, "logits": torch.stack(outputs.logits).numpy()}


def _npz(arrays: dict[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # stored, not compressed: sizes can be checked before reading
    return buffer.getvalue()


def _provenance(run: Run, calibration: Calibration) -> dict[str, Any]:
    """Collect what a model's users ask first; the training history stays with the run."""
    return {
        **{key: value for key, value in run.provenance.items() if key not in ("history", "data_path")},
        "training": run.config.to_dict(),
        "split_by": run.split_by,
        "split": run.split_origin,
        "operating_point": calibration.chosen,
        "calibration_accuracy": calibration.accuracy,
        "calibration_mean_macs": calibration.mean_macs,
    }
