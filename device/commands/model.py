"""``specnet-device model``: list, install, activate, rollback, remove."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from device.commands.options import add_configuration_options, configuration_from
from device.config import DeviceConfiguration
from device.models.http_source import HttpSource
from device.models.installing import Installer
from device.models.pace import Pace
from device.models.partial import PartialFile
from device.models.state import Installed
from device.models.store import ModelStore
from specnet.errors import ConfigurationError
from specnet.signing import MAX_SIGNATURE_BYTES, decode_signature, has_keys, read_signature, signature_path
from specnet.signing.signature import SIGNATURE_SUFFIX, encode_signature
from specnet.status_line import StatusLine

HELP = "look at the models of this device, install, activate and take them back"
EXAMPLE = "specnet-device model install minerals-2.specnet --activate --config node.toml"

Action = Callable[[argparse.Namespace, DeviceConfiguration, ModelStore], dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _action(actions, "list", _list, "list the models on this device, and which is in use", "model list --json")
    install = _action(
        actions, "install", _install, "verify, try and store a bundle", "model install minerals-2.specnet --activate"
    )
    install.add_argument("file", metavar="FILE", help="a .specnet file, or its address (http://, https://)")
    install.add_argument("--signature", metavar="FILE", help="default: FILE.sig")
    install.add_argument("--activate", action="store_true", help="use it from now on")
    activate = _action(actions, "activate", _activate, "use an installed model", "model activate minerals/2")
    remove = _action(actions, "remove", _remove, "remove a model from disk", "model remove minerals/1")
    for command in (activate, remove):
        command.add_argument("model", metavar="NAME/VERSION", help="as `specnet-device model list` has it")
    for command in (install, activate):
        command.add_argument("--force", action="store_true", help="also an older version, or one that has failed")
    _action(actions, "rollback", _rollback, "go back to the model before the one in use", "model rollback")


def _action(actions: Any, name: str, run_action: Action, text: str, example: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = actions.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"Example:\n  specnet-device {example} --config node.toml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_configuration_options(command)
    command.set_defaults(run_action=run_action)
    # without a default of its own it would undo one that was given before the action
    command.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document on stdout")
    return command


def run(args: argparse.Namespace) -> int:
    """Do it; a running service notices by itself."""
    configuration = configuration_from(args)
    store = ModelStore(configuration.state_dir, keep=configuration.models.keep)
    action: Action = args.run_action
    document = action(args, configuration, store)
    sys.stdout.write(json.dumps(document) + "\n" if args.json else _text(document))
    return 0


def _list(args: argparse.Namespace, configuration: DeviceConfiguration, store: ModelStore) -> dict[str, Any]:
    return _overview(configuration, store)


def _install(args: argparse.Namespace, configuration: DeviceConfiguration, store: ModelStore) -> dict[str, Any]:
    installer = Installer(configuration, store)
    if args.file.startswith(("http://", "https://")):
        if args.signature:
            raise ConfigurationError("the signature of an address lies beside it: --signature is for files")
        record = _install_from_address(args.file, configuration, store, installer)
    else:
        record = installer.install_copy(Path(args.file), _signature(args, configuration), force=args.force)
    if args.activate:
        store.activate(record, force=args.force)
    return {"installed": msgspec.to_builtins(record), **_overview(configuration, store)}


def _signature(args: argparse.Namespace, configuration: DeviceConfiguration) -> bytes:
    path = Path(args.signature) if args.signature else signature_path(args.file)
    trusting = bool(configuration.models.trust_dir)
    if trusting and not has_keys(configuration.models.trust_dir):
        raise ConfigurationError(f"models.trust_dir {configuration.models.trust_dir!r} has no public keys (*.pem)")
    if not trusting:
        if args.signature:
            raise ConfigurationError("--signature needs models.trust_dir: nobody is trusted yet")
        return b""
    return encode_signature(read_signature(path))


def _install_from_address(
    url: str, configuration: DeviceConfiguration, store: ModelStore, installer: Installer
) -> Installed:
    """Fetch the signature first: it says how large the bundle is and which hash it has, and is verified before."""
    settings = configuration.models
    source = HttpSource(settings.ca_file)
    document = source.small(url + SIGNATURE_SUFFIX, MAX_SIGNATURE_BYTES)
    claim = decode_signature(document, url + SIGNATURE_SUFFIX)
    installer.checker.verify_signature(document)
    if claim.size > settings.max_bytes:
        raise ConfigurationError(f"{url} has {claim.size} bytes, models.max_bytes is {settings.max_bytes}")
    store.check_acceptable(claim.name, claim.version, claim.sha256)
    installer.check_room(2 * claim.size)
    with PartialFile(store.root, claim.sha256, claim.size) as partial, StatusLine() as status:

        def show() -> bool:
            status.show(f"{partial.received} of {partial.size} bytes")
            return False

        source.fetch(partial, url, Pace(0.0, show))
        record = installer.install_file(partial.finish(), document)
        partial.discard()
    return record


def _activate(args: argparse.Namespace, configuration: DeviceConfiguration, store: ModelStore) -> dict[str, Any]:
    store.activate(_find(args.model, store), force=args.force)
    return _overview(configuration, store)


def _rollback(args: argparse.Namespace, configuration: DeviceConfiguration, store: ModelStore) -> dict[str, Any]:
    store.rollback("taken back by hand")
    return _overview(configuration, store)


def _remove(args: argparse.Namespace, configuration: DeviceConfiguration, store: ModelStore) -> dict[str, Any]:
    record = _find(args.model, store)
    store.remove(record)
    return {"removed": record.label, **_overview(configuration, store)}


def _find(label: str, store: ModelStore) -> Installed:
    name, slash, version = label.rpartition("/")
    if not slash or not (version.isascii() and version.isdigit() and len(version) <= 10):
        raise ConfigurationError(f"a model is NAME/VERSION such as minerals/2, got {label[:80]!r}")
    return store.find(name, int(version))


def _overview(configuration: DeviceConfiguration, store: ModelStore) -> dict[str, Any]:
    state = store.state
    roles = {record: role for role, record in (("previous", state.previous), ("active", state.active)) if record}
    models = [
        {**msgspec.to_builtins(record), "label": record.label, "role": roles.get(record, "")}
        for record in store.installed()
    ]
    return {
        "active": None if state.active is None else state.active.label,
        "previous": None if state.previous is None else state.previous.label,
        "on_trial": state.trial is not None,
        "factory": configuration.bundle,
        "models": models,
        "refused": msgspec.to_builtins(state.refused),
    }


def _text(document: dict[str, Any]) -> str:
    trial = " (on trial)" if document["on_trial"] else ""
    lines = [f"in use: {document['active'] or document['factory']}{trial}"]
    for model in document["models"]:
        signed = f"key {model['key_id']}" if model["key_id"] else "not signed"
        size = f"{model['size'] / 1024:.0f} kB"
        lines.append(f"  {model['label']:<24} {model['role']:<9} id {model['bundle_id']}  {size:>9}  {signed}")
    lines += [f"  refused {refused['label']}: {refused['reason']}" for refused in document["refused"]]
    return "\n".join(lines) + "\n"
