"""The model store: what is served, what is skipped, what is added."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support_bundle import make_bundle, spectra

from gateway.adding import add_bundle
from gateway.engine import OnnxEngine
from gateway.models import ModelStore
from specnet.errors import BundleError, BundleIntegrityError, ConfigurationError


def flip_byte(path: Path, offset: int = 5000) -> None:
    content = bytearray(path.read_bytes())
    content[offset % len(content)] ^= 1
    path.write_bytes(content)


def test_all_bundles_are_found_by_id_and_listed_by_version(store: Path, engine: OnnxEngine) -> None:
    second = make_bundle(store / "hand" / "2" / "other.specnet", seed=1, version=2)
    models = ModelStore(store, engine)
    scan = models.rescan()
    assert scan.bad == ()
    assert [model.manifest.version for model in models.models] == [1, 2]
    found = models.get(second.bundle_id)
    assert found is not None
    assert found.manifest == second
    assert models.get("0" * 16) is None


def test_a_second_scan_finds_nothing_new(store: Path, engine: OnnxEngine) -> None:
    models = ModelStore(store, engine)
    assert len(models.rescan().added) == 1
    assert models.rescan() == type(models.rescan())((), ())


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (flip_byte, "CRC-32"),
        (lambda path: path.write_bytes(path.read_bytes()[:-400]), "no specnet bundle|zip"),
        (lambda path: path.write_bytes(b""), "zip"),
        (lambda path: make_bundle(path, seed=6, selftest_error=0.1), "self-test"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot read|irectory"),
    ],
    ids=["one byte changed", "truncated", "empty", "wrong self-test", "a folder"],
)
def test_a_bad_bundle_is_skipped_and_the_good_one_served(store: Path, engine: OnnxEngine, spoil, reason: str) -> None:
    path = store / "hand" / "2" / "model.specnet"
    make_bundle(path, seed=1, version=2)
    spoil(path)
    models = ModelStore(store, engine)
    scan = models.rescan()
    assert [model.manifest.version for model in models.models] == [1]
    [bad] = scan.bad
    assert bad.path == path
    assert re.search(reason, bad.reason)


def test_a_changed_byte_anywhere_never_gives_another_model(store: Path, bundle_path: Path) -> None:
    whole = bundle_path.read_bytes()
    [good] = ModelStore(store, OnnxEngine()).rescan().added
    skipped = 0
    for offset in range(0, len(whole), len(whole) // 50):
        bundle_path.write_bytes(whole)
        flip_byte(bundle_path, offset)
        scan = ModelStore(store, OnnxEngine()).rescan()
        skipped += len(scan.bad)
        # the archive has a few bytes without meaning, such as dates: then the content is the same
        assert [model.manifest for model in scan.added] in ([], [good.manifest])
    assert skipped > 40


def test_a_good_bundle_stays_when_its_file_is_replaced_by_a_bad_one(
    store: Path, bundle_path: Path, engine: OnnxEngine
) -> None:
    models = ModelStore(store, engine)
    [good] = models.rescan().added
    bundle_path.write_bytes(b"rubbish")
    assert len(models.rescan().bad) == 1
    assert models.get(good.bundle_id) is good
    assert engine.run(good.bundle_id, 1, spectra(2)[..., None]).logits.shape == (2, 3)


def test_a_file_that_was_incomplete_is_loaded_once_it_is_whole(store: Path, engine: OnnxEngine, tmp_path: Path) -> None:
    make_bundle(tmp_path / "whole", seed=2, version=2)
    content = (tmp_path / "whole").read_bytes()
    path = store / "hand" / "2" / "model.specnet"
    path.parent.mkdir()
    path.write_bytes(content[:1000])
    models = ModelStore(store, engine)
    assert len(models.rescan().bad) == 1
    assert models.rescan().bad == ()
    path.write_bytes(content)
    assert [model.manifest.version for model in models.rescan().added] == [2]


def test_a_store_that_is_no_folder_is_a_configuration_error(tmp_path: Path, engine: OnnxEngine) -> None:
    with pytest.raises(ConfigurationError, match="is no folder"):
        ModelStore(tmp_path / "nowhere", engine)


def test_adding_copies_to_name_and_version_and_twice_is_once(tmp_path: Path, engine: OnnxEngine) -> None:
    make_bundle(tmp_path / "b.specnet", name="minerals", version=7)
    target = add_bundle(tmp_path / "store", tmp_path / "b.specnet", engine)
    assert target == tmp_path / "store" / "minerals" / "7" / "model.specnet"
    assert target.read_bytes() == (tmp_path / "b.specnet").read_bytes()
    assert add_bundle(tmp_path / "store", tmp_path / "b.specnet", engine) == target
    assert [path.name for path in target.parent.iterdir()] == ["model.specnet"]


def test_another_bundle_of_the_same_version_is_not_overwritten(tmp_path: Path, store: Path, engine: OnnxEngine) -> None:
    make_bundle(tmp_path / "b.specnet", seed=1)
    with pytest.raises(BundleError, match=r"as hand version 1, got .*: export it with a higher version"):
        add_bundle(store, tmp_path / "b.specnet", engine)


def test_a_damaged_file_in_the_store_is_replaced(
    tmp_path: Path, store: Path, bundle_path: Path, engine: OnnxEngine
) -> None:
    make_bundle(tmp_path / "b.specnet", seed=1)
    bundle_path.write_bytes(b"damaged")
    add_bundle(store, tmp_path / "b.specnet", engine)
    assert bundle_path.read_bytes() == (tmp_path / "b.specnet").read_bytes()


def test_a_bundle_that_fails_its_self_test_is_not_added(tmp_path: Path, engine: OnnxEngine) -> None:
    make_bundle(tmp_path / "b.specnet", selftest_error=0.1)
    with pytest.raises(BundleIntegrityError):
        add_bundle(tmp_path / "store", tmp_path / "b.specnet", engine)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", ["..", "../outside", "a/b", ".hidden", ""])
def test_a_name_cannot_lead_out_of_the_store(tmp_path: Path, engine: OnnxEngine, name: str) -> None:
    make_bundle(tmp_path / "b.specnet", name=name)
    with pytest.raises(BundleError, match="name"):
        add_bundle(tmp_path / "store", tmp_path / "b.specnet", engine)
    assert not (tmp_path / "outside").exists()
