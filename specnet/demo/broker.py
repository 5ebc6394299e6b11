"""A real broker in a child process, for the demonstration and for tests."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from specnet.errors import BrokerError
from specnet.files import write_bytes
from specnet.mqtt.mosquitto import mosquitto_path

Kind = Literal["mosquitto", "amqtt"]
LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
PORT_ATTEMPTS = 3
LOG_TAIL_BYTES = 2000
# CONNECT of MQTT 3.1.1, clean session, keep-alive 5 s, client "ready"
CONNECT_PACKET = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x05\x00\x05ready"
DISCONNECT_PACKET = b"\xe0\x00"
CONNACK = 0x20

# Without the two limits mosquitto silently drops messages of QoS 1 in a burst; without the third line round trips wait
# 40 ms for a delayed acknowledgement.
MOSQUITTO_CONFIGURATION = """\
listener {port} {host}
allow_anonymous {anonymous}
max_queued_messages 100000
max_inflight_messages 100
set_tcp_nodelay true
persistence false
log_dest stderr
"""


class Broker:
    """A broker on a free port of the loopback interface; a context manager.

    Parameters
    ----------
    kind
        ``"mosquitto"`` (MQTT 5), or ``"amqtt"`` (3.1.1, for demonstrations).
    folder
        For configuration and log; a temporary one of its own when None.
    anonymous
        Whether mosquitto lets clients in without a user.
    extra_configuration
        More lines for mosquitto.

    Raises
    ------
    BrokerError
        When mosquitto is asked for and not installed.
    """

    host = LOOPBACK

    def __init__(
        self,
        kind: Kind = "mosquitto",
        *,
        folder: Path | None = None,
        anonymous: bool = True,
        extra_configuration: Sequence[str] = (),
    ) -> None:
        if kind == "mosquitto" and mosquitto_path() is None:
            raise BrokerError("mosquitto is not installed: neither on PATH nor in /usr/sbin or /usr/local/sbin")
        self.kind = kind
        self.port = 0
        self._temporary = tempfile.TemporaryDirectory(prefix="specnet-broker-") if folder is None else None
        self._folder = Path(self._temporary.name) if self._temporary is not None else folder or Path()
        self._anonymous = anonymous
        self._extra = tuple(extra_configuration)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_path(self) -> Path:
        """Where the broker's output goes; a restart appends."""
        return self._folder / f"{self.kind}.log"

    @property
    def pid(self) -> int:
        """The broker's process.

        Raises
        ------
        BrokerError
            When it does not run.
        """
        if self._process is None:
            raise BrokerError("the broker does not run")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Start the process, on the port it had before if any, and wait until it answers an MQTT CONNECT.

        Raises
        ------
        BrokerError
            When it does not; the message ends with the log's last lines.
        """
        if self.running:
            return self
        attempts = 1 if self.port else PORT_ATTEMPTS
        for attempt in range(attempts):
            if not self.port or attempt:
                self.port = _free_port()
            self._process = self._spawn()
            if self._wait_until_ready():
                return self
            self.kill()
        raise BrokerError(f"{self.kind} did not answer on {self.host}:{self.port}; its log ends:\n{self._log_tail()}")

    def stop(self) -> None:
        """End the process with SIGTERM, and with SIGKILL when that is not enough."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process with SIGKILL, as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop, if it still runs, and start on the same port."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop, and remove the temporary folder."""
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        here = Path(__file__).parent
        wrapper = [sys.executable, "-I", "-S", str(here / "die_with_parent.py"), str(os.getpid())]
        with self.log_path.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the command is ours
                [*wrapper, *self._command(here)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # a Ctrl-C in the terminal is for the demonstration, which stops its broker last
                start_new_session=True,
            )

    def _command(self, here: Path) -> list[str]:
        if self.kind == "amqtt":
            # -P: the folder of that file holds modules whose names are not meant for the import path
            return [sys.executable, "-P", str(here / "amqtt_process.py"), str(self.port)]
        anonymous = str(self._anonymous).lower()
        text = MOSQUITTO_CONFIGURATION.format(port=self.port, host=self.host, anonymous=anonymous)
        if os.geteuid() == 0:
            # as root mosquitto changes to a user that cannot read our folder
            text += "user root\n"
        path = write_bytes(self._folder / "mosquitto.conf", "\n".join([text, *self._extra, ""]).encode())
        return [mosquitto_path() or "mosquitto", "-c", str(path)]

    def _wait_until_ready(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.running:
            if self._is_ready():
                return self.running
            time.sleep(0.02)
        return False

    def _is_ready(self) -> bool:
        return _answers(self.host, self.port)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
            # a stopped process (SIGSTOP) sees SIGTERM only when it goes on
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _log_tail(self) -> str:
        try:
            return self.log_path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return "(no log)"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(host: str, port: int) -> bool:
    """Whether a CONNECT gets a CONNACK, be it a refusal."""
    try:
        with socket.create_connection((host, port), timeout=1.0) as client:
            client.sendall(CONNECT_PACKET)
            answer = client.recv(4)
            client.sendall(DISCONNECT_PACKET)
    except OSError:
        return False
    return answer[:1] == bytes([CONNACK])
