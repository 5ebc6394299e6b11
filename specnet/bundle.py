"""The bundle: everything a trained model needs to judge a spectrum, in one checked file.

``*.specnet`` is a zip without compression of ``manifest.json``, ``segments/*.onnx``, ``weights.safetensors`` and
``selftest.npz``. Every file is announced in the manifest with size and SHA-256, the bundle's id is a hash over the
manifest, and the zip itself has one canonical form (`specnet.stored_zip`), so one changed byte anywhere is found. The
format carries axis, units, preprocessing and class names: a model without them cannot be fed.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.codec import CODECS, RAW, BottleneckInfo, Codec, LearnedCodec, StateLayout
from specnet.codec.features import CODEC_NAME
from specnet.errors import (
    AxisError,
    BundleError,
    BundleIntegrityError,
    BundleVersionError,
    CodecError,
    ConfigurationError,
)
from specnet.exits import ExitPolicy
from specnet.files import write_atomically
from specnet.preprocessing import Pipeline
from specnet.spectra import SpectralAxis
from specnet.stored_zip import is_canonical, stored_zip

FORMAT = "specnet-bundle"
FORMAT_VERSION = 2
"""Version 2 may have bottlenecks and packed messages; version 1 is read too."""
MAX_BUNDLE_BYTES = 256 << 20
MAX_MANIFEST_BYTES = 8 << 20
MAX_ENTRIES = 256
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
SELFTEST = "selftest.npz"
_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}(/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}){0,3}\Z")


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
        Residual units that run per position, and what one of them costs at one position.
    """

    file: str
    input_shape: tuple[int, int]
    feature_shape: tuple[int, int] | None
    fixed_macs: int
    units: int = 0
    unit_macs: int = 0

    def executed_macs(self, depth: NDArray[np.integer[Any]] | None, n_spectra: int) -> NDArray[np.int64]:
        """MACs ``(n,)`` really executed, from the depth ``(n, positions)`` at which each position halted."""
        macs = np.full(n_spectra, self.fixed_macs, dtype=np.int64)
        if depth is not None:
            macs += self.unit_macs * depth.sum(axis=1, dtype=np.int64)
        return macs


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the bundle holds. See the fields of `SegmentInfo` and `ExitPolicy` for the parts.

    `axis` is the model's axis, the one that `pipeline` ends on; `source_axis` the axis of the training spectra.
    `codecs` names the codec for each split point: split s means that the device has run segments 0..s. `bottlenecks`
    are learned codecs of this bundle, by name.
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

    @property
    def n_stages(self) -> int:
        """Number of stages K; exits are 0..K, split points 0..K."""
        return len(self.segments) - 1

    @property
    def state_layout(self) -> StateLayout:
        """Parts of the exit policy's running state."""
        return StateLayout(self.policy.state_blocks(len(self.classes)))

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


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory, its hashes and schema checked.

    The self-test vectors are run by `specnet.runtime`, which can execute segments.
    """

    manifest: Manifest
    axis: SpectralAxis
    source_axis: SpectralAxis
    pipeline: Pipeline
    files: Mapping[str, bytes] = field(repr=False)

    @property
    def bundle_id(self) -> str:
        """Hash over the content, 16 hexadecimal digits."""
        return self.manifest.bundle_id

    def segment_bytes(self, index: int) -> bytes:
        """ONNX model of a segment."""
        return self.files[self.manifest.segments[index].file]

    @cached_property
    def codecs(self) -> Mapping[str, Codec]:
        """All codecs by name: those of every bundle, and the bottlenecks of this one."""
        learned = {
            name: LearnedCodec.from_arrays(info, read_npz(self.files[info.file], info.file))
            for name, info in self.manifest.bottlenecks.items()
        }
        return {**CODECS, **learned}

    def selftest(self) -> dict[str, NDArray[Any]]:
        """Self-test vectors: `intensity` on the source axis, and `logits` ``(E, n, C)`` of every exit."""
        return read_npz(self.files[SELFTEST], SELFTEST)


def write_bundle(path: Path | str, manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """Write a bundle; hashes, sizes and the id are filled in.

    Returns
    -------
    Manifest
        As written.
    """
    infos = {name: FileInfo(len(data), hashlib.sha256(data).hexdigest()) for name, data in sorted(files.items())}
    manifest = msgspec.structs.replace(manifest, files=infos, bundle_id="")
    manifest = msgspec.structs.replace(manifest, bundle_id=_content_id(msgspec.json.encode(manifest)))
    _validate(manifest)

    def fill(temporary: Path) -> None:
        document = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        with temporary.open("wb") as file:
            file.writelines(stored_zip([(MANIFEST, document), *sorted(files.items())]))

    write_atomically(path, fill)
    return manifest


def read_bundle(path: Path | str) -> Bundle:
    """Read and check a bundle file.

    Raises
    ------
    BundleError
        Not a bundle, too large, or a schema error.
    BundleVersionError
        Written by a newer format.
    BundleIntegrityError
        Size, hash or id do not agree.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_BUNDLE_BYTES:
            raise BundleError(f"bundle {path} has {size} bytes, at most {MAX_BUNDLE_BYTES} are accepted")
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read bundle {path}: {error.strerror}") from error
    return parse_bundle(data, str(path))


def parse_bundle(data: bytes, name: str = "bundle") -> Bundle:
    """Check a bundle in memory; errors as `read_bundle`."""
    if len(data) > MAX_BUNDLE_BYTES:
        raise BundleError(f"{name} has {len(data)} bytes, at most {MAX_BUNDLE_BYTES} are accepted")
    contents = _unzip(data, name)
    _check_layout(data, contents, name)
    document = contents.pop(MANIFEST, None)
    manifest = _parse_manifest(document, name)
    assert document is not None
    _check_hashes(manifest, _content_id(document), contents, name)
    _validate(manifest)
    try:
        axis, source_axis = SpectralAxis.from_dict(manifest.axis), SpectralAxis.from_dict(manifest.source_axis)
        pipeline = Pipeline.from_list(manifest.pipeline)
    except (AxisError, ConfigurationError) as error:
        raise BundleError(f"{name}: {error}") from error
    bundle = Bundle(manifest, axis, source_axis, pipeline, contents)
    try:
        bundle.codecs  # noqa: B018 - builds and checks the bottlenecks
    except CodecError as error:
        raise BundleError(f"{name}: {error}") from error
    return bundle


def _unzip(data: bytes, name: str) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_ENTRIES or len({e.filename for e in entries}) != len(entries):
                raise BundleError(
                    f"{name} has {len(entries)} entries, at most {MAX_ENTRIES} different ones are accepted"
                )
            for entry in entries:
                if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(data):
                    raise BundleError(
                        f"{name}: {entry.filename[:80]!r} is compressed or larger than the file that holds it"
                    )
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, OSError) as error:
        raise BundleIntegrityError(f"{name} is damaged or no bundle: {error}") from error


def _check_layout(data: bytes, contents: Mapping[str, bytes], name: str) -> None:
    """Refuse what a zip may hold besides its files: hashes of contents say nothing about it."""
    if bad := [file for file in contents if not _FILE_NAME.match(file)]:
        raise BundleError(f"{name} has files with names that are not accepted: {bad[0][:80]!r}")
    ordered = sorted(contents.items(), key=lambda entry: (entry[0] != MANIFEST, entry[0]))
    if not is_canonical(data, ordered):
        raise BundleIntegrityError(f"{name} is damaged: the zip is not in the form in which bundles are written")


def _parse_manifest(document: bytes | None, name: str) -> Manifest:
    if document is None or len(document) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{name} has no {MANIFEST} of at most {MAX_MANIFEST_BYTES} bytes: it is no specnet bundle")
    try:
        head = msgspec.json.decode(document, type=_Head)
        if head.format != FORMAT:
            raise BundleError(f"{name} says it is {head.format[:40]!r}, expected {FORMAT!r}")
        if head.format_version > FORMAT_VERSION:
            raise BundleVersionError(
                f"{name} has format {head.format_version}, this release reads up to {FORMAT_VERSION}; update specnet"
            )
        return msgspec.json.decode(document, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, ConfigurationError) as error:
        raise BundleError(f"{name}: {MANIFEST} is invalid: {error}") from error


class _Head(msgspec.Struct):
    """The two fields that every version of the format has."""

    format: str
    format_version: int


def _check_hashes(manifest: Manifest, content_id: str, contents: Mapping[str, bytes], name: str) -> None:
    if content_id != manifest.bundle_id:
        raise BundleIntegrityError(
            f"{name}: the manifest's content gives id {content_id}, it says {manifest.bundle_id[:40]}"
        )
    if set(contents) != set(manifest.files):
        different = sorted(set(contents) ^ set(manifest.files))[:5]
        raise BundleIntegrityError(f"{name}: files and manifest differ in {different}")
    for file, info in manifest.files.items():
        digest = hashlib.sha256(contents[file]).hexdigest()
        if len(contents[file]) != info.size or digest != info.sha256:
            raise BundleIntegrityError(
                f"{name}: {file} has sha256 {digest[:16]}..., the manifest says {info.sha256[:16]}..."
            )


def _content_id(document: bytes) -> str:
    """Id of a manifest as it is written: fields that a later release adds with a default are not part of it."""
    fields = msgspec.json.decode(document) | {"bundle_id": ""}
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()[:16]


def _validate(manifest: Manifest) -> None:
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
    if len(manifest.classes) < 2 or len(set(manifest.classes)) != len(manifest.classes):
        raise BundleError(f"a classifier has at least two different classes, got {list(manifest.classes)[:5]}")
    if bad := [file for file in manifest.files if not _FILE_NAME.match(file) or file == MANIFEST]:
        raise BundleError(f"names of files are relative and plain, got {bad[0][:80]!r}")
    needed = {segment.file for segment in manifest.segments} | {WEIGHTS, SELFTEST}
    if missing := sorted(needed - set(manifest.files)):
        raise BundleError(f"the bundle lacks {missing}")
    _check_bottlenecks(manifest)
    for split in range(manifest.n_stages):
        own = [name for name, info in manifest.bottlenecks.items() if info.split == split]
        fitting = [*([RAW] if split == 0 else []), *CODECS, *own]
        if manifest.codecs.get(str(split)) not in fitting:
            raise BundleError(
                f"split {split} needs a codec out of {', '.join(fitting)}, got {manifest.codecs.get(str(split))!r}"
            )
    for index, segment in enumerate(manifest.segments[1:-1], start=1):
        if segment.feature_shape != manifest.segments[index + 1].input_shape:
            raise BundleError(
                f"segment {index} hands on {segment.feature_shape}, segment {index + 1} expects "
                f"{manifest.segments[index + 1].input_shape}"
            )


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


def read_npz(data: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Arrays of an uncompressed npz; `BundleIntegrityError` when they cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(entry.file_size > len(data) for entry in archive.infolist()):
                raise BundleError(f"{name} is compressed")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    # numpy asks for the memory that a header announces before it looks for the numbers
    except (ValueError, OSError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile) as error:
        raise BundleIntegrityError(f"{name} cannot be read: {error}") from error
