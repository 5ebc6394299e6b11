"""What is written is what is read, the same content gives the same file, and any zip reader can open it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support_bundle import make_bundle

from specnet.bundle import FORMAT, read_bundle, write_bundle
from specnet.errors import BundleError
from specnet.manifest import MANIFEST, SELFTEST, WEIGHTS
from specnet.runtime import Segments


def test_everything_comes_back(tmp_path: Path) -> None:
    written = make_bundle(tmp_path / "a.specnet")
    bundle = read_bundle(tmp_path / "a.specnet")
    assert bundle.manifest == written
    assert (bundle.manifest.format, bundle.bundle_id) == (FORMAT, written.bundle_id)
    assert bundle.axis.to_dict() == written.axis
    assert bundle.selftest()["logits"].shape == (4, 4, 3)
    assert set(bundle.files) == {SELFTEST, WEIGHTS, *(segment.file for segment in written.segments)}


def test_the_same_content_gives_the_same_bytes_and_id(tmp_path: Path) -> None:
    one, two = make_bundle(tmp_path / "a.specnet"), make_bundle(tmp_path / "b.specnet")
    assert one.bundle_id == two.bundle_id
    assert (tmp_path / "a.specnet").read_bytes() == (tmp_path / "b.specnet").read_bytes()
    assert len(one.bundle_id) == 16
    assert int(one.bundle_id, 16) >= 0


def test_other_content_gives_another_id(tmp_path: Path) -> None:
    ids = {
        make_bundle(tmp_path / "a.specnet").bundle_id,
        make_bundle(tmp_path / "b.specnet", seed=1).bundle_id,
        make_bundle(tmp_path / "c.specnet", version=2).bundle_id,
        make_bundle(tmp_path / "d.specnet", name="other").bundle_id,
        make_bundle(tmp_path / "e.specnet", selftest_error=0.5).bundle_id,
    }
    assert len(ids) == 5


def test_writing_what_was_read_changes_nothing(packed: Path, tmp_path: Path) -> None:
    bundle = read_bundle(packed)
    again = write_bundle(tmp_path / "again.specnet", bundle.manifest, dict(bundle.files))
    assert again == bundle.manifest
    assert (tmp_path / "again.specnet").read_bytes() == packed.read_bytes()


def test_other_zip_readers_open_it(packed: Path) -> None:
    bundle = read_bundle(packed)
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [MANIFEST, *sorted(bundle.files)]
        assert {name: archive.read(name) for name in bundle.files} == dict(bundle.files)
        assert all(entry.date_time == (2020, 1, 1, 0, 0, 0) for entry in archive.infolist())
        assert msgspec.json.decode(archive.read(MANIFEST))["bundle_id"] == bundle.bundle_id


def test_shapes_of_split_points_are_inputs_of_the_next_segment(packed: Path) -> None:
    manifest = read_bundle(packed).manifest
    assert manifest.split_shape(0) == (300, 1)
    for split in range(1, manifest.n_stages):
        assert manifest.split_shape(split) == manifest.segments[split].feature_shape
    for split in (-1, manifest.n_stages):
        with pytest.raises(BundleError, match=f"split {split} leaves nothing for the gateway"):
            manifest.split_shape(split)


def test_a_bundle_whose_files_are_forgotten_still_runs_and_decodes(packed: Path) -> None:
    bundle, whole = read_bundle(packed), read_bundle(packed)
    segments = Segments(bundle)
    spectra = whole.pipeline.bind(whole.source_axis)(whole.selftest()["intensity"])
    before, _ = segments.run_all(spectra)
    bundle.release()
    assert not bundle.files
    np.testing.assert_array_equal(segments.run_all(spectra)[0], before)
    assert bundle.codecs.keys() == whole.codecs.keys()
    assert (bundle.bundle_id, bundle.axis, bundle.pipeline.to_list()) == (
        whole.bundle_id,
        whole.axis,
        whole.pipeline.to_list(),
    )
