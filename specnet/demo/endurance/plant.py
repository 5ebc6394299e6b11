"""Broker, link, gateway, spectrometer and device as processes that can be killed and started again, one by one."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.demo.broker import Broker
from specnet.demo.children import Child, ChildError
from specnet.demo.endurance.disk import SmallDisk
from specnet.demo.gateway_child import add_bundle, serve
from specnet.demo.replay_file import write_replay
from specnet.demo.shaped_link import ShapedLink
from specnet.files import write_bytes
from specnet.profiles import LINK_PRESETS

READY_TIMEOUT_S = 60.0
HISTORY_TIMEOUT_S = 60.0
DISK_BYTES = 64 << 20
LINK = LINK_PRESETS["ethernet"]
CONFIGURATION = """\
site = "field"
device = "node-1"
bundle = "{bundle}"
state_dir = "{state}"
stop_at_end = false

[spectrometer]
driver = "c12880ma"
port = "{port}"
integration_time_s = {integration}
interval_s = {interval}
timeout_s = 5.0
full_scale = 0.0

[broker]
host = "{host}"
port = {broker_port}
keepalive_s = 5
reconnect_min_s = 0.1
reconnect_max_s = 1.0

[uplink]
audit_rate = 0.02
retry_s = 1.0
retry_max_s = 5.0
deadline_s = 1.0
drain_s = 60.0

[outbox]
max_bytes = 2000000
max_requests = 2000
max_age_s = 60.0

[history]
max_rows = {history}
"""


@dataclass(frozen=True)
class Size:
    """What a device takes at one moment, in bytes."""

    memory: int
    disk: int


class Plant:
    """All processes; a context manager. Each part can be killed, and is started again in its own way.

    Parameters
    ----------
    bundle
        What device and gateway run.
    counts
        Spectra ``(n, n_points)`` that the spectrometer replays again and again.
    folder
        For state and logs.
    interval_s
        From one spectrum to the next.
    history_rows
        Final answers that the device keeps.

    Raises
    ------
    ChildError
        When a process fails; the message has the end of its log.
    BrokerError
        When mosquitto is not installed.
    """

    def __init__(
        self, bundle: Path, counts: NDArray[np.uint32], folder: Path, *, interval_s: float, history_rows: int
    ) -> None:
        self._bundle, self._counts, self._folder = bundle.resolve(), counts, folder
        self._interval_s, self._history_rows = interval_s, history_rows
        self._logs, self._store = folder / "logs", folder / "models"
        self.disk = SmallDisk(folder / "disk", DISK_BYTES)
        self._running = ExitStack()
        self._starts = 0
        self.device: Child
        self.link: ShapedLink

    def __enter__(self) -> Self:
        with self._running as stack:
            self._logs.mkdir(parents=True)
            stack.enter_context(self.disk)
            self.broker = stack.enter_context(Broker("mosquitto", folder=self._logs))
            self.link = stack.enter_context(ShapedLink(LINK, self.broker.host, self.broker.port, framing="mqtt"))
            add_bundle(self._bundle, self._store, self._logs, READY_TIMEOUT_S)
            stack.callback(lambda: self._gateway.stop())
            self.start_gateway()
            port = self._folder / "spectrometer"
            replay = write_replay(self._folder / "replay.npz", self._counts)
            words = ["device.cli", "simulate", str(replay), "--loop", "--link", str(port)]
            self._spectrometer = stack.enter_context(Child("spectrometer", words, self._logs))
            self._spectrometer.expect("port", READY_TIMEOUT_S)
            self.configuration = write_bytes(self._folder / "node.toml", self._text(port).encode())
            stack.callback(lambda: self.device.stop())
            self.start_device()
            self._running = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.__exit__(kind, value, traceback)

    def start_gateway(self) -> None:
        """Start the gateway."""
        self._gateway = serve(self._store, self.broker, self._logs)
        self._gateway.expect("metrics_port", READY_TIMEOUT_S)

    def kill_gateway(self) -> None:
        """End the gateway with SIGKILL."""
        self._gateway.kill()
        self._gateway.stop()

    def start_device(self) -> None:
        """Start the device; it need not be ready."""
        self._starts += 1
        words = ["device.cli", "run", "--config", str(self.configuration)]
        self.device = Child(f"device-{self._starts}", words, self._logs)

    def stop_spectra(self) -> None:
        """Take the spectrometer away for good."""
        self._spectrometer.stop()

    def size(self) -> Size:
        """Memory of the device's process, and its files; the ballast of a full disk is none of them."""
        try:
            pages = int(Path(f"/proc/{self.device.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):  # just killed
            pages = 0
        return Size(pages * os.sysconf("SC_PAGE_SIZE"), self._state_bytes())

    def accounts(self, last: int = 1) -> dict[str, Any]:
        """Read the journal from outside: ``accounts`` and the last ``answers``, as ``specnet-device history`` does."""
        words = ["device.cli", "history", "--config", str(self.configuration), "--last", str(last), "--json"]
        done = subprocess.run(  # noqa: S603  (the command is ours)
            [sys.executable, "-m", *words], capture_output=True, check=False, timeout=HISTORY_TIMEOUT_S
        )
        if done.returncode != 0:
            raise ChildError(f"the journal cannot be read: {done.stderr.decode(errors='replace')[-1000:]}")
        document: dict[str, Any] = msgspec.json.decode(done.stdout)
        return document

    def _state_bytes(self) -> int:
        total = 0
        for path in (self.disk.folder / "state").rglob("*"):
            try:
                total += path.stat().st_size if path.is_file() else 0
            except OSError:  # a journal's side files come and go
                continue
        return total

    def _text(self, port: Path) -> str:
        return CONFIGURATION.format(
            bundle=self._bundle,
            state=self.disk.folder / "state",
            port=port,
            integration=min(0.001, self._interval_s or 1e-5),
            interval=self._interval_s,
            host=self.link.host,
            broker_port=self.link.port,
            history=self._history_rows,
        )
