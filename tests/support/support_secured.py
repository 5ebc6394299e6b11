"""A broker with the files of `specnet-gateway broker-config`, and the secrets of its clients."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import socket
from pathlib import Path
from typing import Any

from support_broker import Broker, mosquitto_path, require
from support_processes import free_port

from gateway.broker_config.command import add_broker_config


def write_config(folder: Path, *arguments: object) -> dict[str, Any]:
    """Run `broker-config` in this process; what it says. Raises what the command line would say in one line."""
    parser = argparse.ArgumentParser()
    add_broker_config(parser.add_subparsers())
    options = parser.parse_args(["broker-config", "--out", str(folder), *map(str, arguments), "--json"])
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = options.run(options)
    document = json.loads(said.getvalue())
    assert code == (1 if document["passed"] is False else 0)
    return document


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
