"""``specnet-gateway publish``."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from gateway.config import PREFIX, GatewaySettings
from gateway.publishing import PART_BYTES, BundlePublisher, prepare_model
from specnet.configuration import load_configuration
from specnet.errors import BrokerError, ConfigurationError
from specnet.mqtt import MqttSession
from specnet.signing import signature_path
from specnet.status_line import StatusLine
from specnet.wire import MAX_PART_BYTES, MIN_PART_BYTES, ModelState

HELP = "Announce a signed bundle to the devices of a site and give it out part by part, until stopped."
EXAMPLE = "specnet-gateway publish minerals.specnet --site lab --broker 127.0.0.1:1883 --devices 12"
LOOK_EVERY_S = 0.1
CONNECT_TIMEOUT_S = 10.0
IN_USE = ("active", "trial")


def add_publish(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "publish", help=HELP, description=HELP, epilog=f"example: {EXAMPLE}"
    )
    parser.set_defaults(run=run)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a *.specnet file")
    parser.add_argument("--signature", type=Path, metavar="FILE", help="of `specnet sign sign` (default: BUNDLE.sig)")
    parser.add_argument("--trust", type=Path, metavar="DIR", help="public keys to verify the signature with first")
    parser.add_argument("--site", required=True, help="announce it to this site")
    parser.add_argument("--to", metavar="DEVICE", help="announce it to this device only")
    parser.add_argument("--url", default="", help="where devices may fetch the same file over HTTP(S)")
    parser.add_argument(
        "--part-bytes", type=int, default=PART_BYTES, metavar="N", help=f"longest part (default: {PART_BYTES})"
    )
    parser.add_argument("--devices", type=int, default=0, metavar="N", help="end when so many devices work with it")
    parser.add_argument("--timeout", type=float, default=0.0, metavar="S", help="end after so many seconds (0: never)")
    parser.add_argument("--withdraw", action="store_true", help="only take the announcement back")
    parser.add_argument("--config", type=Path, help="TOML file; environment SPECNET_GATEWAY_* overrides it")
    parser.add_argument("--broker", metavar="HOST:PORT", help="MQTT broker (default: 127.0.0.1:1883)")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout at the end")


def run(options: argparse.Namespace) -> int:
    """Announce and serve; 1 when time was up before `--devices` devices had it."""
    if not MIN_PART_BYTES <= options.part_bytes <= MAX_PART_BYTES:
        raise ConfigurationError(f"--part-bytes is from {MIN_PART_BYTES} to {MAX_PART_BYTES}, got {options.part_bytes}")
    # written so that NaN fails too
    if not options.devices >= 0 or not 0 <= options.timeout <= 1e9:
        raise ConfigurationError(f"--devices and --timeout are 0 or more, got {options.devices}, {options.timeout}")
    signature = options.signature or signature_path(options.bundle)
    model = prepare_model(
        options.bundle, signature, trust=options.trust, url=options.url, part_bytes=options.part_bytes
    )
    settings = _settings(options)
    publisher = BundlePublisher(model, options.site, options.to)

    def announce() -> None:
        if not options.withdraw:
            publisher.announce()

    session = MqttSession(
        settings.broker,
        f"specnet-publisher-{os.getpid()}-{secrets.token_hex(4)}",
        on_message=publisher.handle,
        on_up=announce,
    )
    publisher.attach(session)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    session.start()
    try:
        if options.withdraw:
            _withdraw(session, publisher, settings)
            having: dict[str, ModelState] = {}
        else:
            having = _serve(publisher, model.bundle.bundle_id, options, stopping)
    finally:
        session.stop()
    _report(publisher, model.announcement.name, model.announcement.version, having, options)
    return 1 if len(having) < options.devices and not options.withdraw else 0


def _serve(
    publisher: BundlePublisher, bundle_id: str, options: argparse.Namespace, stopping: threading.Event
) -> dict[str, ModelState]:
    """Wait while the session works; returns which devices have the model in use."""
    started = time.monotonic()
    with StatusLine() as status:
        while True:
            states = publisher.states
            having = {name: s for name, s in states.items() if s.bundle == bundle_id and s.stage in IN_USE}
            status.show(f"{len(having)} of {len(states)} devices, {publisher.counters.get('bytes', 0)} bytes given out")
            late = options.timeout and time.monotonic() - started >= options.timeout
            if late or (options.devices and len(having) >= options.devices) or stopping.wait(LOOK_EVERY_S):
                return having


def _withdraw(session: MqttSession, publisher: BundlePublisher, settings: GatewaySettings) -> None:
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    while not publisher.withdraw():
        if time.monotonic() > deadline:
            raise BrokerError(f"no connection to {settings.broker.host}:{settings.broker.port}")
        time.sleep(LOOK_EVERY_S)
    session.flush(CONNECT_TIMEOUT_S)


def _report(
    publisher: BundlePublisher, name: str, version: int, having: dict[str, ModelState], options: argparse.Namespace
) -> None:
    states = {device: msgspec.to_builtins(state) for device, state in sorted(publisher.states.items())}
    if options.json:
        document = {"name": name, "version": version, "in_use": sorted(having), "devices": states}
        sys.stdout.write(json.dumps({**document, "counters": dict(publisher.counters)}) + "\n")
    elif options.withdraw:
        sys.stdout.write(f"{name} version {version} is announced no more\n")
    else:
        for device, state in states.items():
            candidate = f", {state['candidate']}: {state['detail']}" if state["candidate"] else ""
            sys.stdout.write(f"{device}  {state['name']}/{state['version']} {state['stage']}{candidate}\n")
        sys.stdout.write(f"{len(having)} devices work with {name} version {version}\n")


def _settings(options: argparse.Namespace) -> GatewaySettings:
    overrides = {}
    if options.broker is not None:
        host, _, port = options.broker.rpartition(":")
        overrides["broker.host"], overrides["broker.port"] = (host, port) if host else (port, "1883")
    return load_configuration(
        GatewaySettings, options.config, environment=os.environ, prefix=PREFIX, overrides=overrides
    )
