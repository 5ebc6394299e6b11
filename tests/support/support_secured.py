"""A broker with the files of `specnet-gateway broker-config`, and the secrets of its clients."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from support_broker import Broker, mosquitto_path, require
from support_gateway import run_cli
from support_processes import free_port


def write_config(folder: Path, *arguments: object, expected: int = 0) -> dict[str, object]:
    """Run `broker-config`; what it says."""
    done = run_cli("broker-config", "--out", folder, *arguments, "--json", timeout=60)
    assert done.returncode == expected, done.stdout + done.stderr
    return json.loads(done.stdout)


class SecuredBroker(Broker):
    """mosquitto with a configuration that was written by `broker-config` for a port of loopback."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        require("mosquitto")
        super().__init__(folder=folder / "run")
        self.port = free_port()
        self.files = folder / "files"
        (folder / "state").mkdir(parents=True)
        address = ("--listen", f"{self.host}:{self.port}", "--state-dir", folder / "state")
        self.said = write_config(self.files, *address, *arguments)

    def client(self, name: str) -> dict[str, object]:
        """Broker settings of a client with its certificate; ``devices/lab/probe-1``, ``gateways/g``."""
        folder = self.files / "clients" / name
        return {
            "tls": True,
            "ca_file": str(folder / "ca.pem"),
            "cert_file": str(folder / "client.pem"),
            "key_file": str(folder / "client.key"),
        }

    def _command(self, here: Path) -> list[str]:
        text = (self.files / "mosquitto.conf").read_text()
        # as root mosquitto changes to a user that cannot read our folder
        path = self._folder / "mosquitto.conf"
        path.write_text(text + "user root\n" if os.geteuid() == 0 else text)
        return [mosquitto_path() or "mosquitto", "-c", str(path)]

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=1.0):
                return True
        except OSError:
            return False


def as_environment(settings: dict[str, object]) -> dict[str, str]:
    """Broker settings as the gateway's environment."""
    return {
        f"SPECNET_GATEWAY_BROKER__{name.upper()}": str(value).lower() if value is True else str(value)
        for name, value in settings.items()
    }
