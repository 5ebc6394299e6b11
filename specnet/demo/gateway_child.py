"""The gateway as a child process with a store of one bundle."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from specnet.demo.broker import Broker
from specnet.demo.children import Child, ChildError


def start_gateway(running: ExitStack, bundle: Path, store: Path, broker: Broker, logs: Path, timeout_s: float) -> None:
    """Put a bundle into a store and serve it until `running` is left.

    Raises
    ------
    ChildError
        When the gateway refuses the bundle or does not start within `timeout_s` seconds.
    """
    add = Child("models", ["gateway.cli", "models", "add", str(bundle), "--store", str(store)], logs)
    if running.enter_context(add).wait(timeout_s) != 0:
        raise ChildError(f"the gateway refused the bundle; see {add.log_path}")
    address = f"{broker.host}:{broker.port}"
    serve = ["gateway.cli", "serve", "--store", str(store), "--broker", address, "--metrics-port", "0"]
    gateway = Child("gateway", serve, logs)
    running.enter_context(gateway).expect("metrics_port", timeout_s)
