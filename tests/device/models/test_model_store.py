"""The rules of the store: what is used, what comes back, what is never accepted, what stays on disk."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_models import TINY, Releaser

from device.config import DeviceConfiguration
from device.models.installing import Installer
from device.models.starting import OpenedModel, open_model
from device.models.state import StoreState, read_state, write_state
from device.models.store import STATE, ModelStore
from device.models.trial import ModelTrial
from specnet.bundle import read_bundle
from specnet.errors import BundleError, ModelStoreError


@pytest.fixture
def factory(configuration: DeviceConfiguration) -> Path:
    return Path(configuration.bundle)


def put(installer: Installer, releaser: Releaser, version: int, **changes: object) -> None:
    """Install and activate a version."""
    release = releaser.release(version, **changes)
    store = installer._store
    store.activate(installer.install_copy(release.path, release.signature_document))


def version(opened: OpenedModel) -> int:
    return opened.bundle.manifest.version


def confirm(store: ModelStore, opened: OpenedModel, after: int = 3) -> None:
    trial = ModelTrial(store, opened, after)
    assert [trial.judged() for _ in range(after)] == [False] * (after - 1) + [True]
    trial.ended()


def test_without_an_update_the_bundle_of_the_configuration_is_used(store: ModelStore, factory: Path) -> None:
    opened = open_model(store, factory)
    assert (version(opened), opened.record, opened.on_trial) == (1, None, False)
    with pytest.raises(ModelStoreError, match="there is none before it"):
        store.rollback("by hand")


def test_a_model_is_confirmed_by_answers_and_survives_any_number_of_starts_then(
    store: ModelStore, installer: Installer, releaser: Releaser, factory: Path
) -> None:
    put(installer, releaser, 2)
    opened = open_model(store, factory)
    assert (version(opened), opened.on_trial) == (2, True)
    confirm(store, opened)
    for _ in range(5):
        opened = open_model(store, factory)
        assert (version(opened), opened.on_trial, opened.rolled_back) == (2, False, "")


def test_two_starts_without_an_end_bring_the_old_one_back_for_good(
    store: ModelStore, installer: Installer, releaser: Releaser, factory: Path
) -> None:
    put(installer, releaser, 2)
    confirm(store, open_model(store, factory))
    put(installer, releaser, 3)
    assert [version(open_model(store, factory)) for _ in range(2)] == [3, 3]
    back = open_model(store, factory)
    assert version(back) == 2
    assert "tiny/3: 2 starts did not end in order" in back.rolled_back
    assert open_model(store, factory).rolled_back == ""
    record = store.find("tiny", 3)
    with pytest.raises(ModelStoreError, match="was refused before: 2 starts"):
        store.activate(record)
    store.activate(record, force=True)
    assert version(open_model(store, factory)) == 3


def test_orderly_ends_do_not_count_and_answers_add_up_over_starts(
    store: ModelStore, installer: Installer, releaser: Releaser, factory: Path
) -> None:
    put(installer, releaser, 2)
    for turn in range(4):
        opened = open_model(store, factory)
        assert (version(opened), opened.on_trial) == (2, True)
        trial = ModelTrial(store, opened, 5)
        assert trial.judged() is False
        trial.ended()
        assert store.state.trial == msgspec.convert({"starts": 0, "good": turn + 1}, type(store.state.trial))
    assert ModelTrial(store, open_model(store, factory), 5).judged() is True


def test_a_model_on_trial_is_not_what_a_rollback_goes_to(
    store: ModelStore, installer: Installer, releaser: Releaser, factory: Path
) -> None:
    for number in (2, 3):
        put(installer, releaser, number)
    store.rollback("by hand")
    assert version(open_model(store, factory)) == 1


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_damaged_file_brings_the_old_one_back_at_once(
    store: ModelStore, installer: Installer, releaser: Releaser, factory: Path, confirmed: bool
) -> None:
    put(installer, releaser, 2)
    if confirmed:
        confirm(store, open_model(store, factory))
    path = store.bundle_path(store.find("tiny", 2))
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    opened = open_model(store, factory)
    assert version(opened) == 1
    assert "has sha256" in opened.rolled_back
    assert path.exists() is not confirmed
    # what was good may come again; what was never confirmed may not
    again = releaser.release(2)
    if confirmed:
        store.activate(installer.install_copy(again.path, again.signature_document))
        assert version(open_model(store, factory)) == 2
    else:
        with pytest.raises(ModelStoreError, match="was refused before: it cannot be read"):
            installer.install_copy(again.path, again.signature_document)


def test_a_damaged_model_in_use_does_not_keep_a_new_one_out(
    store: ModelStore, installer: Installer, releaser: Releaser, factory: Path
) -> None:
    put(installer, releaser, 2)
    store.bundle_path(store.find("tiny", 2)).write_bytes(b"rubbish")
    put(installer, releaser, 3)
    assert version(open_model(store, factory)) == 3


def test_a_model_that_was_replaced_meanwhile_confirms_nothing(
    store: ModelStore, installer: Installer, releaser: Releaser, factory: Path
) -> None:
    put(installer, releaser, 2)
    trial = ModelTrial(store, open_model(store, factory), 1)
    put(installer, releaser, 3)
    trial.judged()
    assert store.state.trial is not None


def test_nothing_older_than_what_was_in_use_is_accepted(
    store: ModelStore, installer: Installer, releaser: Releaser, factory: Path
) -> None:
    put(installer, releaser, 5)
    older = releaser.release(4)
    with pytest.raises(ModelStoreError, match="tiny version 4 is older than 5"):
        installer.install_copy(older.path, older.signature_document)
    record = installer.install_copy(older.path, older.signature_document, force=True)
    with pytest.raises(ModelStoreError, match="is older than 5"):
        store.activate(record)
    store.activate(record, force=True)
    assert version(open_model(store, factory)) == 4
    # what somebody at the device has replaced does not come back with the next announcement
    with pytest.raises(ModelStoreError, match="replaced by tiny/4 by hand"):
        store.check_acceptable("tiny", 5, store.find("tiny", 5).sha256)


def test_the_version_the_device_came_with_counts_before_its_first_start(
    tmp_path: Path, configuration: DeviceConfiguration, releaser: Releaser
) -> None:
    newer = releaser.release(7)
    configuration = msgspec.structs.replace(configuration, bundle=str(newer.path))
    older = releaser.release(6)
    with pytest.raises(ModelStoreError, match="tiny version 6 is older than 7"):
        Installer(configuration, ModelStore(tmp_path / "state")).install_copy(older.path, older.signature_document)


def test_the_same_version_with_another_content_is_refused(
    tmp_path: Path, installer: Installer, releaser: Releaser, store: ModelStore
) -> None:
    put(installer, releaser, 2)
    other = releaser.release(2, selftest_error=1e-5)
    with pytest.raises(ModelStoreError, match="export it with a higher version"):
        installer.install_copy(other.path, other.signature_document)
    again = releaser.release(2)
    assert installer.install_copy(again.path, again.signature_document) == store.state.active


def test_disk_is_bounded_and_what_is_needed_stays(
    store: ModelStore, installer: Installer, releaser: Releaser, factory: Path
) -> None:
    for number in range(2, 8):
        put(installer, releaser, number)
        confirm(store, open_model(store, factory))
    assert [record.version for record in store.installed()] == [5, 6, 7]
    assert store.state.previous == store.find("tiny", 6)
    for number in (6, 7):
        with pytest.raises(ModelStoreError, match="it stays"):
            store.remove(store.find("tiny", number))
    store.remove(store.find("tiny", 5))
    with pytest.raises(ModelStoreError, match="tiny/5 is not installed; installed are: tiny/6, tiny/7"):
        store.find("tiny", 5)


def test_a_running_service_notices_another_model(
    store: ModelStore, installer: Installer, releaser: Releaser, factory: Path
) -> None:
    trial = ModelTrial(store, open_model(store, factory), 3)
    assert trial.replaced() is False
    put(installer, releaser, 2)
    trial._look_at = 0.0
    assert trial.replaced() is True


def test_two_processes_do_not_install_at_once(store: ModelStore, installer: Installer, releaser: Releaser) -> None:
    release = releaser.release(2)
    with store.staging(), pytest.raises(ModelStoreError, match="another process installs"):
        installer.install_copy(release.path, release.signature_document)


def test_a_disk_that_takes_nothing_leaves_the_old_model(
    store: ModelStore, installer: Installer, releaser: Releaser, factory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(installer, releaser, 2)
    confirm(store, open_model(store, factory))
    put(installer, releaser, 3)

    def full(path: Path, data: bytes) -> Path:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("device.models.state.write_bytes", full)
    opened = open_model(store, factory)
    assert version(opened) == 2
    assert "cannot be written" in opened.rolled_back
    monkeypatch.undo()
    assert version(open_model(store, factory)) == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"active": 3}', b'{"more": 1}', bytes(100_000)])
def test_a_damaged_state_is_set_aside_and_versions_still_do_not_go_back(
    store: ModelStore, installer: Installer, releaser: Releaser, factory: Path, content: bytes
) -> None:
    put(installer, releaser, 3)
    (store.root / STATE).write_bytes(content)
    assert store.state.active is None
    assert [path.read_bytes() for path in store.root.glob("state.json.damaged-*")] == [content]
    assert version(open_model(store, factory)) == 1
    with pytest.raises(ModelStoreError, match="older than 3"):
        store.check_acceptable("tiny", 2, "0" * 64)


def test_a_state_of_a_newer_release_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_state(path, StoreState(format_version=2))
    with pytest.raises(ModelStoreError, match="update specnet"):
        read_state(path)
    assert path.exists()


@settings(max_examples=200, deadline=None, database=None)
@given(content=st.binary(max_size=300))
def test_any_bytes_are_a_state_or_set_aside(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("state") / "state.json"
    path.write_bytes(content)
    with contextlib.suppress(ModelStoreError):
        assert isinstance(read_state(path), StoreState)


# ---- checks, each in a real process


def test_what_nobody_trusted_has_signed_is_refused(
    tmp_path: Path, installer: Installer, releaser: Releaser, store: ModelStore
) -> None:
    stranger = Releaser(tmp_path / "stranger", "stranger")
    foreign = stranger.release(2)
    good = releaser.release(2)
    for signature, complaint in (
        (foreign.signature_document, "signed with key"),
        (b"", "has no signature"),
        (b"{}", "is no signature"),
        (releaser.release(3).signature_document, "signed are"),
    ):
        with pytest.raises(BundleError, match=complaint):
            installer.install_copy(good.path, signature)
    forged = msgspec.structs.replace(foreign.signature, key_id=releaser.key_id)
    with pytest.raises(BundleError, match="is not that of key"):
        installer.install_copy(foreign.path, msgspec.json.encode(forged))
    assert store.installed() == []


def test_a_bundle_that_fails_its_self_test_is_not_installed(
    installer: Installer, releaser: Releaser, store: ModelStore
) -> None:
    bad = releaser.release(2, selftest_error=1.0)
    with pytest.raises(BundleError, match="deviates by"):
        installer.install_copy(bad.path, bad.signature_document)
    assert store.installed() == []
    assert not list(store.root.glob("staging-*"))


def test_a_bundle_that_does_not_fit_the_configuration_is_not_installed(
    configuration: DeviceConfiguration, releaser: Releaser, store: ModelStore
) -> None:
    good = releaser.release(2)
    for changes, complaint in (
        ({"operating_point": "bold"}, "unknown operating point"),
        ({"split": 9}, "split is 0 to 3"),
        ({"spectrometer": msgspec.structs.replace(configuration.spectrometer, n_points=7)}, "n_points is 7"),
    ):
        changed = msgspec.structs.replace(configuration, **changes)
        with pytest.raises(BundleError, match=complaint):
            Installer(changed, store).install_copy(good.path, good.signature_document)


def test_a_model_for_another_instrument_is_not_installed(
    installer: Installer, releaser: Releaser, store: ModelStore
) -> None:
    other_unit = releaser.release(2, intensity_unit="absorbance")
    with pytest.raises(BundleError, match="takes intensities in 'absorbance', the one in use"):
        installer.install_copy(other_unit.path, other_unit.signature_document)
    axis = dict(read_bundle(TINY).manifest.source_axis)
    other_axis = releaser.release(3, source_axis=axis | {"values": [value + 5.0 for value in axis["values"]]})
    with pytest.raises(BundleError, match="the instrument gives 400 from"):
        installer.install_copy(other_axis.path, other_axis.signature_document)
    assert store.installed() == []


def test_checks_that_take_too_long_or_crash_are_failures(
    tmp_path: Path,
    configuration: DeviceConfiguration,
    releaser: Releaser,
    store: ModelStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = releaser.release(2)
    impatient = msgspec.structs.replace(
        configuration, models=msgspec.structs.replace(configuration.models, check_timeout_s=1.0)
    )
    # a program in the place of the interpreter does what a bad graph does to the runtime
    program = tmp_path / "program"
    for text, error, complaint in (
        ("kill -SEGV $$", BundleError, "ended with code -11"),
        ("echo broken >&2; exit 3", BundleError, "ended with code 3: broken"),
        ("exec sleep 60", BundleError, "took over 1 s"),
        ("echo no verdict", BundleError, "gave no verdict"),
        (None, ModelStoreError, "no process"),
    ):
        program.unlink(missing_ok=True)
        if text is not None:
            program.write_text(f"#!/bin/sh\n{text}\n")
            program.chmod(0o755)
        monkeypatch.setattr("device.models.checking.sys.executable", str(program))
        with pytest.raises(error, match=complaint):
            Installer(impatient, store).install_copy(good.path, good.signature_document)
    assert store.installed() == []


def test_without_trusted_keys_local_bundles_need_no_signature(
    configuration: DeviceConfiguration, releaser: Releaser, store: ModelStore
) -> None:
    nobody = msgspec.structs.replace(configuration, models=msgspec.structs.replace(configuration.models, trust_dir=""))
    release = releaser.release(2)
    record = Installer(nobody, store).install_copy(release.path, b"")
    assert (record.label, record.key_id) == ("tiny/2", "")
    with pytest.raises(BundleError, match="trust_dir is not set"):
        Installer(nobody, store).checker.verify_signature(release.signature_document)
