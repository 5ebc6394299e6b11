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
    add_bundle(bundle, store, logs, timeout_s)
    running.enter_context(serve(store, broker, logs)).expect("metrics_port", timeout_s)


def add_bundle(bundle: Path, store: Path, logs: Path, timeout_s: float) -> None:
    """Put a bundle into a store; errors as `start_gateway`."""
    with Child("models", ["gateway.cli", "models", "add", str(bundle), "--store", str(store)], logs) as add:
        if add.wait(timeout_s) != 0:
            raise ChildError(f"the gateway refused the bundle; see {add.log_path}")


def serve(store: Path, broker: Broker, logs: Path, replica: str = "") -> Child:
    """Start a gateway, which tells its ``metrics_port`` when it is ready; replicas of one store have a name each."""
    name = replica or "gateway"
    address = f"{broker.host}:{broker.port}"
    words = ["gateway.cli", "serve", "--store", str(store), "--broker", address, "--metrics-port", "0"]
    words += ["--state-dir", str(state_folder(store, name))]
    if replica:
        words += ["--name", replica]
    return Child(name, words, logs)


def state_folder(store: Path, name: str) -> Path:
    """Where a gateway of that name keeps its results, which no other process may use."""
    return store.with_name(f"{name}-state")
