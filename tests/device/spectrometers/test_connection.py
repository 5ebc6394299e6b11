from __future__ import annotations

import socket
import types

import pytest

from device.spectrometers import SpectrometerLostError, SpectrometerSettings
from device.spectrometers.connection import connect, find_usb_port, list_ports, parse_address
from device.spectrometers.tcp_transport import TcpTransport
from specnet.errors import ConfigurationError

# what serial.tools.list_ports says on a machine with these instruments; there are none here
PORTS = [
    types.SimpleNamespace(device="/dev/ttyS0", vid=None, pid=None, serial_number=None),
    types.SimpleNamespace(device="/dev/ttyACM0", vid=0x2341, pid=0x8037, serial_number="A1"),
    types.SimpleNamespace(device="/dev/ttyACM1", vid=0x2341, pid=0x8037, serial_number="A2"),
    types.SimpleNamespace(device="/dev/ttyUSB0", vid=0x0403, pid=0x6001, serial_number=None),
]


@pytest.fixture(autouse=True)
def _ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_ports, "comports", lambda: PORTS)


@pytest.mark.parametrize(
    ("port", "path"), [("usb://0403:6001", "/dev/ttyUSB0"), ("usb://2341:8037/A2", "/dev/ttyACM1")]
)
def test_a_port_is_found_by_its_usb_numbers(port: str, path: str) -> None:
    assert find_usb_port(port) == path


@pytest.mark.parametrize(
    ("port", "complaint"),
    [
        ("usb://2341:8037", "add the serial number: usb://2341:8037/A1, usb://2341:8037/A2"),
        ("usb://2341:8037/A3", "no serial port is"),
        ("usb://1111:2222", "there are 2341:8037, 2341:8037, 0403:6001"),
    ],
)
def test_a_port_that_is_not_there_or_not_the_only_one(port: str, complaint: str) -> None:
    with pytest.raises(SpectrometerLostError, match=complaint):
        find_usb_port(port)


@pytest.mark.parametrize("port", ["usb://", "usb://2341", "usb://2341:80377", "usb://234g:8037", "usb://2341:8037/a/b"])
def test_usb_numbers_that_are_none(port: str) -> None:
    with pytest.raises(ConfigurationError, match="VID:PID"):
        find_usb_port(port)


def test_addresses() -> None:
    assert parse_address("socket://server.local:4001") == ("server.local", 4001)
    assert parse_address("socket://[fe80::1]:4001") == ("fe80::1", 4001)
    for bad in ("socket://server", "socket://:1", "socket://a:0", "socket://a:65536", "socket://a:b"):
        with pytest.raises(ConfigurationError, match="socket://HOST:PORT"):
            parse_address(bad)


def test_a_serial_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SpectrometerLostError, match="cannot be reached"):
        connect(SpectrometerSettings(port=f"socket://127.0.0.1:{port}"), 9600)


def test_a_serial_server_that_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport = TcpTransport("127.0.0.1", listener.getsockname()[1])
        peer = listener.accept()[0]
        assert transport.read(0.0) == b""
        transport.write(b"hello")
        assert peer.recv(10) == b"hello"
        assert transport.set_baudrate(9600) is False
        peer.close()
        with pytest.raises(SpectrometerLostError, match="closed the connection"):
            transport.read(5.0)
        transport.close()
        with pytest.raises(SpectrometerLostError, match="gone"):
            transport.write(b"more")


def test_keep_alive_is_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport = TcpTransport("127.0.0.1", listener.getsockname()[1])
        assert transport._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert transport._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
        transport.close()
