"""A gateway process, and a device's end of the conversation, over a real broker."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support_broker import Broker, Inbox, connected_session, wait_until

from gateway.decoding import decode_tasks
from gateway.engine import Engine
from gateway.step import Answer, run_step
from gateway.work import Task, Work
from specnet.codec import EncodedFeatures
from specnet.mqtt import MqttSession
from specnet.wire import OffloadRequest, Result, Topics, decode, encode

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30.0


def decoded(*batch: Work) -> list[Task]:
    """Decode requests of one split; one that cannot be decoded raises its refusal."""
    tasks, refused = decode_tasks([Task.of(work) for work in batch])
    for _, refusal in refused:
        raise refusal
    return tasks


def answers_of(engine: Engine, batch: Sequence[Work]) -> list[tuple[Task, Answer]]:
    """Take requests of one split to their answers, a segment after the other, without a scheduler."""
    tasks = decoded(*batch)
    answered: list[tuple[Task, Answer]] = []
    while tasks:
        step = run_step(engine, tasks)
        answered += step.answered
        tasks = step.staying
    return answered


def run_cli(*arguments: object, timeout: float = 30.0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `specnet-gateway` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


class GatewayProcess:
    """`specnet-gateway serve` as a child process; a context manager that ends it.

    Parameters
    ----------
    store
        Folder of bundles.
    broker
        Where to connect; it need not run.
    arguments
        More options.
    environment
        More environment, such as ``SPECNET_GATEWAY_MAX_QUEUE="4"``.
    """

    def __init__(self, store: Path, broker: Broker, *arguments: str, **environment: str) -> None:
        self._command = [sys.executable, "-m", "gateway.cli", "serve", "--store", str(store)]
        self._command += ["--broker", f"{broker.host}:{broker.port}", "--metrics-port", "0", *arguments]
        quick = {
            "SPECNET_GATEWAY_BROKER__RECONNECT_MIN_S": "0.05",
            "SPECNET_GATEWAY_BROKER__RECONNECT_MAX_S": "0.2",
            "SPECNET_GATEWAY_RESCAN_S": "0.1",
            "SPECNET_GATEWAY_STATE_DIR": str(store.with_name("gateway-state")),
        }
        self._environment = {**os.environ, **quick, **environment}
        self.ready: dict[str, Any] = {}
        self._log: list[str] = []
        self._marked = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if kind is not None:  # pytest shows it beside the failure
            sys.stderr.write(self.log)

    def start(self) -> None:
        """Start (again) and wait for the ready line."""
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_log, args=(self._process,), daemon=True)
        self._reader.start()
        watchdog = threading.Timer(START_TIMEOUT_S, self._process.kill)
        watchdog.start()
        line = self._process.stdout.readline()
        watchdog.cancel()
        if not line:
            self.kill()
            raise AssertionError(f"the gateway did not become ready:\n{self.log}")
        self.ready = json.loads(line)

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        self._log.extend(process.stderr)

    @property
    def log(self) -> str:
        """What it wrote to stderr so far."""
        return "".join(self._log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._close()

    def terminate(self, timeout: float = 20.0) -> int:
        """SIGTERM; returns the exit code."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout)
        return self._close()

    def _close(self) -> int:
        code = self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._process.stderr.close()
        return code

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of the monitoring endpoint."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ready['metrics_port']}{path}", timeout=5) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def mark(self) -> None:
        """From now on, `metric` gives counters since this moment."""
        self._marked = self.get("/metrics")[1]

    def metric(self, name: str, /, **labels: str) -> float:
        """Sum of a metric's samples that have these labels; 0 when there are none."""
        before = _sum(self._marked, name, labels) if name.endswith(("_total", "_count", "_sum")) else 0.0
        return _sum(self.get("/metrics")[1], name, labels) - before

    def wait_metric(self, name: str, at_least: float = 1, **labels: str) -> None:
        """Wait until a metric has reached a value."""
        wait_until(lambda: self.metric(name, **labels) >= at_least, f"{name}{labels} >= {at_least}")

    def wait_healthy(self) -> None:
        """Wait for /healthz to answer 200."""
        wait_until(lambda: self.get("/healthz")[0] == 200, "the gateway is healthy")


def _sum(page: str, name: str, labels: dict[str, str]) -> float:
    total = 0.0
    for line in page.splitlines():
        match = re.match(r"specnet_gateway_(\w+)(?:\{(.*)\})? (\S+)$", line)
        if (
            match
            and match[1] == name
            and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', match[2] or "")).items()
        ):
            total += float(match[3])
    return total


class DeviceEnd:
    """Sends requests as a device does, again and again until the result is there; a context manager."""

    def __init__(self, broker: Broker, *, site: str = "lab", device: str = "probe-1", **settings: object) -> None:
        self.topics = Topics(site, device)
        self.inbox = Inbox()
        self.session: MqttSession = connected_session(
            broker, f"device-{device}-{time.monotonic_ns()}", self.topics.result, on_message=self.inbox, **settings
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.stop()

    def send(self, request: OffloadRequest, *, topic: str = "", response_topic: str | None = None) -> None:
        """Publish a request once."""
        self.send_raw(
            topic or self.topics.offload(request.bundle, request.split),
            encode(request),
            response_topic=response_topic or self.topics.result,
            correlation=request.request_id.encode(),
        )

    def send_raw(self, topic: str, payload: bytes, **properties: Any) -> None:
        """Publish any bytes; waits for a connection."""
        wait_until(lambda: self.session.publish(topic, payload, **properties), "a request can be sent")

    @property
    def results(self) -> list[Result]:
        """Everything that came on the result topic."""
        return [decode(Result, payload) for payload in self.inbox.payloads]

    def results_of(self, request: OffloadRequest) -> list[Result]:
        """Results of one request."""
        return [result for result in self.results if result.request_id == request.request_id]

    def ask(self, *requests: OffloadRequest, timeout: float = 30.0) -> list[Result]:
        """Send requests until each has a result, every half second again; returns the first result of each."""
        deadline = time.monotonic() + timeout
        while open_requests := [request for request in requests if not self.results_of(request)]:
            assert time.monotonic() < deadline, f"{len(open_requests)} of {len(requests)} requests have no result"
            for request in open_requests:
                self.send(request)
            with contextlib.suppress(AssertionError):
                ids = {request.request_id for request in requests}
                wait_until(
                    lambda: ids <= {result.request_id for result in self.results},  # noqa: B023
                    "results",
                    timeout=0.5,
                )
        return [self.results_of(request)[0] for request in requests]


def damaged(features: EncodedFeatures) -> EncodedFeatures:
    """The same features with one bit flipped, as if a byte was hit on its way."""
    data = bytes([features.data[0] ^ 1]) + features.data[1:]
    return EncodedFeatures(features.codec, features.shape, data, features.crc32)
