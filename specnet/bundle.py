"""The bundle: everything a trained model needs to judge a spectrum, in one checked file.

``*.specnet`` is a zip without compression of ``manifest.json``, ``segments/*.onnx``, ``weights.safetensors`` and
``selftest.npz``. Every file is announced in the manifest with size and SHA-256, the bundle's id is a hash over the
manifest, and the zip itself has one canonical form (`specnet.stored_zip`), so one changed byte anywhere is found. The
format carries axis, units, preprocessing and class names: a model without them cannot be fed.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.codec import CODECS, Codec, LearnedCodec
from specnet.errors import (
    AxisError,
    BundleError,
    BundleIntegrityError,
    BundleVersionError,
    CodecError,
    ConfigurationError,
)
from specnet.files import read_bounded, write_atomically
from specnet.manifest import FILE_NAME, MANIFEST, SELFTEST, FileInfo, Manifest, validate_manifest
from specnet.preprocessing import Pipeline
from specnet.spectra import SpectralAxis
from specnet.stored_zip import is_canonical, stored_zip

FORMAT = "specnet-bundle"
FORMAT_VERSION = 2
"""Version 2 may have bottlenecks and packed messages; version 1 is read too."""
MAX_BUNDLE_BYTES = 256 << 20
MAX_MANIFEST_BYTES = 8 << 20
MAX_ENTRIES = 256


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory, its hashes and schema checked.

    The self-test vectors are run by `specnet.runtime`, which can execute segments.
    """

    manifest: Manifest
    axis: SpectralAxis
    source_axis: SpectralAxis
    pipeline: Pipeline
    files: dict[str, bytes] = field(repr=False)

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

    def release(self) -> None:
        """Forget the files, in a process that has loaded what it runs and keeps manifest, axes, pipeline and codecs."""
        self.codecs  # noqa: B018 - made from the files
        self.files.clear()

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
    validate_manifest(manifest)

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
    return parse_bundle(read_bounded(path, MAX_BUNDLE_BYTES, "bundle", BundleError), str(path))


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
    validate_manifest(manifest)
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
    if bad := [file for file in contents if not FILE_NAME.match(file)]:
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
