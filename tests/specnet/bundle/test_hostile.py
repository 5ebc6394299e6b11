"""Bundles that were made to be refused: every hash right, everything else wrong."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support_bundle import make_bundle

import specnet.bundle as bundle_module
from specnet.bundle import Bundle, parse_bundle, read_bundle, write_bundle
from specnet.errors import BundleError, BundleIntegrityError, BundleVersionError, ConfigurationError
from specnet.exits import ExitPolicy
from specnet.manifest import MANIFEST, SELFTEST, WEIGHTS, Manifest
from specnet.runtime import Segments, load_bundle, self_test
from specnet.stored_zip import stored_zip


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("good") / "hand.specnet"
    make_bundle(path)
    return read_bundle(path)


def _zip(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return buffer.getvalue()


def _archive(document: bytes, files: Mapping[str, bytes]) -> bytes:
    return b"".join(stored_zip([(MANIFEST, document), *sorted(files.items())]))


def _rewrite(good: Bundle, tmp_path: Path, files: dict[str, bytes] | None = None, **changes: Any) -> Path:
    """Write the bundle with a changed manifest and right hashes."""
    path = tmp_path / "changed.specnet"
    write_bundle(path, msgspec.structs.replace(good.manifest, **changes), {**good.files, **(files or {})})
    return path


def _signed(good: Bundle, change: Callable[[dict[str, Any]], None], files: Mapping[str, bytes] | None = None) -> bytes:
    """Change the plain manifest, then make its id right again where it still is a manifest."""
    plain = msgspec.to_builtins(good.manifest)
    files = files or good.files
    plain["files"] = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
    }
    change(plain)
    try:
        manifest = msgspec.convert(plain, Manifest)
    except (msgspec.ValidationError, ConfigurationError):
        return _archive(msgspec.json.encode(plain), files)
    content = msgspec.json.encode(msgspec.structs.replace(manifest, bundle_id=""), order="sorted")
    plain["bundle_id"] = hashlib.sha256(content).hexdigest()[:16]
    return _archive(msgspec.json.encode(plain), files)


def test_the_helpers_of_these_tests_make_good_bundles(good: Bundle, tmp_path: Path) -> None:
    assert parse_bundle(_signed(good, lambda plain: None)).bundle_id == good.bundle_id
    assert read_bundle(_rewrite(good, tmp_path)).bundle_id == good.bundle_id


def test_a_newer_format_says_that_specnet_is_too_old(good: Bundle) -> None:
    def newer(plain: dict[str, Any]) -> None:
        plain.update(format_version=3, unknown_field=1)

    with pytest.raises(BundleVersionError, match="has format 3, this release reads up to 2; update specnet"):
        parse_bundle(_signed(good, newer))


CHANGES: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("expected 'specnet-bundle'", lambda plain: plain.update(format="other")),
    ("unknown field", lambda plain: plain.update(surprise=1)),
    ("missing required field", lambda plain: plain.pop("classes")),
    ("at least two different classes", lambda plain: plain.update(classes=["quartz", "quartz", "calcite"])),
    ("at least two different classes", lambda plain: plain.update(classes=["quartz"])),
    ("an axis needs quantity, unit and values", lambda plain: plain.update(axis={})),
    ("not a valid Quantity", lambda plain: plain["axis"].update(quantity="colour")),
    ("ascending", lambda plain: plain["source_axis"].update(values=[3, 2, 1])),
    ("unknown step 'magic'", lambda plain: plain.update(pipeline=[{"step": "magic"}])),
    ("at least 2 expected", lambda plain: plain.update(segments=[])),
    ("its exit policies have", lambda plain: plain["policy"].update(temperatures=[1.0], thresholds=[0.5])),
    ("unknown combiner", lambda plain: plain["policy"].update(combiner="vote")),
    ("classes, an exit policy has biases for 2", lambda plain: plain["policy"].update(biases=[[0.1, -0.1]] * 4)),
    ("temperatures are positive", lambda plain: plain["policy"].update(temperatures=[1.0, 0.0, 1.0, 1.0])),
    ("split 0 needs a codec", lambda plain: plain.update(codecs={})),
    ("split 1 needs a codec", lambda plain: plain["codecs"].update({"1": "zip"})),
    ("segment 1 hands on", lambda plain: plain["segments"][1].update(feature_shape=[9, 9])),
    ("the bundle lacks", lambda plain: plain["segments"][3].update(file="segments/9.onnx")),
]


@pytest.mark.parametrize(("message", "change"), CHANGES, ids=[message for message, _ in CHANGES])
def test_a_manifest_that_makes_no_sense_is_refused(
    good: Bundle, message: str, change: Callable[[dict[str, Any]], Any]
) -> None:
    with pytest.raises(BundleError, match=message):
        parse_bundle(_signed(good, change))


def test_an_id_of_other_content_is_refused(good: Bundle) -> None:
    plain = msgspec.to_builtins(good.manifest)
    plain["version"] += 1
    with pytest.raises(BundleIntegrityError, match=f"it says {good.bundle_id}"):
        parse_bundle(_archive(msgspec.json.encode(plain), good.files))


def test_hashes_sizes_and_lists_of_files_are_compared(good: Bundle) -> None:
    document = msgspec.json.encode(good.manifest)
    swapped = {**good.files, "segments/1.onnx": good.files["segments/2.onnx"]}
    with pytest.raises(BundleIntegrityError, match=r"segments/1\.onnx has sha256"):
        parse_bundle(_archive(document, swapped))
    with pytest.raises(BundleIntegrityError, match=r"files and manifest differ in \['extra\.bin'\]"):
        parse_bundle(_archive(document, {**good.files, "extra.bin": b""}))
    fewer = {name: data for name, data in good.files.items() if name != WEIGHTS}
    with pytest.raises(BundleIntegrityError, match=r"files and manifest differ in \['weights\.safetensors'\]"):
        parse_bundle(_archive(document, fewer))


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"format": 1}', b"[" * 100_000])
def test_a_manifest_that_is_no_document_is_refused(document: bytes) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json is invalid"):
        parse_bundle(_archive(document, {}))


def test_a_zip_without_manifest_and_other_files_are_no_bundles(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="it is no specnet bundle"):
        parse_bundle(b"".join(stored_zip([("a.txt", b"hello")])))
    with pytest.raises(BundleError, match="it is no specnet bundle"):
        parse_bundle(b"".join(stored_zip([])))
    for content in (b"", b"hello", b"\x89HDF\r\n\x1a\n" + b"\0" * 500):
        with pytest.raises(BundleIntegrityError, match="damaged or no bundle"):
            parse_bundle(content)
    with pytest.raises(BundleError, match="cannot read bundle"):
        read_bundle(tmp_path / "missing.specnet")
    with pytest.raises(BundleError, match="cannot read bundle"):
        read_bundle(tmp_path)


def test_compressed_members_are_refused_before_they_are_inflated(good: Bundle) -> None:
    entries = [(MANIFEST, msgspec.json.encode(good.manifest)), *sorted(good.files.items())]
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with pytest.raises(BundleError, match="compressed or larger"):
            parse_bundle(_zip(entries, method))
    bomb = _zip([(MANIFEST, b"\0" * (64 << 20))], zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 20
    with pytest.raises(BundleError, match="compressed or larger"):
        parse_bundle(bomb)


def test_an_announced_size_beyond_the_file_is_refused() -> None:
    data = bytearray(b"".join(stored_zip([(MANIFEST, b"{}")])))
    central = data.index(b"PK\1\2")
    struct.pack_into("<2L", data, central + 20, 0xFFFF_FFF0, 0xFFFF_FFF0)
    with pytest.raises(BundleError, match="compressed or larger than the file that holds it"):
        parse_bundle(bytes(data))


def test_too_many_and_repeated_entries_are_refused() -> None:
    many = [(f"f{index}", b"") for index in range(257)]
    with pytest.raises(BundleError, match="257 entries, at most 256"):
        parse_bundle(b"".join(stored_zip(many)))
    with pytest.raises(BundleError, match="2 entries, at most 256 different ones"):
        parse_bundle(b"".join(stored_zip([(MANIFEST, b"{}"), (MANIFEST, b"{ }")])))


def test_files_over_the_limit_are_not_read(good: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _rewrite(good, tmp_path)
    size = path.stat().st_size
    monkeypatch.setattr(bundle_module, "MAX_BUNDLE_BYTES", size - 1)
    with pytest.raises(BundleError, match=f"has {size} bytes, at most {size - 1} are read"):
        read_bundle(path)
    with pytest.raises(BundleError, match=f"has {size} bytes, at most {size - 1} are accepted"):
        parse_bundle(path.read_bytes())
    monkeypatch.undo()
    monkeypatch.setattr(bundle_module, "MAX_MANIFEST_BYTES", 100)
    with pytest.raises(BundleError, match=r"no manifest\.json of at most 100 bytes"):
        read_bundle(path)


def test_a_sparse_giant_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "giant.specnet"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="at most 268435456 are read"):
        read_bundle(path)


NAMES = ["../evil", "/etc/passwd", "a/../../b", "a\\b", "C:evil", ".hidden", "a//b", "a/", "", "a b", "x" * 300]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere_are_refused(good: Bundle, tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="not accepted"):
        parse_bundle(_signed(good, lambda plain: None, {**good.files, name: b"evil"}))
    with pytest.raises(BundleError, match="names of files are relative and plain"):
        _rewrite(good, tmp_path, {name: b"evil"})
    assert list(tmp_path.iterdir()) == []


def _vectors(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_self_test_vectors_that_disagree_are_an_integrity_error(good: Bundle, tmp_path: Path) -> None:
    vectors = good.selftest()
    shifted = vectors["logits"].copy()
    shifted[2, 1, 0] += 0.01
    wrong = {
        "deviates by 1.00e-02, allowed 1e-04": {**vectors, "logits": shifted},
        "deviates by nan": {**vectors, "logits": np.full_like(shifted, np.nan)},
        "the vectors have": {**vectors, "logits": shifted[:, :2]},
        "no self-test vectors": {"logits": shifted},
        "n at least 1": {"intensity": vectors["intensity"][:0], "logits": shifted[:, :0]},
        r"got \(32,\)": {**vectors, "intensity": vectors["intensity"][0]},
        "does not run: .*expected 32": {**vectors, "intensity": vectors["intensity"][:, :20]},
        "does not run: .*NaN": {**vectors, "intensity": np.full_like(vectors["intensity"], np.nan)},
    }
    for message, arrays in wrong.items():
        path = _rewrite(good, tmp_path, {SELFTEST: _vectors(**arrays)})
        with pytest.raises(BundleIntegrityError, match=message):
            load_bundle(path)
        assert load_bundle(path, check=False).bundle.manifest.name == "hand"


def test_self_test_vectors_that_are_no_arrays_are_an_integrity_error(good: Bundle, tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }" % 10**17
    header += b" " * (64 - (10 + len(header)) % 64 - 1) + b"\n"
    absurd = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    pickled = io.BytesIO()
    np.save(pickled, np.array([{}], dtype=object), allow_pickle=True)
    for content in (
        b"",
        b"hello",
        _zip([("intensity.npy", b"no array")]),
        _zip([("intensity.npy", absurd), ("logits.npy", absurd)]),
        _zip([("intensity.npy", pickled.getvalue()), ("logits.npy", pickled.getvalue())]),
        _zip([("intensity.npy", b"\0" * 1000)], zipfile.ZIP_DEFLATED),
    ):
        bundle = read_bundle(_rewrite(good, tmp_path, {SELFTEST: content}))
        with pytest.raises(BundleError):
            self_test(Segments(bundle))


def test_a_segment_that_is_no_model_is_a_bundle_error(good: Bundle, tmp_path: Path) -> None:
    bundle = read_bundle(_rewrite(good, tmp_path, {"segments/2.onnx": b"no model"}))
    with pytest.raises(BundleError, match=f"segment 2 of bundle {bundle.bundle_id} does not load"):
        Segments(bundle)
    assert Segments(bundle, [0, 1]).loaded == (0, 1)


def test_segments_that_do_not_fit_each_other_fail_the_self_test(good: Bundle, tmp_path: Path) -> None:
    path = _rewrite(good, tmp_path, {"segments/2.onnx": good.files["segments/0.onnx"]})
    with pytest.raises(BundleIntegrityError, match="does not run"):
        load_bundle(path)


def test_a_policy_is_checked_when_a_bundle_is_written_too(good: Bundle, tmp_path: Path) -> None:
    short = ExitPolicy(temperatures=(1.0,), thresholds=(0.5,))
    with pytest.raises(BundleError, match=r"the bundle has 4 segments .* its exit policies have \[4, 1\] exits"):
        _rewrite(good, tmp_path, operating_points={"fast": short})
    assert list(tmp_path.iterdir()) == []
