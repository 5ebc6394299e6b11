"""``specnet-device init``."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import resources
from pathlib import Path

from device.config import DeviceConfiguration, load_device_configuration
from specnet.service_files import render_unit, write_new_files
from specnet.template import render_template

HELP = "write a configuration with every key and its meaning, and a systemd unit"
EXAMPLE = "specnet-device init node.toml --device node-1 --bundle minerals.specnet --unit specnet-device.service"

UNIT = "specnet-device.service.in"
HEADER = """Configuration of a specnet device. Lines that begin with "#" and a name are settings with their defaults:
take the "#" away to change one. The environment overrides each of them, such as
SPECNET_DEVICE_BROKER__HOST=gateway.local, and so does `--set broker.host=gateway.local`."""
_KEYS = {
    "site": "site",
    "device": "device",
    "bundle": "bundle",
    "state_dir": "state_dir",
    "port": "spectrometer.port",
    "broker": "broker.host",
    "trust": "models.trust_dir",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "path", type=Path, nargs="?", default=Path("node.toml"), metavar="FILE", help="default: node.toml"
    )
    parser.add_argument("--site", default="lab", help="name of the site in the topics (default: lab)")
    parser.add_argument("--device", default="node-1", help="name of the device in the topics (default: node-1)")
    parser.add_argument("--bundle", default="model.specnet", metavar="FILE", help="the model that it comes with")
    parser.add_argument("--state-dir", default="/var/lib/specnet", metavar="DIR", help="default: /var/lib/specnet")
    parser.add_argument("--port", default="/dev/ttyACM0", help="serial port (default: /dev/ttyACM0)")
    parser.add_argument("--broker", default="127.0.0.1", metavar="HOST", help="MQTT broker (default: 127.0.0.1)")
    parser.add_argument("--trust", metavar="DIR", help="folder of public keys for model updates")
    parser.add_argument("--unit", type=Path, metavar="FILE", help="also write a systemd unit for this configuration")


def run(args: argparse.Namespace) -> int:
    """Write them; files that are there are not touched."""
    values = {key: getattr(args, name) for name, key in _KEYS.items() if getattr(args, name) is not None}
    # a name that cannot be one is told now, not when the service starts
    load_device_configuration(None, values, {})
    texts = {args.path: render_template(DeviceConfiguration, values, HEADER)}
    if args.unit is not None:
        template = resources.files("device").joinpath(UNIT).read_text(encoding="utf-8")
        texts[args.unit] = render_unit(template, "specnet-device", args.path)
    write_new_files(texts)
    if args.json:
        document = {"path": str(args.path), "unit": None if args.unit is None else str(args.unit)}
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        sys.stdout.write(f"{args.path}: change what is different here, then try\n")
        sys.stdout.write(f"  specnet-device selftest --config {args.path}\n")
        if args.unit is not None:
            sys.stdout.write(f"{args.unit}: copy it to /etc/systemd/system and enable it\n")
    return 0
