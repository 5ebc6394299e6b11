"""Options that several commands have."""

from __future__ import annotations

import argparse
from pathlib import Path

from device.config import DeviceConfiguration, load_device_configuration
from specnet.errors import ConfigurationError

_SHORTCUTS = {"port": "spectrometer.port", "bundle": "bundle", "state_dir": "state_dir", "broker_port": "broker.port"}


def add_configuration_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the configuration comes from."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration in TOML")
    parser.add_argument("--port", metavar="PORT", help="serial port of the spectrometer")
    parser.add_argument("--bundle", metavar="FILE", help="the model, a .specnet file")
    parser.add_argument("--state-dir", metavar="DIR", help="folder for what must survive a restart")
    parser.add_argument("--broker", metavar="HOST[:PORT]", help="MQTT broker")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other setting, such as uplink.deadline_s=1.5",
    )


def configuration_from(args: argparse.Namespace) -> DeviceConfiguration:
    """Read the configuration that the options describe."""
    overrides = {key: getattr(args, name) for name, key in _SHORTCUTS.items() if getattr(args, name, None) is not None}
    if args.broker:
        host, colon, port = args.broker.rpartition(":")
        overrides["broker.host"] = host if colon else args.broker
        if colon:
            overrides["broker.port"] = port
    for item in args.set:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"--set takes KEY=VALUE, got {item[:80]!r}")
        overrides[key] = value
    return load_device_configuration(args.config, overrides)
