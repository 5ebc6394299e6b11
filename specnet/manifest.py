"""What a bundle says of itself: parts, shapes, costs, policy, codecs, operating points.

``manifest.json`` in the bundle; `specnet.bundle` reads and writes it.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.codec import CODECS, RAW, BottleneckInfo, StateLayout
from specnet.codec.features import CODEC_NAME
from specnet.errors import BundleError
from specnet.exits import ExitPolicy
from specnet.placement import Placement

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
SELFTEST = "selftest.npz"
FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}(/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}){0,3}\Z")


class FileInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size and hash of one file of the bundle."""

    size: int
    sha256: str


class SegmentInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One executable piece: everything between two exits.

    Segment 0 is the linear exit; segment k is stage k with exit k. Segment 1 starts at the preprocessed spectrum, as
    segment 0 does.

    Parameters
    ----------
    file
        Name of the ONNX file in the bundle.
    input_shape
        ``(positions, channels)`` of the input; a spectrum is ``(n_points, 1)``.
    feature_shape
        ``(positions, channels)`` of the features it hands on; None for segment 0 and the last one.
    fixed_macs
        Multiply-accumulates that every spectrum costs.
    units, unit_macs
        Residual units that positions may halt before, and what one of them costs at one position; nothing where
        halted positions are masked and not skipped: then the units are in `fixed_macs`.
    """

    file: str
    input_shape: tuple[int, int]
    feature_shape: tuple[int, int] | None
    fixed_macs: int
    units: int = 0
    unit_macs: int = 0

    def executed_macs(self, depth: NDArray[np.integer[Any]] | None, n_spectra: int) -> NDArray[np.int64]:
        """MACs ``(n,)`` really executed, from the depth ``(n, positions)`` at which each position halted."""
        if depth is None or not self.unit_macs:
            return np.full(n_spectra, self.fixed_macs, dtype=np.int64)
        macs: NDArray[np.int64] = np.add.reduce(depth, axis=1, dtype=np.int64)
        macs *= self.unit_macs
        macs += self.fixed_macs
        return macs


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the bundle holds. See the fields of `SegmentInfo` and `ExitPolicy` for the parts.

    `axis` is the model's axis, the one that `pipeline` ends on; `source_axis` the axis of the training spectra.
    `codecs` names the codec for each split point: split s means that the device has run segments 0..s. `bottlenecks`
    are learned codecs of this bundle, by name. `placements` say where operating points split, for those that tuning
    found, and what it expects of them.
    """

    format: str
    format_version: int
    bundle_id: str
    name: str
    version: int
    created: str
    producer: str
    classes: tuple[str, ...]
    axis: dict[str, Any]
    source_axis: dict[str, Any]
    intensity_unit: str
    pipeline: list[dict[str, Any]]
    segments: tuple[SegmentInfo, ...]
    policy: ExitPolicy
    operating_points: dict[str, ExitPolicy]
    codecs: dict[str, str]
    architecture: dict[str, Any]
    provenance: dict[str, Any]
    files: dict[str, FileInfo]
    selftest_tolerance: float = 1e-4
    bottlenecks: dict[str, BottleneckInfo] = msgspec.field(default_factory=dict)
    placements: dict[str, Placement] = msgspec.field(default_factory=dict)

    @property
    def n_stages(self) -> int:
        """Number of stages K; exits are 0..K, split points 0..K."""
        return len(self.segments) - 1

    @property
    def state_layout(self) -> StateLayout:
        """Parts of the exit policy's running state."""
        return StateLayout(self.policy.state_blocks(len(self.classes)))

    def bottlenecks_at(self, split: int) -> list[str]:
        """Names of the bottlenecks that were made for a split point."""
        return [name for name, info in self.bottlenecks.items() if info.split == split]

    def split_shape(self, split: int) -> tuple[int, int]:
        """Shape ``(positions, channels)`` of what the device sends at a split point.

        Raises
        ------
        BundleError
            When nothing is left to do after this split.
        """
        if not 0 <= split < self.n_stages:
            raise BundleError(
                f"split {split} leaves nothing for the gateway; this bundle has splits 0..{self.n_stages - 1}"
            )
        return self.segments[split + 1].input_shape


def validate_manifest(manifest: Manifest) -> None:
    """Check what the types cannot say."""
    exits = len(manifest.segments)
    policies = [manifest.policy, *manifest.operating_points.values()]
    if exits < 2 or any(policy.n_exits != exits for policy in policies):
        found = [policy.n_exits for policy in policies]
        raise BundleError(
            f"the bundle has {exits} segments (at least 2 expected), its exit policies have {found} exits"
        )
    # a device may work at one operating point and the gateway at another, with the state of the first
    sizes = sorted({policy.state_size(len(manifest.classes)) for policy in policies})
    if len(sizes) != 1:
        raise BundleError(f"all exit policies of a bundle share one state, these have {sizes} numbers")
    if wrong := [len(row) for policy in policies for row in policy.biases if len(row) != len(manifest.classes)]:
        raise BundleError(f"the bundle has {len(manifest.classes)} classes, an exit policy has biases for {wrong[0]}")
    if len(manifest.classes) < 2 or len(set(manifest.classes)) != len(manifest.classes):
        raise BundleError(f"a classifier has at least two different classes, got {list(manifest.classes)[:5]}")
    if bad := [file for file in manifest.files if not FILE_NAME.match(file) or file == MANIFEST]:
        raise BundleError(f"names of files are relative and plain, got {bad[0][:80]!r}")
    needed = {segment.file for segment in manifest.segments} | {WEIGHTS, SELFTEST}
    if missing := sorted(needed - set(manifest.files)):
        raise BundleError(f"the bundle lacks {missing}")
    _check_bottlenecks(manifest)
    for split in range(manifest.n_stages):
        fitting = fitting_codecs(manifest, split)
        if manifest.codecs.get(str(split)) not in fitting:
            raise BundleError(
                f"split {split} needs a codec out of {', '.join(fitting)}, got {manifest.codecs.get(str(split))!r}"
            )
    for name, placement in manifest.placements.items():
        split = placement.split
        if name not in manifest.operating_points or not 0 <= split <= manifest.n_stages:
            raise BundleError(f"placement {name!r} at split {split} is of no operating point of this bundle")
        if split < manifest.n_stages and placement.codec not in fitting_codecs(manifest, split):
            raise BundleError(f"placement {name!r} has codec {placement.codec!r}, which does not fit split {split}")
    for index, segment in enumerate(manifest.segments[1:-1], start=1):
        if segment.feature_shape != manifest.segments[index + 1].input_shape:
            raise BundleError(
                f"segment {index} hands on {segment.feature_shape}, segment {index + 1} expects "
                f"{manifest.segments[index + 1].input_shape}"
            )


def fitting_codecs(manifest: Manifest, split: int) -> list[str]:
    """Names of the codecs that can be used at a split point: the raw spectrum, plain ones, bottlenecks made for it."""
    return [*([RAW] if split == 0 else []), *CODECS, *manifest.bottlenecks_at(split)]


def _check_bottlenecks(manifest: Manifest) -> None:
    for name, info in manifest.bottlenecks.items():
        if not CODEC_NAME.match(name) or name in CODECS or name == RAW:
            raise BundleError(f"a bottleneck cannot be called {name[:40]!r}")
        if info.file not in manifest.files:
            raise BundleError(f"the bundle lacks {info.file!r}, the bottleneck {name}")
        if not 1 <= info.split < manifest.n_stages or info.shape != manifest.split_shape(info.split):
            raise BundleError(
                f"bottleneck {name} is for features of shape {info.shape} at split {info.split}, which this bundle "
                "does not have"
            )
