"""A store over time: what is unloaded, what comes back, and that nothing is taken from under a request."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_bundle import make_bundle, spectra

from gateway.adding import add_bundle
from gateway.engine import OnnxEngine
from gateway.models import ModelStore, Scan, ServedModel, UnloadedModel
from gateway.residency import Room, estimated_bytes
from specnet.bundle import read_bundle
from specnet.errors import ConfigurationError, EngineMemoryError, ModelError
from specnet.manifest import Manifest
from specnet.signing import generate_key, read_private_key, sign_bundle, signature_path, write_signature


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def path_of(store: Path, version: int, name: str = "hand") -> Path:
    return store / name / str(version) / "model.specnet"


def add(store: Path, version: int, name: str = "hand") -> Manifest:
    return make_bundle(path_of(store, version, name), seed=version, version=version, name=name)


def versions(store: ModelStore) -> list[int]:
    return [model.manifest.version for model in store.models]


def can_run(engine: OnnxEngine, bundle_id: str) -> bool:
    try:
        engine.run(bundle_id, 1, spectra(2)[..., None])
    except ModelError:
        return False
    return True


def served(scan: Scan) -> ServedModel:
    [model] = scan.added
    return model


# ---------------------------------------------------------------------- removed files


def test_a_removed_bundle_is_served_until_nobody_has_asked_for_it_for_the_grace(
    store: Path, engine: OnnxEngine, clock: Clock
) -> None:
    models = ModelStore(store, engine, grace_s=60, clock=clock)
    first = served(models.rescan()).bundle_id
    add(store, 2)
    models.rescan()
    clock.now += 1000
    path_of(store, 1).unlink()
    assert models.rescan() == Scan((), ())
    clock.now += 59
    models.rescan()
    assert models.find(first) is not None
    clock.now += 59
    assert models.rescan().unloaded == ()
    clock.now += 2
    [gone] = models.rescan().unloaded
    assert (gone.model.bundle_id, gone.reason) == (first, "removed")
    assert versions(models) == [2]
    assert models.find(first) is None
    assert not can_run(engine, first)


def test_a_file_that_comes_back_ends_the_grace(store: Path, engine: OnnxEngine, clock: Clock) -> None:
    models = ModelStore(store, engine, grace_s=60, clock=clock)
    models.rescan()
    content = path_of(store, 1).read_bytes()
    for _ in range(3):
        path_of(store, 1).unlink()
        models.rescan()
        clock.now += 50
        path_of(store, 1).write_bytes(content)
        models.rescan()
    assert versions(models) == [1]


def test_a_bad_file_in_the_place_of_a_good_one_is_no_removal(store: Path, engine: OnnxEngine, clock: Clock) -> None:
    models = ModelStore(store, engine, grace_s=60, clock=clock)
    first = served(models.rescan()).bundle_id
    path_of(store, 1).write_bytes(b"rubbish")
    assert len(models.rescan().bad) == 1
    clock.now += 1000
    assert models.rescan() == Scan((), ())
    assert models.find(first) is not None


def test_a_bundle_is_not_pulled_out_from_under_its_requests(store: Path, engine: OnnxEngine, clock: Clock) -> None:
    under_way: set[str] = set()
    models = ModelStore(store, engine, grace_s=60, clock=clock, in_use=under_way.__contains__)
    first = served(models.rescan()).bundle_id
    under_way.add(first)
    path_of(store, 1).unlink()
    models.rescan()
    clock.now += 61
    assert models.rescan().unloaded == ()
    # no new requests, but those that came before are computed
    assert models.leaving
    assert models.find(first) is None
    assert can_run(engine, first)
    under_way.clear()
    assert [gone.model.bundle_id for gone in models.rescan().unloaded] == [first]
    assert not models.leaving
    assert not can_run(engine, first)


# ---------------------------------------------------------------------- a limit of memory


@pytest.fixture
def room_for_two(store: Path) -> Room:
    """The store gets versions 1, 2 and 3, of which two fit."""
    size = max(estimated_bytes(add(store, version)) for version in (1, 2, 3))
    return Room(max_bytes=2 * size + size // 2, stay_s=60)


def test_at_first_the_newest_versions_are_loaded(
    store: Path, engine: OnnxEngine, clock: Clock, room_for_two: Room
) -> None:
    other = add(store, 1, "other")
    models = ModelStore(store, engine, room=room_for_two, clock=clock)
    scan = models.rescan()
    assert scan.bad == ()
    assert {(model.manifest.name, model.manifest.version) for model in models.models} == {("hand", 3), ("other", 1)}
    assert models.memory_bytes <= room_for_two.max_bytes
    assert other.bundle_id in {model.bundle_id for model in scan.added}


def test_what_is_asked_for_is_loaded_and_the_least_recently_used_goes(
    store: Path, engine: OnnxEngine, clock: Clock, room_for_two: Room
) -> None:
    models = ModelStore(store, engine, room=room_for_two, clock=clock)
    ids = {model.manifest.version: model.bundle_id for model in models.rescan().added}
    assert versions(models) == [2, 3]
    first = add(store, 1).bundle_id
    clock.now += 61
    assert models.find(ids[2]) is not None
    assert not models.wake.is_set()
    with pytest.raises(UnloadedModel, match="is being loaded"):
        models.find(first)
    assert models.wake.is_set()
    scan = models.rescan()
    assert served(scan).bundle_id == first
    # version 3 was not asked for at all, but the newest one stays
    assert [(gone.model.manifest.version, gone.reason) for gone in scan.unloaded] == [(2, "memory")]
    assert versions(models) == [1, 3]
    assert models.find(first) is not None
    assert not can_run(engine, ids[2])


def test_bundles_that_take_turns_in_too_little_memory_all_get_theirs(
    store: Path, engine: OnnxEngine, clock: Clock, room_for_two: Room
) -> None:
    room = Room(max_bytes=room_for_two.max_bytes // 2, stay_s=60)
    models = ModelStore(store, engine, room=room, clock=clock)
    models.rescan()
    ids = [add(store, version).bundle_id for version in (1, 2, 3)]
    answered = dict.fromkeys(ids, 0)
    for _ in range(400):
        clock.now += 1
        for bundle_id in ids:
            try:
                answered[bundle_id] += models.find(bundle_id) is not None
            except UnloadedModel:
                models.rescan()
        assert len(models.models) == 1
    assert min(answered.values()) > 50


def test_a_bundle_that_fails_when_it_is_asked_for_displaces_none(
    store: Path, engine: OnnxEngine, clock: Clock, room_for_two: Room
) -> None:
    bad = make_bundle(path_of(store, 1), seed=9, version=1, selftest_error=0.1)
    models = ModelStore(store, engine, room=room_for_two, clock=clock)
    assert models.rescan().bad == ()
    clock.now += 61
    with pytest.raises(UnloadedModel):
        models.find(bad.bundle_id)
    scan = models.rescan()
    assert [broken.path for broken in scan.bad] == [path_of(store, 1)]
    assert scan.unloaded == ()
    assert versions(models) == [2, 3]
    # now it is known to be bad, and asking again is answered with an error
    assert models.find(bad.bundle_id) is None
    assert models.rescan() == Scan((), ())


def test_a_bundle_larger_than_all_memory_is_bad_and_the_others_are_served(
    store: Path, engine: OnnxEngine, clock: Clock
) -> None:
    models = ModelStore(store, engine, room=Room(max_bytes=1000), clock=clock)
    [bad] = models.rescan().bad
    assert "max_model_bytes is 1000" in bad.reason
    assert models.models == []


def test_one_that_is_asked_for_again_while_it_leaves_comes_back_without_loading(
    store: Path, engine: OnnxEngine, clock: Clock, room_for_two: Room
) -> None:
    under_way: set[str] = set()
    models = ModelStore(store, engine, room=room_for_two, clock=clock, in_use=under_way.__contains__)
    ids = {model.manifest.version: model.bundle_id for model in models.rescan().added}
    under_way.add(ids[2])
    clock.now += 61
    models.find(ids[3])
    with pytest.raises(UnloadedModel):
        models.find(add(store, 1).bundle_id)
    models.rescan()
    assert models.leaving
    assert versions(models) == [1, 3]
    with pytest.raises(UnloadedModel):
        models.find(ids[2])
    clock.now += 61
    scan = models.rescan()
    assert scan.added == ()
    assert versions(models) == [2, 3]
    assert [gone.model.manifest.version for gone in scan.unloaded] == [1]
    assert can_run(engine, ids[2])


class FullEngine(OnnxEngine):
    """The real engine, which has no memory for another bundle while `full`."""

    full = False

    def load(self, bundle: object) -> None:
        if self.full:
            raise EngineMemoryError("no memory for the weights")
        super().load(bundle)


def test_want_of_memory_at_load_says_nothing_of_the_bundle(store: Path, clock: Clock) -> None:
    first = read_bundle(path_of(store, 1)).bundle_id
    engine = FullEngine()
    engine.full = True
    models = ModelStore(store, engine, clock=clock)
    [bad] = models.rescan().bad
    assert "no memory" in bad.reason
    engine.full = False
    with pytest.raises(UnloadedModel):
        models.find(first)
    assert versions(models) == []
    models.rescan()
    assert versions(models) == [1]


# ---------------------------------------------------------------------- signatures


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    folder = tmp_path / "trust"
    for name in ("release", "second"):
        generate_key(tmp_path / f"{name}.key", folder / f"{name}.pem")
    generate_key(tmp_path / "stranger.key", tmp_path / "stranger.pem")
    return folder


def sign(path: Path, key: str = "release") -> Path:
    private = read_private_key(path.parents[3] / f"{key}.key")
    return write_signature(signature_path(path), sign_bundle(path, private))


def test_only_what_a_trusted_key_has_signed_is_served(store: Path, engine: OnnxEngine, trust: Path) -> None:
    for version in (2, 3, 4):
        add(store, version)
    sign(path_of(store, 1))
    sign(path_of(store, 2), "stranger")
    signature_path(path_of(store, 3)).write_bytes(sign(path_of(store, 1)).read_bytes())
    models = ModelStore(store, engine, trust_dir=trust)
    scan = models.rescan()
    assert versions(models) == [1]
    reasons = {bad.path.parent.name: bad.reason for bad in scan.bad}
    assert "signed with key" in reasons["2"]
    assert "signed are" in reasons["3"]
    assert "cannot read signature" in reasons["4"]
    assert versions(models) == [1]


def test_a_signature_that_comes_later_is_seen(store: Path, engine: OnnxEngine, trust: Path) -> None:
    models = ModelStore(store, engine, trust_dir=trust)
    assert len(models.rescan().bad) == 1
    assert models.rescan().bad == ()
    sign(path_of(store, 1))
    assert [model.manifest.version for model in models.rescan().added] == [1]


def test_what_an_untrusted_key_signs_does_not_displace_what_is_served(
    store: Path, engine: OnnxEngine, trust: Path, clock: Clock
) -> None:
    sign(path_of(store, 1))
    models = ModelStore(store, engine, trust_dir=trust, grace_s=60, clock=clock)
    first = served(models.rescan()).bundle_id
    make_bundle(path_of(store, 1), seed=5)
    sign(path_of(store, 1), "stranger")
    assert len(models.rescan().bad) == 1
    clock.now += 1000
    models.rescan()
    assert models.find(first) is not None


def test_a_key_that_is_removed_is_trusted_no_more(store: Path, engine: OnnxEngine, trust: Path) -> None:
    add(store, 2)
    sign(path_of(store, 1), "second")
    sign(path_of(store, 2))
    models = ModelStore(store, engine, trust_dir=trust)
    ids = {model.manifest.version: model.bundle_id for model in models.rescan().added}
    assert sorted(ids) == [1, 2]
    (trust / "second.pem").unlink()
    scan = models.rescan()
    assert [(gone.model.manifest.version, gone.reason) for gone in scan.unloaded] == [(1, "trust")]
    assert models.find(ids[1]) is None
    assert models.find(ids[2]) is not None
    # signed anew with a key that is trusted
    sign(path_of(store, 1))
    assert served(models.rescan()).bundle_id == ids[1]


def test_a_bundle_signed_anew_stays_when_the_key_of_before_goes(store: Path, engine: OnnxEngine, trust: Path) -> None:
    sign(path_of(store, 1), "second")
    models = ModelStore(store, engine, trust_dir=trust)
    models.rescan()
    sign(path_of(store, 1))
    models.rescan()
    (trust / "second.pem").unlink()
    assert models.rescan() == Scan((), ())
    assert versions(models) == [1]


def test_what_leaves_for_want_of_trust_can_come_back_before_its_last_request_is_done(
    store: Path, engine: OnnxEngine, trust: Path
) -> None:
    under_way: set[str] = set()
    sign(path_of(store, 1), "second")
    models = ModelStore(store, engine, trust_dir=trust, in_use=under_way.__contains__)
    first = served(models.rescan()).bundle_id
    under_way.add(first)
    (trust / "second.pem").unlink()
    models.rescan()
    assert models.leaving
    sign(path_of(store, 1))
    for _ in range(3):
        assert models.rescan().unloaded == ()
        assert versions(models) == [1]
        assert not models.leaving


def test_nobody_to_trust_is_a_mistake_of_configuration(store: Path, engine: OnnxEngine, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=r"has no \*\.pem"):
        ModelStore(store, engine, trust_dir=tmp_path / "empty")
    with pytest.raises(ConfigurationError, match="is not there"):
        ModelStore(store, engine, trust_dir=tmp_path / "nowhere")


def test_adding_brings_the_signature_along_and_refuses_what_is_not_signed(
    tmp_path: Path, engine: OnnxEngine, trust: Path
) -> None:
    source = tmp_path / "a" / "b" / "c" / "b.specnet"
    make_bundle(source, version=2)
    with pytest.raises(Exception, match="cannot read signature"):
        add_bundle(tmp_path / "store", source, engine, trust_dir=trust)
    assert not (tmp_path / "store").exists()
    write_signature(signature_path(source), sign_bundle(source, read_private_key(tmp_path / "release.key")))
    add_bundle(tmp_path / "store", source, engine, trust_dir=trust)
    assert versions_of(tmp_path / "store", trust) == [2]


def versions_of(store: Path, trust: Path) -> list[int]:
    models = ModelStore(store, OnnxEngine(), trust_dir=trust)
    assert models.rescan().bad == ()
    return versions(models)
