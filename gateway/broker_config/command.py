"""``specnet-gateway broker-config``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from gateway.broker_config.certificates import MAX_DAYS
from gateway.broker_config.checking import check_folder
from gateway.broker_config.configuration import ACL_PLUGIN, CONFIGURATION_FILE
from gateway.broker_config.folder import AUTHORITY_KEY_FILE, BrokerFolder, Written
from gateway.broker_config.plan import (
    LOOPBACK,
    PLAIN_PORT,
    PLAN_FILE,
    TLS_PORT,
    BrokerPlan,
    Proof,
    ordered,
    read_plan,
)
from gateway.check import Check
from specnet.errors import ConfigurationError
from specnet.files import read_bounded
from specnet.mqtt.mosquitto import mosquitto_path, mosquitto_version
from specnet.ranges import check_range
from specnet.status_line import StatusLine

HELP = "Write a checked configuration for mosquitto: who may talk, about what, and how much may wait."
EXAMPLE = (
    "specnet-gateway broker-config --out broker --tls --server-name gateway.local "
    "--device lab/node-1 --gateway gateway-1 --operator anna"
)
DAYS = 825
MAX_NAMES_BYTES = 16 << 20
PLUGIN_FOLDERS = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/lib/x86_64-linux-gnu/mosquitto",
    "/usr/lib/aarch64-linux-gnu/mosquitto",
    "/opt/homebrew/lib",
)
"""Where mosquitto's plugins are: its container image has them in the first, Debian in those of the architecture."""
_KEPT_OPTIONS = {
    "expect_devices": "expected_devices",
    "window": "window",
    "request_bytes": "request_bytes",
    "payload_bytes": "payload_bytes",
    "results_topic": "results_topic",
    "state_dir": "state",
}
"""Options that replace the value of an earlier run only when they are given."""


def add_broker_config(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "broker-config", help=HELP, description=HELP, epilog=f"example: {EXAMPLE}"
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write; run again to add to it"
    )
    who = parser.add_argument_group("who talks (each may be given several times; added to those of earlier runs)")
    many: dict[str, Any] = {"action": "append", "default": []}
    who.add_argument("--device", metavar="SITE/NAME", help="a device", **many)
    who.add_argument("--devices", type=Path, metavar="FILE", help="a text file with one SITE/NAME in each line")
    who.add_argument("--gateway", metavar="NAME", help="a gateway process, for all sites", **many)
    who.add_argument("--operator", metavar="NAME", help="who commands devices and gives out models", **many)
    who.add_argument("--site", metavar="NAME", help="a site that has no devices yet", **many)
    who.add_argument("--remove", metavar="USER", help="take a device, gateway or operator out of the rules", **many)
    proof = parser.add_argument_group("how they prove it")
    proof.add_argument(
        "--tls", action="store_true", help="encrypt, and with certificates for clients (without --users)"
    )
    proof.add_argument("--users", action="store_true", help="names and passwords; with --tls they are encrypted")
    proof.add_argument(
        "--insecure-localhost", action="store_true", help=f"no proof at all, on {LOOPBACK}: a laboratory on one machine"
    )
    proof.add_argument(
        "--server-name", metavar="NAME", help="host name or address by which clients know the broker", **many
    )
    proof.add_argument("--days", type=float, default=DAYS, help=f"how long new certificates hold (default: {DAYS})")
    where = parser.add_argument_group("the broker")
    where.add_argument(
        "--listen", metavar="[HOST:]PORT", help=f"default: every interface, {TLS_PORT} with --tls, else {PLAIN_PORT}"
    )
    where.add_argument("--broker-version", choices=("auto", "2.0", "2.1"), default="auto", help="2.1 is for newer, too")
    where.add_argument("--plugin-dir", metavar="DIR", help="plugins of mosquitto 2.1 (default: where they are found)")
    where.add_argument(
        "--installed-at", metavar="DIR", help="where the files will be when the broker runs (default: --out)"
    )
    where.add_argument("--state-dir", metavar="DIR", help="for retained messages (default: /var/lib/mosquitto)")
    size = parser.add_argument_group("how much")
    size.add_argument("--expect-devices", type=int, metavar="N", help="make room for more devices than are named")
    size.add_argument("--window", type=int, metavar="N", help="requests that a device has under way (default: 16)")
    size.add_argument("--request-bytes", type=int, metavar="N", help="usual size of a request (default: 4096)")
    size.add_argument("--payload-bytes", type=int, metavar="N", help="largest payload (default: 262144)")
    size.add_argument(
        "--results-topic", metavar="TOPIC", help="of gateways' MQTT result sinks (default: specnet/results)"
    )
    parser.add_argument(
        "--force", action="store_true", help="overwrite changed files; new secrets for the names given, and the server"
    )
    parser.add_argument("--no-check", action="store_true", help="do not start mosquitto to try the rules")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run(options: argparse.Namespace) -> int:
    """Write and check; 1 when a check failed."""
    check_range("--days", options.days, 0.01, MAX_DAYS)
    if options.devices is not None:
        options.device = [*options.device, *_read_names(options.devices)]
    program = mosquitto_path()
    plan = _plan(options, program)
    given = ordered([*options.device, *options.gateway, *options.operator])
    folder = BrokerFolder(
        options.out,
        plan,
        days=options.days,
        anew=given if options.force else (),
        removed=options.remove,
        force=options.force,
    )
    with StatusLine() as status:
        written = folder.write(status.show)
    checks = [] if options.no_check else check_folder(program, options.out, plan)
    notes = _notes(options, plan, program, bool(checks))
    if options.json:
        _print_json(options.out, plan, written, checks, notes)
    else:
        _print_text(options.out, written, checks, notes)
    return 0 if all(check.passed for check in checks) else 1


def _read_names(path: Path) -> list[str]:
    document = read_bounded(path, MAX_NAMES_BYTES, "list of devices", ConfigurationError)
    return [name for line in document.decode(errors="replace").splitlines() if (name := line.strip())]


def _plan(options: argparse.Namespace, program: str | None) -> BrokerPlan:
    path = options.out / PLAN_FILE
    old = read_plan(path) if path.exists() else None
    proof, encrypted = _proof(options, old)
    if old is not None and (old.proof, old.encrypted) != (proof, encrypted) and not options.force:
        raise ConfigurationError(f"{path} is for another proof of identity ({old.proof}): give --force to change it")
    host, port = _address(options, old, proof, encrypted)
    version, plugins = _version(options, program)
    kept = {key: getattr(options, name) for name, key in _KEPT_OPTIONS.items() if getattr(options, name) is not None}
    names = {
        "devices": _merged(old.devices if old else (), options.device, options.remove),
        "gateways": _merged(old.gateways if old else (), options.gateway, options.remove),
        "operators": _merged(old.operators if old else (), options.operator, options.remove),
        "sites": _merged(old.sites if old else (), options.site, ()),
        "server_names": tuple(dict.fromkeys([*(old.server_names if old else ()), *options.server_name])),
    }
    unknown = sorted(set(options.remove) - set(old.users if old else ()))
    if unknown:
        raise ConfigurationError(f"--remove: {path} has no {unknown[0]!r}")
    folder = options.installed_at or (old.folder if old else str(options.out.absolute()))
    new = {**names, **kept, "proof": proof, "encrypted": encrypted, "host": host, "port": port, "version": version}
    new |= {"plugins": plugins, "folder": folder.rstrip("/") or "/"}
    plan = BrokerPlan(**new) if old is None else msgspec.structs.replace(old, **new)
    if proof != "nothing" and not plan.all_sites:
        raise ConfigurationError("nobody is named: give a --device SITE/NAME, or a --site for those to come")
    if encrypted and not plan.server_names:
        raise ConfigurationError(
            "--tls needs a --server-name: the host name or address by which clients know the broker"
        )
    return plan


def _proof(options: argparse.Namespace, old: BrokerPlan | None) -> tuple[Proof, bool]:
    if options.insecure_localhost:
        if options.tls or options.users:
            raise ConfigurationError("--insecure-localhost is without --tls and --users")
        return "nothing", False
    if options.users:
        return "passwords", bool(options.tls)
    if options.tls:
        return "certificates", True
    if old is None:
        raise ConfigurationError(
            "say how clients prove who they are: --tls (certificates), --tls --users (passwords over TLS), "
            "--users (passwords, readable on the network), or --insecure-localhost (nothing, this machine only)"
        )
    return old.proof, old.encrypted


def _address(options: argparse.Namespace, old: BrokerPlan | None, proof: Proof, encrypted: bool) -> tuple[str, int]:
    if options.listen is None:
        if old is not None and (old.proof, old.encrypted) == (proof, encrypted):
            return old.host, old.port
        return (LOOPBACK if proof == "nothing" else ""), (TLS_PORT if encrypted else PLAIN_PORT)
    host, _, port = options.listen.rpartition(":")
    if not port.isascii() or not port.isdigit() or len(port) > 5 or any(mark.isspace() for mark in host):
        raise ConfigurationError(f"--listen is [HOST:]PORT, got {options.listen[:80]!r}")
    return host.strip("[]") or (LOOPBACK if proof == "nothing" else ""), int(port)


def _version(options: argparse.Namespace, program: str | None) -> tuple[str, str]:
    """Whose options to use, and where the plugins are."""
    version = options.broker_version
    if version == "auto":
        found = mosquitto_version(program) if program is not None else None
        if found is None:
            raise ConfigurationError("no mosquitto to ask for its version: give --broker-version 2.0 or 2.1")
        if found < (2, 0):
            raise ConfigurationError(f"mosquitto is {'.'.join(map(str, found))}, at least 2.0 is supported")
        version = "2.0" if found < (2, 1) else "2.1"
    if version == "2.0":
        if options.plugin_dir:
            raise ConfigurationError("--plugin-dir is for mosquitto 2.1 and newer")
        return version, ""
    if options.plugin_dir:
        return version, options.plugin_dir.rstrip("/")
    places = [folder for folder in PLUGIN_FOLDERS if (Path(folder) / ACL_PLUGIN).exists()]
    return version, places[0] if places else ""


def _merged(old: Iterable[str], new: Iterable[str], removed: Iterable[str]) -> tuple[str, ...]:
    return ordered({*old, *new} - set(removed))


def _notes(options: argparse.Namespace, plan: BrokerPlan, program: str | None, checked: bool) -> list[str]:
    notes = []
    if not checked:
        notes.append(_why_unchecked(options, program))
    if plan.version == "2.1" and not plan.plugins:
        notes.append("the plugins of mosquitto 2.1 were not found here; its older options are used (--plugin-dir)")
    if plan.proof == "passwords" and not plan.encrypted:
        notes.append("passwords are readable on the network: use --tls beyond one machine")
    if plan.proof == "certificates":
        key = options.out / AUTHORITY_KEY_FILE
        notes.append(f"whoever has {key} can be anybody: keep it off the broker; it is needed to add clients only")
    if plan.proof != "nothing":
        notes.append(
            "carry each folder below clients/ to its client, and delete its key or password here "
            "(by client.pem a later run knows that there is a certificate)"
        )
        notes.append(f"mosquitto's user must own {plan.folder}; after a change: kill -HUP its process")
    notes.append(f"start: mosquitto -c {plan.folder}/{CONFIGURATION_FILE}")
    return notes


def _why_unchecked(options: argparse.Namespace, program: str | None) -> str:
    if options.no_check:
        return "NOT checked, as you wished"
    if program is None:
        return "NOT checked: mosquitto is not installed here"
    return f"NOT checked: {options.out / AUTHORITY_KEY_FILE} is not here to make certificates for a trial"


def _print_json(out: Path, plan: BrokerPlan, written: Written, checks: list[Check], notes: list[str]) -> None:
    document = {
        "folder": str(out),
        "configuration": str(out / CONFIGURATION_FILE),
        "version": plan.version,
        "proof": plan.proof,
        "encrypted": plan.encrypted,
        "users": list(plan.users),
        "created": written.created,
        "replaced": written.replaced,
        "kept": written.kept,
        "expires": {name: moment.isoformat() for name, moment in written.expires.items()},
        "checked": bool(checks),
        "passed": all(check.passed for check in checks) if checks else None,
        "checks": [{"what": check.what, "passed": check.passed, "detail": check.detail} for check in checks],
        "notes": notes,
    }
    sys.stdout.write(json.dumps(document) + "\n")


def _print_text(out: Path, written: Written, checks: list[Check], notes: list[str]) -> None:
    lines = []
    for what, names in (("new", written.created), ("replaced", written.replaced)):
        for name in names:
            until = written.expires.get(name)
            lines.append(f"{what:9} {out / name}" + (f", until {until:%Y-%m-%d}" if until else ""))
    lines.append(f"{len(written.kept)} files are kept as they are")
    lines += [f"{'ok' if check.passed else 'FAILED':9} {check.what}" + _detail(check) for check in checks]
    lines += [f"note      {note}" for note in notes]
    sys.stdout.write("\n".join(lines) + "\n")


def _detail(check: Check) -> str:
    return "" if check.passed or not check.detail else f": {check.detail}"
