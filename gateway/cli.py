"""``specnet-gateway``: serve, models, publish, selftest, profile, init, broker-config."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from gateway.adding import add_bundle
from gateway.broker_config.command import add_broker_config
from gateway.check import Check
from gateway.config import PREFIX, GatewaySettings
from gateway.engine import EngineSettings, create_engine
from gateway.init_command import add_init
from gateway.logs import Format, Level, configure_logging
from gateway.models import ModelStore
from gateway.profiling import REST_S, measure_gateway
from gateway.publish_command import add_publish
from gateway.selftest import run_checks
from gateway.service import GatewayService
from specnet import __version__
from specnet.configuration import load_configuration
from specnet.errors import ConfigurationError, SpecnetError
from specnet.profiles import describe, write_profile
from specnet.ranges import check_range
from specnet.status_line import StatusLine

_OPTIONS = {
    "store": "store",
    "trust": "trust_dir",
    "state_dir": "state_dir",
    "device": "device",
    "engine": "engine",
    "threads": "threads",
    "precision": "precision",
    "group": "group",
    "site": "site",
    "name": "name",
    "max_batch": "max_batch",
    "metrics_port": "monitoring.port",
    "log_format": "log.format",
    "log_level": "log.level",
}
"""Command-line options and the settings they override."""

_MODEL_COLUMNS = ("name", "version", "id", "classes", "splits", "path")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 done, 1 a check failed, 2 a user's mistake, 130 interrupted."""
    options = _parser().parse_args(arguments)
    configure_logging()
    try:
        code: int = options.run(options)
    except SpecnetError as error:
        sys.stderr.write(f"specnet-gateway: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"specnet-gateway: {error.filename or ''}: {error.strerror or error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("specnet-gateway: interrupted\n")
        return 130
    return code


def _serve(options: argparse.Namespace) -> int:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    settings = _settings(options)
    configure_logging(settings.log.level, settings.log.format)
    with GatewayService(settings) as service:
        _print_json(service.ready())
        service.run(stopping)
    return 0


def _models_list(options: argparse.Namespace) -> int:
    settings = _settings(options)
    store = ModelStore.of(settings, create_engine(EngineSettings.of(settings)))
    bad = store.rescan().bad
    models: list[dict[str, Any]] = [
        {
            "name": model.manifest.name,
            "version": model.manifest.version,
            "id": model.bundle_id,
            "classes": len(model.manifest.classes),
            "splits": model.manifest.n_stages,
            "path": str(model.path),
        }
        for model in store.models
    ]
    if options.json:
        _print_json({"models": models, "bad": [{"path": str(b.path), "reason": b.reason} for b in bad]})
        return 0
    _print_table([_MODEL_COLUMNS, *([model[column] for column in _MODEL_COLUMNS] for model in models)])
    for broken in bad:
        sys.stderr.write(f"not usable: {broken.reason}\n")
    return 0


def _models_add(options: argparse.Namespace) -> int:
    settings = _settings(options)
    engine = create_engine(EngineSettings.of(settings))
    path = add_bundle(settings.store, options.file, engine, trust_dir=settings.trust_dir or None)
    if options.json:
        _print_json({"path": str(path)})
    else:
        sys.stdout.write(f"{path}\n")
    return 0


def _selftest(options: argparse.Namespace) -> int:
    checks = run_checks(_settings(options))
    failed = [check for check in checks if not check.passed]
    if options.json:
        _print_json({"passed": not failed, "checks": [_plain(check) for check in checks]})
    else:
        rows = [(check.what, "ok" if check.passed else "FAILED", check.detail) for check in checks]
        _print_table([("check", "result", "detail"), *rows])
    return 1 if failed else 0


def _profile(options: argparse.Namespace) -> int:
    check_range("--requests", options.requests, 100, 1_000_000)
    check_range("--rest-ms", options.rest_ms, 0, 10_000)
    shares = _shares(options.loads)
    with StatusLine() as status:
        profile = measure_gateway(
            _settings(options),
            options.bundle,
            shares,
            options.requests,
            seed=options.seed,
            rest_s=options.rest_ms / 1e3,
            progress=status.show,
        )
    if options.out is not None:
        write_profile(options.out, profile)
    if options.json:
        _print_json(msgspec.to_builtins(profile))
        return 0
    sys.stdout.write(describe(profile) + "\n")
    if options.out is not None:
        sys.stdout.write(f"\nprofile: {options.out}\n")
    return 0


def _shares(text: str) -> list[float]:
    try:
        shares = [float(word) for word in text.split(",")] if text else []
    except ValueError:
        shares = [-1.0]
    if len(shares) > 16 or not all(0.01 <= share <= 0.99 for share in shares):
        raise ConfigurationError(f"--loads takes up to 16 shares from 0.01 to 0.99 such as 0.25,0.5, got {text[:80]!r}")
    return shares


def _plain(check: Check) -> dict[str, Any]:
    return {"what": check.what, "passed": check.passed, "detail": check.detail}


def _settings(options: argparse.Namespace) -> GatewaySettings:
    given = {key: getattr(options, name, None) for name, key in _OPTIONS.items()}
    overrides = {key: value for key, value in given.items() if value is not None}
    if getattr(options, "broker", None) is not None:
        host, _, port = options.broker.rpartition(":")
        overrides["broker.host"], overrides["broker.port"] = (host, port) if host else (port, "1883")
    return load_configuration(
        GatewaySettings, options.config, environment=os.environ, prefix=PREFIX, overrides=overrides
    )


def _print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def _print_table(rows: Sequence[Sequence[Any]]) -> None:
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))]
    for row in texts:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="specnet-gateway", description="Finish over MQTT what spectrum classifiers on devices could not decide."
    )
    parser.add_argument("--version", action="version", version=f"specnet {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = _command(
        commands,
        "serve",
        _serve,
        "Serve the bundles of a store. One JSON line on stdout says when it is ready; logs go to stderr.",
        "specnet-gateway serve --store models --broker 127.0.0.1:1883",
    )
    _add_broker(serve)
    _add_engine(serve)
    serve.add_argument("--group", help="replicas of one group share the requests")
    serve.add_argument("--site", help="serve the devices of this site only")
    serve.add_argument("--name", help="name of this gateway in results")
    serve.add_argument("--state-dir", help="folder of results and of what waits to be kept (default: gateway-state)")
    serve.add_argument("--max-batch", type=int, help="most requests of a batch")
    serve.add_argument("--metrics-port", type=int, help="port of /metrics and /healthz on loopback; 0 takes a free one")
    serve.add_argument("--log-format", choices=get_args(Format), help="lines of key=value, or of JSON (default: text)")
    serve.add_argument("--log-level", choices=get_args(Level), help="least level that is logged (default: info)")
    models = commands.add_parser("models", help="list or add bundles").add_subparsers(required=True, metavar="ACTION")
    listing = _command(
        models, "list", _models_list, "List the bundles of a store.", "specnet-gateway models list --json"
    )
    adding = _command(
        models, "add", _models_add, "Check a bundle and copy it into a store.", "specnet-gateway models add a.specnet"
    )
    adding.add_argument("file", type=Path, help="a *.specnet file")
    selftest = _command(
        commands,
        "selftest",
        _selftest,
        "Check engine, bundles and broker; exit code 1 when something fails.",
        "specnet-gateway selftest --store models --broker 127.0.0.1:1883",
    )
    _add_broker(selftest)
    profile = _command(
        commands,
        "profile",
        _profile,
        "Measure what segments take here, and how long requests wait under load; no broker is needed.",
        "specnet-gateway profile --store models --bundle minerals --out gateway.json",
    )
    profile.add_argument("--bundle", required=True, metavar="NAME_OR_ID", help="a bundle of the store")
    profile.add_argument("--out", type=Path, metavar="FILE", help="write the profile here, such as gateway.json")
    profile.add_argument(
        "--loads",
        default="0.25,0.5,0.75,0.9",
        metavar="SHARE,...",
        help="loads as shares of the capacity that is measured first (default: 0.25,0.5,0.75,0.9); empty for none",
    )
    profile.add_argument("--requests", type=int, default=2000, metavar="N", help="requests for each load")
    profile.add_argument("--max-batch", type=int, help="most requests of a batch")
    profile.add_argument(
        "--rest-ms",
        type=float,
        default=1e3 * REST_S,
        metavar="MS",
        help="pause before each single call, as between the requests of slow instruments "
        f"(default: {1e3 * REST_S:g}; 0 measures a loop)",
    )
    profile.add_argument("--seed", type=int, default=0, help="of the moments at which requests come")
    add_publish(commands)
    add_init(commands)
    add_broker_config(commands)
    for command in (listing, adding, selftest, profile):
        _add_engine(command)
        command.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _command(commands: Any, name: str, run: Any, text: str, example: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, epilog=f"example: {example}"
    )
    command.set_defaults(run=run)
    command.add_argument("--store", help="folder of bundles, <name>/<version>/model.specnet (default: models)")
    command.add_argument("--trust", metavar="DIR", help="public keys, one of which must have signed each bundle")
    command.add_argument("--config", type=Path, help="TOML file; environment SPECNET_GATEWAY_* overrides it")
    return command


def _add_broker(command: argparse.ArgumentParser) -> None:
    command.add_argument("--broker", metavar="HOST:PORT", help="MQTT broker (default: 127.0.0.1:1883)")


def _add_engine(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", choices=("cpu", "cuda"), help="where segments run")
    command.add_argument("--engine", choices=("auto", "onnxruntime", "torch"), help="what runs them")
    command.add_argument("--threads", type=int, help="threads of one segment call on a CPU")
    command.add_argument(
        "--precision", choices=("float32", "auto"), help="auto: half precision in torch where the self-test allows it"
    )


if __name__ == "__main__":
    raise SystemExit(main())
