"""``specnet-device ping`` over a real broker: one that works, refuses, is absent or goes away."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

import pytest
from support_broker import Broker, make_certificates, write_mosquitto_password
from support_device import DeviceProcess

from device.cli import main
from device.config import DeviceConfiguration, load_device_configuration
from device.profiling import echo
from device.profiling.link import measure_link
from specnet.errors import BrokerError, ConfigurationError
from specnet.profiles import LinkProfile, read_profile


def configuration(folder: Path, port: int, text: str = "") -> Path:
    path = folder / "node.toml"
    path.write_text(
        f'site = "lab"\ndevice = "node-1"\nbundle = "b.specnet"\nstate_dir = "{folder / "state"}"\n'
        f"[broker]\nport = {port}\nreconnect_min_s = 0.02\nreconnect_max_s = 0.1\n{text}\n"
    )
    return path


def loaded(folder: Path, port: int, text: str = "") -> DeviceConfiguration:
    return load_device_configuration(configuration(folder, port, text), environment={})


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("specnet-device: ")
    return line


def test_the_profile_is_written_and_shown(
    any_broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "link.json"
    path = configuration(tmp_path, any_broker.port)
    words = ["ping", "--config", str(path), "--count", "8", "--bytes", "2048,32", "--out", str(out)]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    profile = read_profile(out)
    assert isinstance(profile, LinkProfile)
    assert (profile.source, profile.loss) == ("measured", 0.0)
    assert profile.name == f"lab/node-1 to 127.0.0.1:{any_broker.port}"
    assert (profile.duty_cycle, profile.max_payload_bytes, profile.retry_s) == (1.0, 0, 2.0)
    # PUBLISH: 1 + 2, topic 2 + 48, packet id 2, length of the properties 1, then expiry 5, response topic 3 + 28,
    # correlation 3 + 13; TCP and IPv4 with time stamps 52
    assert len("specnet/v1/lab/node-1/offload/0123456789abcdef/1") == 48
    assert profile.overhead_bytes == 3 + 50 + 2 + 1 + 5 + 31 + 16 + 52
    for text in ("lab/node-1", "round trip of 32 bytes", "round trip of 2048 bytes", "TCP and IPv4 52", str(out)):
        assert text in captured.out
    assert not (tmp_path / "state").exists()


def test_json_is_the_profile_itself(broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = configuration(tmp_path, broker.port)
    assert main(["ping", "--config", str(path), "--count", "3", "--bytes", "64", "--json"]) == 0
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    assert json.loads(text)["kind"] == "link"
    copy = tmp_path / "copy.json"
    copy.write_text(text)
    assert isinstance(read_profile(copy), LinkProfile)


def test_tls_and_credentials_of_the_node_are_used(tmp_path: Path, broker: Broker) -> None:
    ca, certificate, key = make_certificates(tmp_path)
    with socket.socket() as free:
        free.bind((broker.host, 0))
        port = free.getsockname()[1]
    (tmp_path / "secret").write_text("right horse\n")
    users = write_mosquitto_password(tmp_path / "users", "node", "right horse")
    listener = [f"listener {port} {broker.host}", f"certfile {certificate}", f"keyfile {key}", f"password_file {users}"]
    text = f'tls = true\nca_file = "{ca}"\nusername = "node"\npassword_file = "{tmp_path / "secret"}"'
    with Broker(folder=tmp_path / "b", anonymous=False, extra_configuration=listener):
        measured = measure_link(loaded(tmp_path, port, text), 3, [32, 100])
    assert measured.overhead["TLS record"] == 22
    assert measured.profile.overhead_bytes == sum(measured.overhead.values()) == 182
    assert list(measured.round_trip_ms) == [32, 100]


def test_a_broker_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(echo, "CONNECT_TIMEOUT_S", 0.3)
    out = tmp_path / "link.json"
    assert main(["ping", "--config", str(configuration(tmp_path, 1)), "--out", str(out)]) == 2
    line = one_line(capsys)
    assert "no connection within 0.3 s: broker 127.0.0.1:1" in line or "no connection within 0.3 s: 127.0.0.1:1" in line
    assert "refused" in line
    assert not out.exists()


def test_wrong_credentials_are_told_without_waiting(tmp_path: Path) -> None:
    users = write_mosquitto_password(tmp_path / "users", "node", "right horse")
    (tmp_path / "secret").write_text("wrong donkey\n")
    text = f'username = "node"\npassword_file = "{tmp_path / "secret"}"'
    with (
        Broker(folder=tmp_path / "b", anonymous=False, extra_configuration=[f"password_file {users}"]) as guarded,
        pytest.raises(BrokerError, match=r"no connection .*'node'.* check username and password_file") as caught,
    ):
        measure_link(loaded(tmp_path, guarded.port, text), 3, [32])
    assert "donkey" not in str(caught.value)


@pytest.mark.parametrize(
    ("allowed", "complaint"),
    [
        ("read", r"does not let this device use specnet/v1/lab/node-1/ping: .*refused a publish"),
        # mosquitto grants a subscription that it does not serve
        ("write", r"none of 5 messages of 32 bytes came back within 0\.5 s each"),
    ],
)
def test_a_broker_whose_rules_forbid_it_is_named(tmp_path: Path, allowed: str, complaint: str) -> None:
    rules = tmp_path / "rules"
    rules.write_text(f"topic {allowed} specnet/v1/lab/node-1/ping\n")
    with (
        Broker(folder=tmp_path / "b", extra_configuration=[f"acl_file {rules}"]) as guarded,
        pytest.raises(BrokerError, match=complaint),
    ):
        measure_link(loaded(tmp_path, guarded.port), 6, [32], timeout_s=0.5)


def test_messages_that_do_not_come_back_are_counted(broker: Broker, tmp_path: Path) -> None:
    def progress(text: str) -> None:
        if text == "32 bytes: 8 of 20":
            broker.stop()
        elif text == "32 bytes: 12 of 20":
            broker.start()

    measured = measure_link(loaded(tmp_path, broker.port), 20, [32], timeout_s=0.5, progress=progress)
    assert 4 / 20 <= measured.profile.loss < 1


def test_a_broker_that_goes_away_for_good_is_told(broker: Broker, tmp_path: Path) -> None:
    def progress(text: str) -> None:
        if text == "burst of 1 messages up":
            broker.stop()

    with pytest.raises(BrokerError, match=r"the connection was lost|not acknowledged"):
        measure_link(loaded(tmp_path, broker.port), 6, [32], timeout_s=0.1, progress=progress)


def test_an_interrupted_ping_leaves_nothing(broker: Broker, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    path = configuration(tmp_path, broker.port)
    with DeviceProcess("ping", "--config", path, "--count", 1_000_000, "--out", folder / "link.json") as ping:
        log = broker.log_path
        ping.wait_for(lambda: "specnet-lab-node-1-ping" in log.read_text(errors="replace"), "it is under way")
        ping.signal(signal.SIGINT)
        assert ping.wait() == 130
        assert ping.errors == ["specnet-device: interrupted\n"]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("size", [15, 262_145])
def test_sizes_that_cannot_be_sent_are_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"from 16 to 262144 bytes, got {size}"):
        measure_link(loaded(tmp_path, 1), 3, [size])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--count", "0"], "--count is from 1 to 1000000, got 0"),
        (["--bytes", "many"], "--bytes takes up to 16 numbers such as 32,1024, got 'many'"),
        (["--bytes", ""], "got ''"),
        (["--timeout", "0"], "--timeout is above 0 up to 3600 seconds, got 0.0"),
        (["--timeout", "nan"], "got nan"),
        (["--bytes", "8"], "sizes of payloads are from 16 to 262144 bytes, got 8"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    assert main(["ping", "--config", str(configuration(tmp_path, 1)), *options]) == 2
    assert complaint in one_line(capsys)
