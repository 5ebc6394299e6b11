"""One struct out of a file, the environment and the command line, and complaints that help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from specnet.configuration import MAX_FILE_BYTES, load_configuration
from specnet.errors import ConfigurationError
from specnet.mqtt import BrokerSettings


class Outbox(msgspec.Struct, frozen=True, kw_only=True):
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    drop: Literal["oldest", "newest"] = "oldest"


class Node(msgspec.Struct, frozen=True, kw_only=True):
    site: str
    interval_s: float = 1.0
    audit: bool = False
    coefficients: tuple[float, ...] = ()
    split: int | None = None
    labels: dict[str, int] = msgspec.field(default_factory=dict)
    api_token: Annotated[str, msgspec.Meta(max_length=5)] = ""
    outbox: Outbox = Outbox()
    spare: Outbox | None = None
    broker: BrokerSettings = BrokerSettings()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.toml"


def load(path: Path | None, environment: dict[str, str] | None = None, **overrides: Any) -> Node:
    options = {name.replace("__", "."): value for name, value in overrides.items()}
    return load_configuration(Node, path, environment=environment or {}, prefix="SPECNET_DEVICE", overrides=options)


def test_later_sources_replace_single_values_of_earlier_ones(path: Path) -> None:
    path.write_text('site = "lab"\ninterval_s = 2\n[broker]\nhost = "a"\nport = 1\n[spare]\nmax_bytes = 7\n')
    environment = {"SPECNET_DEVICE_BROKER__PORT": "2", "SPECNET_DEVICE_INTERVAL_S": "3.5", "OTHER": "x"}
    node = load(path, environment, broker__keepalive_s=9, interval_s="4")
    assert node == Node(
        site="lab",
        interval_s=4.0,
        spare=Outbox(max_bytes=7),
        broker=BrokerSettings(host="a", port=2, keepalive_s=9),
    )


def test_no_file_means_defaults() -> None:
    assert load(None, {"SPECNET_DEVICE_SITE": "lab"}) == Node(site="lab")


def test_texts_of_the_environment_become_what_the_field_is() -> None:
    node = load(
        None,
        {
            "SPECNET_DEVICE_SITE": "007",
            "SPECNET_DEVICE_AUDIT": "true",
            "SPECNET_DEVICE_COEFFICIENTS": "[1, 2.5]",
            "SPECNET_DEVICE_SPLIT": "3",
            "SPECNET_DEVICE_LABELS__QUARTZ": "5",
            "SPECNET_DEVICE_OUTBOX__DROP": "newest",
        },
    )
    assert (node.site, node.audit, node.coefficients, node.split) == ("007", True, (1.0, 2.5), 3)
    assert node.labels == {"quartz": 5}
    assert node.outbox.drop == "newest"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("intervall_s = 2", ["'intervall_s'", "did you mean interval_s?"]),
        ("[broker]\nhots = 'a'", ["'broker.hots'", "did you mean host"]),
        ("[broker]\nzzz = 1", ["'broker.zzz'", "known: host, port"]),
        ("interval_s = 'fast'", ["interval_s", "expected `float`", "'fast'"]),
        ("audit = 1", ["audit", "expected `bool`", "1"]),
        ("coefficients = [1.0, 'x']", ["coefficients[1]", "expected `float`", "'x'"]),
        ("[outbox]\nmax_bytes = 20000", ["outbox.max_bytes", "<= 10000", "20000"]),
        ("[outbox]\ndrop = 'all'", ["outbox.drop", "'all'"]),
        ("broker = 5", ["broker", "expected a table", "5"]),
        ("[broker]\nport = 70000", ["[broker]", "port is from 1 to 65535", "70000"]),
        ("site = = 1", ["expected TOML", "line 1"]),
    ],
)
def test_a_complaint_names_file_key_value_and_what_was_expected(path: Path, text: str, expected: list[str]) -> None:
    path.write_text(text + "\n" if "site" in text else f"site = 'lab'\n{text}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    for part in (str(path), *expected):
        assert part in str(caught.value)


def test_the_environment_variable_is_named(path: Path) -> None:
    path.write_text("site = 'lab'\n")
    with pytest.raises(ConfigurationError, match=r"variable SPECNET_DEVICE_BROKER__PORT: broker.port: .*int.*'many'"):
        load(path, {"SPECNET_DEVICE_BROKER__PORT": "many"})
    with pytest.raises(
        ConfigurationError, match=r"SPECNET_DEVICE_BROKR__PORT: unknown key 'brokr'; did you mean broker"
    ):
        load(path, {"SPECNET_DEVICE_BROKR__PORT": "1"})
    with pytest.raises(ConfigurationError, match=r"SPECNET_DEVICE_SITE__NAME: site is no table: .*node.toml"):
        load(path, {"SPECNET_DEVICE_SITE__NAME": "x"})
    with pytest.raises(ConfigurationError, match=r"COEFFICIENTS: coefficients: expected a value as in TOML, got '1 2'"):
        load(path, {"SPECNET_DEVICE_COEFFICIENTS": "1 2"})


def test_the_option_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"option interval_s: .*float.*'x'"):
        load(None, site="lab", interval_s="x")


def test_what_a_struct_itself_refuses_names_all_its_sources(path: Path) -> None:
    path.write_text("site = 'lab'\n[broker]\npassword_file = 'p'\n")
    with pytest.raises(
        ConfigurationError, match=r"node.toml, environment variable .*KEEPALIVE_S: \[broker\] password_file"
    ):
        load(path, {"SPECNET_DEVICE_BROKER__KEEPALIVE_S": "5"})


def test_a_missing_required_key_is_named(path: Path) -> None:
    path.write_text("interval_s = 2.0\n")
    with pytest.raises(ConfigurationError, match=r"node.toml: the configuration lacks site"):
        load(path)


def test_secrets_are_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="not shown") as caught:
        load(None, {"SPECNET_DEVICE_SITE": "lab", "SPECNET_DEVICE_API_TOKEN": "hunter22"})
    assert "hunter22" not in str(caught.value)


def test_long_values_are_cut(path: Path) -> None:
    path.write_text(f"site = 'lab'\ninterval_s = '{'x' * 5000}'\n")
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"site = '\xff'", "UTF-8, byte 8"),
        (b"#" * (MAX_FILE_BYTES + 1), "has 1048577 bytes, at most 1048576 are read"),
        (b"site = " + b"[" * 50_000, "nested too deeply|expected TOML"),
    ],
)
def test_files_that_are_no_configuration(path: Path, content: bytes, complaint: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=complaint):
        load(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read configuration .*absent.toml: No such file"):
        load(tmp_path / "absent.toml")
    with pytest.raises(ConfigurationError, match="Is a directory"):
        load(tmp_path)
