"""A signature holds for one bundle, one claim and one key, and for nothing else."""

from __future__ import annotations

import base64
import contextlib
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_models import Releaser, make_version

from specnet.errors import BundleError, SignatureError
from specnet.signing import (
    BundleSignature,
    TrustedKeys,
    check_bundle_bytes,
    decode_signature,
    encode_signature,
    generate_key,
    read_private_key,
    read_signature,
    sign_bundle,
    signature_path,
)
from specnet.signing.signature import MODEL_NAME

FAST = settings(max_examples=200, deadline=None, database=None)
CLAIMS = st.builds(
    BundleSignature,
    name=st.from_regex(MODEL_NAME, fullmatch=True).filter(lambda name: not name.endswith("\n")),
    version=st.integers(1, 2**31 - 1),
    size=st.integers(1, 1 << 28),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    created=st.just("2026-01-02T03:04:05Z"),
    key_id=st.text("0123456789abcdef", min_size=16, max_size=16),
    signature=st.binary(min_size=64, max_size=64).map(lambda raw: base64.b64encode(raw).decode()),
)


@pytest.fixture(scope="module")
def releaser(tmp_path_factory: pytest.TempPathFactory) -> Releaser:
    return Releaser(tmp_path_factory.mktemp("releases"))


def test_a_signed_bundle_is_accepted_and_its_bytes_are_as_before(releaser: Releaser, tmp_path: Path) -> None:
    release = releaser.release(3)
    plain = make_version(tmp_path / "same.specnet", 3)
    assert release.data == plain.read_bytes()
    signature = read_signature(signature_path(release.path))
    TrustedKeys(releaser.trust).verify(signature)
    bundle = check_bundle_bytes(release.data, signature)
    assert (bundle.manifest.name, bundle.manifest.version) == (signature.name, signature.version) == ("tiny", 3)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"version": 4},
        {"size": 1},
        {"sha256": "0" * 64},
        {"created": "2020-01-01T00:00:00Z"},
        {"signature": base64.b64encode(bytes(64)).decode()},
    ],
)
def test_no_field_of_the_claim_can_be_changed(releaser: Releaser, change: dict[str, object]) -> None:
    signature = msgspec.structs.replace(releaser.release(3).signature, **change)
    with pytest.raises(SignatureError, match="is not that of key"):
        TrustedKeys(releaser.trust).verify(signature)


def test_one_changed_byte_of_the_bundle_is_noticed(releaser: Releaser) -> None:
    release = releaser.release(3)
    for position in (0, len(release.data) // 2, len(release.data) - 1):
        data = bytearray(release.data)
        data[position] ^= 1
        with pytest.raises(SignatureError, match="signed are"):
            check_bundle_bytes(bytes(data), release.signature)
    with pytest.raises(SignatureError, match="signed are"):
        check_bundle_bytes(release.data + b"\0", release.signature)


def test_a_claim_of_another_name_or_version_than_the_manifests_is_refused(releaser: Releaser) -> None:
    release = releaser.release(3)
    claim = msgspec.structs.replace(release.signature, version=9)
    with pytest.raises(SignatureError, match="is tiny version 3, signed is tiny version 9"):
        check_bundle_bytes(release.data, claim)


def test_any_of_several_keys_will_do_until_it_is_removed(releaser: Releaser, tmp_path: Path) -> None:
    trust = tmp_path / "trust"
    trust.mkdir()
    second = Releaser(tmp_path / "second", "second")
    (trust / "a.pem").write_bytes(releaser.public.read_bytes())
    (trust / "b.pem").write_bytes(second.public.read_bytes())
    releases = [releaser.release(3).signature, second.release(3).signature]
    for signature in releases:
        TrustedKeys(trust).verify(signature)
    (trust / "a.pem").unlink()
    TrustedKeys(trust).verify(releases[1])
    with pytest.raises(SignatureError, match=f"signed with key {releaser.key_id}, trusted in .*: {second.key_id}"):
        TrustedKeys(trust).verify(releases[0])


def test_private_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    private = tmp_path / "a.key"
    generate_key(private, tmp_path / "a.pem")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    with pytest.raises(SignatureError, match="exists already"):
        generate_key(private, tmp_path / "b.pem")
    private.chmod(0o640)
    with pytest.raises(SignatureError, match="mode 0640, expected 0600"):
        read_private_key(private)


def test_keys_that_are_none_are_named(tmp_path: Path) -> None:
    generate_key(tmp_path / "a.key", tmp_path / "a.pem")
    bad = tmp_path / "bad.pem"
    bad.write_text("no key")
    with pytest.raises(SignatureError, match="is no unencrypted key in PEM"):
        TrustedKeys(tmp_path)
    bad.write_bytes(bytes(5000))
    with pytest.raises(SignatureError, match="over 4096 bytes"):
        TrustedKeys(bad)
    bad.unlink()
    (tmp_path / "a.pem").chmod(0o666)
    with pytest.raises(SignatureError, match="can be written by anybody"):
        TrustedKeys(tmp_path)
    with pytest.raises(SignatureError, match="cannot read key"):
        read_private_key(tmp_path / "missing.key")


def test_what_is_no_bundle_is_not_signed(releaser: Releaser, tmp_path: Path) -> None:
    path = tmp_path / "x.specnet"
    path.write_bytes(b"no bundle")
    with pytest.raises(BundleError):
        sign_bundle(path, read_private_key(releaser.key))


@FAST
@given(claim=CLAIMS)
def test_a_signature_survives_its_file(claim: BundleSignature) -> None:
    assert decode_signature(encode_signature(claim)) == claim


@FAST
@given(first=CLAIMS, second=CLAIMS)
def test_different_claims_have_different_bytes(first: BundleSignature, second: BundleSignature) -> None:
    same = msgspec.structs.replace(second, signature=first.signature) == first
    assert (first.signed_bytes == second.signed_bytes) == same


def test_fields_cannot_flow_into_each_other() -> None:
    claim = BundleSignature(
        name="a", version=12, size=3, sha256="0" * 64, created="2026-01-02T03:04:05Z", key_id="0" * 16
    )
    assert claim.signed_bytes.startswith(b"27 specnet bundle signature v1 7 ed25519 16 0000000000000000 1 a 2 12 1 3 ")


@FAST
@given(document=st.binary(max_size=300))
def test_any_bytes_are_a_signature_or_a_clear_error(document: bytes) -> None:
    with contextlib.suppress(SignatureError):
        assert isinstance(decode_signature(document), BundleSignature)


@FAST
@given(claim=CLAIMS, data=st.data())
def test_damaged_signature_files_are_clear_errors(claim: BundleSignature, data: st.DataObject) -> None:
    document = bytearray(encode_signature(claim))
    for position in data.draw(st.lists(st.integers(0, len(document) - 1), min_size=1, max_size=4)):
        document[position] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SignatureError):
        assert isinstance(decode_signature(bytes(document)), BundleSignature)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"algorithm": "rsa"}, "algorithm"),
        ({"format_version": 2}, "format_version"),
        ({"name": "../x"}, "name"),
        ({"name": ".."}, "name"),
        ({"version": 0}, "version"),
        ({"size": 1 << 40}, "size"),
        ({"signature": ""}, "empty signature"),
        ({"signature": "AAAA"}, "signature"),
        ({"more": 1}, "unknown field"),
    ],
)
def test_impossible_claims_are_named(releaser: Releaser, change: dict[str, object], complaint: str) -> None:
    document = msgspec.to_builtins(releaser.release(3).signature) | change
    with pytest.raises(SignatureError, match=complaint):
        decode_signature(msgspec.json.encode(document))


def test_a_signature_file_has_a_size_limit() -> None:
    with pytest.raises(SignatureError, match="at most 2048"):
        decode_signature(b"{" + b" " * 3000)
