"""The gateway and other servers, one after the other on this machine, with the same segments and the same requests."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from specnet.demo.broker import Broker
from specnet.demo.children import Child
from specnet.demo.gateway_child import add_bundle, serve

START_TIMEOUT_S = 180.0
PEERS = {"litserve": ("litserve", "aiohttp"), "ray": ("ray", "aiohttp")}
"""Peers, and the packages that they and their load need."""
BROKER = ("max_inflight_messages 1000", "max_queued_messages 100000")
"""mosquitto's defaults drop messages in a burst."""


def available_peers() -> list[str]:
    """Names of the servers that can be compared with: their packages are installed."""
    return [name for name, packages in PEERS.items() if all(map(importlib.util.find_spec, packages))]


def load_gateway(
    bundle: Path, folder: Path, devices: int, warm_up_s: float, seconds: float, workers: int, rate: float = 0.0
) -> dict[str, Any]:
    """Ask gateway processes over a real broker; `rate` in requests a second, 0 for as many as they can take.

    Raises
    ------
    ChildError
        When a process fails.
    """
    folder.mkdir()
    with ExitStack() as running:
        broker = running.enter_context(Broker(folder=folder / "broker", extra_configuration=BROKER))
        add_bundle(bundle, folder / "store", folder, START_TIMEOUT_S)
        names = [f"gateway-{number}" for number in range(workers)]
        replicas = [running.enter_context(serve(folder / "store", broker, folder, name)) for name in names]
        for replica in replicas:
            replica.expect("metrics_port", START_TIMEOUT_S)
        words = ["specnet.demo.serving.fleet", str(bundle), "--port", str(broker.port), "--rate", str(rate)]
        return {
            "server": "gateway",
            "workers": workers,
            **_figures(running, words, folder, devices, warm_up_s, seconds),
        }


def load_peer(
    name: str, bundle: Path, folder: Path, devices: int, warm_up_s: float, seconds: float, workers: int
) -> dict[str, Any]:
    """Ask one of `PEERS` over HTTP; errors as `load_gateway`."""
    folder.mkdir()
    port = _free_port()
    words = [f"specnet.demo.serving.{name}_peer", str(bundle), "--port", str(port), "--workers", str(workers)]
    with ExitStack() as running:
        server = Child(name, words, folder)
        # these servers leave processes behind that hold their output open, so the whole group is ended
        running.callback(_end_group, server)
        words = ["specnet.demo.serving.http_fleet", str(bundle), "--url", f"http://127.0.0.1:{port}/"]
        if name == "litserve":
            words[-1] += "predict"
            words.append("--json-body")
        return {"server": name, "workers": workers, **_figures(running, words, folder, devices, warm_up_s, seconds)}


def _end_group(server: Child) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.stop()


def _figures(
    running: ExitStack, words: list[str], folder: Path, devices: int, warm_up_s: float, seconds: float
) -> dict[str, Any]:
    more = ["--devices", str(devices), "--warm-up", str(warm_up_s), "--seconds", str(seconds)]
    fleet = running.enter_context(Child("fleet", [*words, *more], folder))
    fleet.expect("type", START_TIMEOUT_S)
    return fleet.expect("answers", START_TIMEOUT_S + warm_up_s + seconds)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def answers_agree(runs: dict[str, dict[str, Any]]) -> bool:
    """Whether all servers gave the same label for every sample, each time."""
    labels: dict[str, set[int]] = {}
    for figures in runs.values():
        for sample, found in figures["labels"].items():
            labels.setdefault(sample, set()).update(found)
    return all(len(found) == 1 for found in labels.values())
