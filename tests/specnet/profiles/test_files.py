"""Profiles as files: what is written is read, and every wrong field is named with what stands there."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support_cli import call
from support_profiles import BUNDLE, device_profile, gateway_profile, link_profile

from specnet.errors import ProfileError
from specnet.profiles import (
    LINK_PRESETS,
    MAX_PROFILE_BYTES,
    Profile,
    describe,
    json_schema,
    read_profile,
    write_profile,
)

PROFILES = {"device": device_profile(), "link": link_profile(), "gateway": gateway_profile()}


def written(folder: Path, document: Any) -> Path:
    path = folder / "profile.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("profile", [*PROFILES.values(), *LINK_PRESETS.values()], ids=lambda profile: profile.name)
def test_what_is_written_is_read(tmp_path: Path, profile: Profile) -> None:
    path = write_profile(tmp_path / "new" / "profile.json", profile)
    assert read_profile(path) == profile
    assert json.loads(path.read_text())["kind"] == profile.kind


NINE = [1.0] * 9
WRONG: list[tuple[str, tuple[str | int, ...], Any, str]] = [
    ("device", ("name",), "", r"name has 1 to 200 printable characters, got '' \(0\)"),
    ("device", ("name",), "a\nb", r"name has 1 to 200 printable characters, got 'a\\nb'"),
    ("device", ("name",), 5, r"Expected `str`, got `int` - at `\$.name`; found 5"),
    ("device", ("created",), "yesterday", "created is a time with its zone .* got 'yesterday'"),
    ("device", ("created",), "2025-03-01T10:00:00", "created is a time with its zone .* got '2025-03-01T10:00:00'"),
    ("device", ("software",), "x" * 201, r"software has 1 to 200 .*\(201\)"),
    ("device", ("bundle",), "minerals", "bundle is an id of 16 hexadecimal digits, got 'minerals'"),
    ("device", ("threads",), 0, "threads is from 1 to 1024, got 0"),
    ("device", ("n_spectra",), 0, "n_spectra is from 1 to .*, got 0"),
    ("device", ("preprocessing_us", "values"), [2.0, *NINE[1:]], "ascend, got 2.0 before 1.0"),
    ("device", ("preprocessing_us",), NINE, r"Expected `object`, got `array` - at `\$.preprocessing_us`; found \[1.0,"),
    ("device", ("segments_us",), {}, r"segments_us has one entry a segment, counted from 0, got \[\]"),
    ("device", ("segments_us", "7"), {"values": NINE}, r"segments_us has .* got \['0', '1', '2', '7'\]"),
    ("device", ("segments_us", "one"), {"values": NINE}, r"segments_us has .* got \['0', '1', '2', 'one'\]"),
    ("device", ("segments_us", "1", "values", 0), "fast", r"Expected `float`, got `str`.*found"),
    ("device", ("policy_us", "values"), NINE[1:], "quantiles have 9 values, got 8"),
    ("device", ("outbox_us",), NINE, r"Expected `object \| null`, got `array` - at `\$.outbox_us`"),
    ("device", ("codecs_us", "2:int8"), {"values": NINE}, "splits 0 to 1; got '2:int8'"),
    ("device", ("codecs_us", "1:no name"), {"values": NINE}, "splits 0 to 1; got '1:no name'"),
    ("device", ("codecs_us", "int8"), {"values": NINE}, "codecs_us has keys <split>:<codec>.*got 'int8'"),
    ("device", ("active_watts",), -1.0, "active_watts is from 0 to 100000, got -1.0"),
    ("device", ("active_watts",), 0.0, "idle_watts is from 0 to 0, got 2.0"),
    ("device", ("active_watts",), "3 W", r"Expected `float`, got `str` - at `\$.active_watts`; found '3 W'"),
    ("device", ("idle_watts",), 4.0, "idle_watts is from 0 to 3, got 4.0"),
    ("device", ("power",), "guessed", "'guessed'.*expected 'stated' or 'measured' or 'unknown'; found 'guessed'"),
    ("device", ("power",), "unknown", "active_watts is 0 where power is 'unknown' .* got 3.0 and 'unknown'"),
    ("device", ("memory_bytes",), 0, "memory_bytes is from 1 to .*, got 0"),
    ("device", ("speed",), 1, "unknown field `speed`; known: kind, format, name"),
    ("device", ("kind",), "gateway", "unknown field"),
    ("device", ("kind",), "toaster", "kind is 'device' or 'link' or 'gateway', got 'toaster'"),
    ("device", ("kind",), 1, "no profile .*Expected `str`, got `int`"),
    ("device", ("format",), 2, "has format 2, this release reads up to 1; update specnet"),
    ("device", ("format",), 0, "expected 1; found 0"),
    ("link", ("source",), "guessed", "expected 'preset' or 'measured'; found 'guessed'"),
    ("link", ("round_trip_ms", "values", 8), -1.0, r"are from 0 to 1e\+12, got -1.0"),
    ("link", ("uplink_bits_s",), 0.0, "uplink_bits_s is from 1 to .*, got 0.0"),
    ("link", ("downlink_bits_s",), -5.0, "downlink_bits_s is from 1 to .*, got -5.0"),
    ("link", ("loss",), 1.0, "loss is a share from 0 to below 1, got 1.0"),
    ("link", ("loss",), -0.1, "loss is a share from 0 to below 1, got -0.1"),
    ("link", ("overhead_bytes",), -1, "overhead_bytes is from 0 to 65535, got -1"),
    ("link", ("overhead_bytes",), 200, "overhead_bytes of a LoRa link is from 0 to 140, got 200"),
    ("link", ("max_payload_bytes",), -1, "max_payload_bytes is from 0 to .*, got -1"),
    ("link", ("max_payload_bytes",), 0, "max_payload_bytes of a LoRa link is from 1 to 255, got 0"),
    ("link", ("duty_cycle",), 0.0, "duty_cycle is a share above 0 up to 1, got 0.0"),
    ("link", ("duty_cycle",), 1.5, "duty_cycle is a share above 0 up to 1, got 1.5"),
    ("link", ("transmit_watts",), -1.0, "transmit_watts is from 0 to 100000, got -1.0"),
    ("link", ("retry_s",), -1.0, r"retry_s is from 0 to 1000000, got -1.0"),
    ("link", ("lora", "spreading_factor"), 13, "spreading_factor is from 7 to 12, got 13"),
    ("link", ("lora", "chirp"), 13, "unknown field `chirp`.*found"),
    ("link", ("name",), "", "name has 1 to 200"),
    ("link", ("created",), "", "created is a time"),
    ("gateway", ("name",), "", "name has 1 to 200"),
    ("gateway", ("created",), "", "created is a time"),
    ("gateway", ("bundle",), "", "bundle is an id"),
    ("gateway", ("engine",), "", "engine has 1 to 200"),
    ("gateway", ("max_batch",), 0, "max_batch is from 1 to 1024, got 0"),
    ("gateway", ("segments_us", "9"), {"values": NINE}, r"counted from 0 or 1, got \['1', '2', '9'\]"),
    ("gateway", ("handling_us", "values"), [], "quantiles have 9 values, got 0"),
    ("gateway", ("batch_us", "65"), {"1": {"values": NINE}}, r"batches of 2 to max_batch \(64\), got '65'"),
    ("gateway", ("batch_us", "16"), {"1": {"values": NINE}}, r"16 has segments \[1\], segments_us has \[1, 2\]"),
    ("gateway", ("loads", 0, "requests_s"), 400.0, r"ascending order of requests_s, got \[400.0, 300.0\]"),
    ("gateway", ("loads", 0, "requests_s"), 0.0, "requests_s is from .*, got 0.0"),
    ("gateway", ("loads", 0, "utilisation"), 3.0, "utilisation is from .* to 2, got 3.0"),
    ("gateway", ("loads", 0, "mean_batch"), 0.5, "mean_batch is from 1 to 1024, got 0.5"),
    ("gateway", ("loads", 0, "mean_batch"), 65.0, "mean_batch is from 1 to 64, got 65.0"),
    ("gateway", ("loads", 1, "queue_ms", "values"), [], "quantiles have 9 values, got 0"),
    ("gateway", ("loads", 1, "compute_ms", "values"), [], "quantiles have 9 values, got 0"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "place", "value", "complaint"), WRONG)
def test_a_wrong_field_is_named_with_what_stands_there(
    tmp_path: Path, kind: str, place: tuple[str | int, ...], value: Any, complaint: str
) -> None:
    document = copy.deepcopy(json.loads(msgspec.json.encode(PROFILES[kind])))
    part: Any = document
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    path = written(tmp_path, document)
    with pytest.raises(ProfileError, match=complaint) as caught:
        read_profile(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("kind", PROFILES)
def test_every_field_without_default_is_needed_and_has_a_test(tmp_path: Path, kind: str) -> None:
    document = json.loads(msgspec.json.encode(PROFILES[kind]))
    for field in msgspec.structs.fields(type(PROFILES[kind])):
        tested = {place[0] for tested_kind, place, _, _ in WRONG if tested_kind == kind}
        assert field.name in tested | {"kind", "format"}
        if field.required:
            path = written(tmp_path, {name: value for name, value in document.items() if name != field.name})
            with pytest.raises(ProfileError, match=f"missing required field `{field.name}`"):
                read_profile(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no profile"),
        (b"[]", "no profile"),
        (b"{}", "no profile .*missing required field `kind`"),
        (b"\xff\xfe", "no profile"),
        (b"[" * 100_000, "no profile"),
        (b'{"kind": "device", "format": 1, "name": NaN}', "no profile"),
        (b" " * (MAX_PROFILE_BYTES + 1), f"has {MAX_PROFILE_BYTES + 1} bytes, at most {MAX_PROFILE_BYTES} are read"),
    ],
    ids=["empty", "list", "object", "not UTF-8", "deep", "NaN", "large"],
)
def test_files_that_are_no_profiles(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "profile.json"
    path.write_bytes(content)
    with pytest.raises(ProfileError, match=complaint):
        read_profile(path)


def test_paths_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"cannot read profile .*missing\.json: No such file"):
        read_profile(tmp_path / "missing.json")
    (tmp_path / "file").touch()
    with pytest.raises(ProfileError, match=r"file/p\.json: cannot be written"):
        write_profile(tmp_path / "file" / "p.json", PROFILES["link"])


@pytest.mark.parametrize("kind", PROFILES)
def test_the_schema_names_every_field(kind: str) -> None:
    schema = json_schema(kind)
    fields = schema["$defs"][type(PROFILES[kind]).__name__]
    assert list(fields["properties"]) == list(type(PROFILES[kind]).__struct_fields__)
    assert fields["properties"]["kind"]["enum"] == [kind]
    assert fields["additionalProperties"] is False
    assert "Quantiles" in schema["$defs"]


def test_there_is_no_schema_of_a_toaster() -> None:
    with pytest.raises(ProfileError, match="kind is 'device' or 'link' or 'gateway', got 'toaster'"):
        json_schema("toaster")


def test_energy_is_power_by_time() -> None:
    assert device_profile().millijoules(2000.0) == pytest.approx(6.0)


SHOWN = {
    "device": [BUNDLE, "preprocessing", "segment 2", "codec int8 at split 1", "active 3 W", "80.0 MiB", "0.015"],
    "link": ["lorawan-dr3", "SF9, 125 kHz, 4/5", "payload 115", "duty cycle 1%", "messages"],
    "gateway": ["hall-2", "segment 2", "100/s", "75%", "4.0"],
}


@pytest.mark.parametrize("kind", PROFILES)
def test_inspect_shows_a_profile_and_gives_its_document(tmp_path: Path, kind: str) -> None:
    path = write_profile(tmp_path / "p.json", PROFILES[kind])
    shown = call("inspect", path)
    assert shown.code == 0, shown.err
    for text in [*SHOWN[kind], *describe(PROFILES[kind]).splitlines()]:
        assert text.rstrip() in shown.out
    assert call("inspect", path, "--json").document == json.loads(path.read_text())


def test_inspect_names_what_is_wrong_with_a_profile(tmp_path: Path) -> None:
    done = call("inspect", written(tmp_path, {"kind": "link"}))
    assert done.code == 2
    [line] = done.err.splitlines()
    assert "missing required field `format`" in line
