"""Boards, ports and gateways for the device's tests, real wherever that is possible."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from support_broker import Broker, connected_session, wait_until

from device.outbox import PendingRequest
from device.spectrometers.simulator import SimulatedBoard
from device.spectrometers.spectrometer import SpectrometerLostError
from specnet.mqtt import Incoming
from specnet.wire import OffloadRequest, Result, encode, parse_offload_topic, unpack_request

ROOT = Path(__file__).resolve().parents[2]
PAYLOAD = bytes(100)


class FakeTransport:
    """A board behind a wire that misbehaves as told.

    Parameters
    ----------
    answers
        What the board sends for each command it gets (without newline), as pieces that arrive one by one; None as a
        piece is a time-out; an exception is raised.
    piece
        Answers are cut into pieces of this size; 1 delivers one byte at a time.
    """

    def __init__(self, answers: Callable[[bytes], Sequence[bytes | Exception | None]], piece: int = 1 << 20) -> None:
        self._answers = answers
        self._piece = piece
        self._queue: list[bytes | Exception | None] = []
        self._commands = b""
        self.commands: list[bytes] = []
        self.closed = False

    def read(self, timeout: float) -> bytes:
        if self.closed:
            raise SpectrometerLostError("closed")
        head = self._queue.pop(0) if self._queue else None
        if isinstance(head, Exception):
            raise head
        if head is None:
            return b""
        now, later = head[: self._piece], head[self._piece :]
        if later:
            self._queue.insert(0, later)
        return now

    def write(self, data: bytes) -> None:
        if self.closed:
            raise SpectrometerLostError("closed")
        *complete, self._commands = (self._commands + data).split(b"\n")
        for command in complete:
            self.commands.append(command)
            self._queue.extend(self._answers(command))

    def close(self) -> None:
        self.closed = True


@contextlib.contextmanager
def serving(board: SimulatedBoard) -> Iterator[SimulatedBoard]:
    """Serve a simulated board from a thread."""
    thread = threading.Thread(target=board.serve, daemon=True)
    thread.start()
    try:
        yield board
    finally:
        board.stop()
        thread.join(10)
        assert not thread.is_alive()


def counts(n: int = 5, n_points: int = 16) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Spectra that differ in every value, so that a mixed one is noticed."""
    return (1 + np.arange(n * n_points, dtype=np.uint32)).reshape(n, n_points)


def pending_request(sequence: int, boot: int = 1) -> PendingRequest:
    """A request as the outbox keeps it."""
    return PendingRequest(
        boot=boot,
        sequence=sequence,
        bundle="b",
        label=1,
        class_name="quartz",
        probability=0.5,
        exit_index=1,
        macs=10,
        local_us=1.5,
        payload_bytes=len(PAYLOAD),
        acquired=2.5,
    )


class EchoGateway:
    """Answers each request at once with the same label, the last exit and 1,000 MACs; counts what it saw.

    `answer` may be replaced: it makes the payloads that go back for a request.
    """

    def __init__(self, broker: Broker, *, label: int = 1, topic_filter: str = "specnet/v1/+/+/offload/+/+") -> None:
        self.requests: list[OffloadRequest] = []
        self.topics: list[str] = []
        self.answer: Callable[[OffloadRequest], list[bytes]] = lambda request: [encode(result_for(request, label))]
        self._session = connected_session(broker, f"echo-{label}", topic_filter, on_message=self._serve)

    def _serve(self, incoming: Incoming) -> None:
        request = unpack_request(incoming.payload, parse_offload_topic(incoming.topic))
        self.requests.append(request)
        self.topics.append(incoming.topic)
        for payload in self.answer(request):
            self._session.publish(f"specnet/v1/{request.site}/{request.device}/result", payload)

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish something."""
        assert self._session.publish(topic, payload)

    def stop(self) -> None:
        """Leave."""
        self._session.stop(1.0)


def result_for(request: OffloadRequest, label: int = 1, **changes: Any) -> Result:
    """The result of a request."""
    fields = {
        "device": request.device,
        "boot": request.boot,
        "sequence": request.sequence,
        "bundle": request.bundle,
        "label": label,
        "probability": 0.9,
        "exit_index": 3,
        "macs": 1000,
        "gateway": "echo",
    }
    return Result(**{**fields, **changes})


class DeviceProcess:
    """``specnet-device`` as a process; its records are read as they come."""

    def __init__(self, *arguments: object, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "device", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.records: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._threads = [
            threading.Thread(target=self._read_records, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read_records(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # a process killed in the middle of a line leaves half of it
            if line.endswith("\n"):
                self.records.append(json.loads(line))

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self.errors.extend(self._process.stderr)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """Records of one type so far."""
        return [record for record in list(self.records) if record.get("type") == kind]

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition while the process lives."""
        wait_until(lambda: condition() or self._process.poll() is not None, f"{what}; stderr: {self.errors[-5:]}")
        assert condition(), f"ended with {self._process.returncode} before {what}; stderr: {''.join(self.errors)}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for the end."""
        code = self._process.wait(timeout)
        for thread in self._threads:
            thread.join(5)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
        return code

    def __enter__(self) -> DeviceProcess:
        return self

    def __exit__(self, *details: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self.wait()
