"""One of several gateways: killed or asked to end, and started again after a pause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from specnet.demo.broker import Broker
from specnet.demo.children import Child, ChildError
from specnet.demo.gateway_child import serve, state_folder

READY_TIMEOUT_S = 60.0
DRAIN_TIMEOUT_S = 60.0


class Replica:
    """A gateway process and its state folder, which outlives the process.

    Parameters
    ----------
    name
        In results, and of the state folder.
    store, broker, logs
        As `specnet.demo.gateway_child.serve`.
    """

    def __init__(self, name: str, store: Path, broker: Broker, logs: Path) -> None:
        self.name = name
        self.folder = state_folder(store, name)
        self._serve: Callable[[], Child] = lambda: serve(store, broker, logs, name)
        self._process: Child | None = None
        self._ready = False
        self._leaving_since: float | None = None
        self._pause_s = self._start_at = 0.0

    @property
    def up(self) -> bool:
        """Whether it runs and was not asked to end."""
        return self._process is not None and self._leaving_since is None

    @property
    def ready(self) -> bool:
        """Whether it is up and has begun to serve; before that, SIGTERM ends it as any program."""
        if self.up and not self._ready:
            assert self._process is not None
            self._ready = any("metrics_port" in record for record in self._process.records(0.0))
        return self.up and self._ready

    @property
    def pid(self) -> int | None:
        """Process number; None while there is no process."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, and do not wait until it is ready."""
        self._process, self._ready = self._serve(), False

    def wait_ready(self) -> None:
        """Wait until it is; errors as `Child.expect`."""
        if not self.ready:
            assert self._process is not None
            self._process.expect("metrics_port", READY_TIMEOUT_S)
            self._ready = True

    def kill(self, now: float, pause_s: float) -> None:
        """End it with SIGKILL; `tend` starts it again after a pause."""
        assert self._process is not None
        self._process.kill()
        self._forget(now + pause_s)

    def drain(self, now: float, pause_s: float) -> None:
        """Ask one that is ready to end with SIGTERM; `tend` starts it again after its end and a pause."""
        assert self._process is not None
        self._process.terminate()
        self._leaving_since, self._pause_s = now, pause_s

    def tend(self, now: float) -> None:
        """Start it again when it is time to.

        Raises
        ------
        ChildError
            When it has ended by itself, with an error, or does not end though it was asked to.
        """
        if self._process is None:
            if now >= self._start_at:
                self.start()
        elif self._leaving_since is not None:
            if not self._process.alive:
                self._check_code()
                self._forget(now + self._pause_s)
            elif now - self._leaving_since > DRAIN_TIMEOUT_S:
                self._process.wait(0.0)
        elif not self._process.alive:
            raise ChildError(f"{self.name} ended by itself; see {self._process.log_path}")

    def end(self) -> None:
        """Ask it to end, and wait for that; errors as `tend`."""
        if self._process is not None:
            if self.up:
                self.wait_ready()
                self._process.terminate()
            self._process.wait(DRAIN_TIMEOUT_S)
            self._check_code()
            self._forget(0.0)

    def close(self) -> None:
        """End it in any way, and free what is held for it."""
        if self._process is not None:
            self._process.stop()

    def _check_code(self) -> None:
        assert self._process is not None
        code = self._process.wait(DRAIN_TIMEOUT_S)
        if code != 0:
            raise ChildError(f"{self.name} ended with code {code} when it was asked to; see {self._process.log_path}")

    def _forget(self, start_at: float) -> None:
        self.close()
        self._process = self._leaving_since = None
        self._start_at = start_at
