"""``specnet-gateway init``."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from gateway.config import PREFIX, GatewaySettings
from specnet.configuration import load_configuration
from specnet.service_files import render_unit, write_new_files
from specnet.template import render_template

HELP = "Write a configuration with every key and its meaning, and a systemd unit."
EXAMPLE = "specnet-gateway init gateway.toml --broker gateway.local:1883 --unit specnet-gateway.service"

UNIT = "specnet-gateway.service.in"
HEADER = """Configuration of a specnet gateway. Lines that begin with "#" and a name are settings with their defaults:
take the "#" away to change one. The environment overrides each of them, such as
SPECNET_GATEWAY_BROKER__HOST=gateway.local. Relative paths are as the process sees them; the unit that
`specnet-gateway init --unit` writes starts it in /var/lib/specnet-gateway."""
_KEYS = ("store", "name", "group", "site", "device")
_CPU = """PrivateDevices=yes
MemoryDenyWriteExecute=yes"""
_CUDA = """DevicePolicy=closed
DeviceAllow=char-nvidia* rw"""
"""The driver maps memory that can be written and executed, and its devices must be seen."""


def add_init(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "init", help=HELP, description=HELP, epilog=f"example: {EXAMPLE}"
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "path", type=Path, nargs="?", default=Path("gateway.toml"), metavar="FILE", help="default: gateway.toml"
    )
    parser.add_argument("--store", metavar="DIR", help="folder of bundles (default: models)")
    parser.add_argument("--broker", metavar="HOST:PORT", help="MQTT broker (default: 127.0.0.1:1883)")
    parser.add_argument("--name", help="name of this gateway in results (default: the host's)")
    parser.add_argument("--group", help="replicas of one group share the requests (default: specnet)")
    parser.add_argument("--site", help="serve the devices of this site only (default: all)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="where segments run (default: cpu)")
    parser.add_argument("--unit", type=Path, metavar="FILE", help="also write a systemd unit for this configuration")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run(options: argparse.Namespace) -> int:
    """Write them; files that are there are not touched."""
    values: dict[str, Any] = {key: getattr(options, key) for key in _KEYS if getattr(options, key) is not None}
    if options.broker is not None:
        host, _, port = options.broker.rpartition(":")
        values["broker.host"], values["broker.port"] = (host, port) if host else (port, "1883")
    # a value that cannot be one is told now, not when the service starts
    settings = load_configuration(GatewaySettings, None, environment={}, prefix=PREFIX, overrides=values)
    if options.broker is not None:
        values["broker.port"] = settings.broker.port
    texts = {options.path: render_template(GatewaySettings, values, HEADER)}
    if options.unit is not None:
        template = resources.files("gateway").joinpath(UNIT).read_text(encoding="utf-8")
        unit = render_unit(template, "specnet-gateway", options.path)
        texts[options.unit] = unit.replace("@HARDWARE@", _CUDA if settings.device == "cuda" else _CPU)
    write_new_files(texts)
    if options.json:
        document = {"path": str(options.path), "unit": None if options.unit is None else str(options.unit)}
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        sys.stdout.write(f"{options.path}: change what is different here, then try\n")
        sys.stdout.write(f"  specnet-gateway selftest --config {options.path}\n")
        if options.unit is not None:
            sys.stdout.write(f"{options.unit}: copy it to /etc/systemd/system and enable it\n")
    return 0
