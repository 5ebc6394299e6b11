"""The table [sink] as users write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import PREFIX, GatewaySettings
from specnet.configuration import load_configuration
from specnet.errors import ConfigurationError

CONFIGURATION = """
state_dir = "/var/lib/specnet-gateway"

[sink]
kind = "postgresql"
batch = 500

[sink.postgresql]
dsn_file = "FILE"

[sink.spool]
max_bytes = 1073741824
"""


def load(path: Path, **environment: str) -> GatewaySettings:
    return load_configuration(GatewaySettings, path, environment=environment, prefix=PREFIX)


def test_everything_can_be_said_in_a_file_and_overridden_by_environment(tmp_path: Path) -> None:
    path, dsn = tmp_path / "gateway.toml", tmp_path / "dsn"
    dsn.write_text("postgresql://specnet:geheim@db/results\nnotes that are not read\n")
    path.write_text(CONFIGURATION.replace("FILE", str(dsn)))
    settings = load(path, SPECNET_GATEWAY_SINK__SPOOL__GATHER_S="0.5")
    assert (settings.sink.kind, settings.sink.batch, settings.sink.spool.max_bytes) == ("postgresql", 500, 1 << 30)
    assert settings.sink.spool.gather_s == 0.5
    assert settings.sink.postgresql.read_dsn() == "postgresql://specnet:geheim@db/results"
    assert "geheim" not in repr(settings)


def test_a_connection_string_can_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[sink.postgresql]\ndsn_env = "RESULTS_DSN"\n')
    monkeypatch.setenv("RESULTS_DSN", " host=db user=specnet ")
    assert load(path).sink.postgresql.read_dsn() == "host=db user=specnet"


def test_two_ways_to_name_the_database_contradict_each_other(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[sink.postgresql]\ndsn = "host=db"\ndsn_env = "RESULTS_DSN"\n')
    with pytest.raises(ConfigurationError, match="more than one of dsn, dsn_file and dsn_env"):
        load(path)
