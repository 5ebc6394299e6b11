"""The configuration tried out: started with the mosquitto that is installed, and its rules met by real clients.

The broker listens on a free port of loopback and keeps its state in a temporary folder; the rules are those that were
written. Clients get certificates and passwords for this trial only, so no client's own secret is needed or touched.
Where the plan names no gateway, operator or device yet, one is made up for the trial.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from gateway.broker_config.certificates import Authority, read_authority
from gateway.broker_config.configuration import (
    AUTHORITY_FILE,
    CONFIGURATION_FILE,
    PASSWORDS_FILE,
    RULES_FILE,
    SERVER_CERTIFICATE_FILE,
    SERVER_KEY_FILE,
    configuration_text,
)
from gateway.broker_config.folder import AUTHORITY_KEY_FILE, SECRET
from gateway.broker_config.limits import Option
from gateway.broker_config.passwords import hashes_text, password_line
from gateway.broker_config.plan import LOOPBACK, BrokerPlan
from gateway.broker_config.rules import rules_text
from specnet.errors import BrokerError
from specnet.files import write_bytes
from specnet.mqtt import BrokerSettings

START_TIMEOUT_S = 60.0  # mosquitto 2.0 reads the rules of 10,000 devices in 6 s
STOP_TIMEOUT_S = 5.0
POLL_S = 0.02
MADE_UP = "specnet-trial"
TRIAL_DAYS = 0.1
TAIL_BYTES = 2000
_AS_ROOT = "should not be run as root"
_RUNNING = re.compile(r"mosquitto version \S+ running")


class TrialBroker:
    """A mosquitto with the configuration of a plan, on a free port of loopback; a context manager.

    Parameters
    ----------
    program
        The mosquitto to start.
    folder
        The folder that was written for the plan.
    plan
        What was written.

    Raises
    ------
    BrokerError
        While entering, when mosquitto does not start; the message has the end of its log.
    """

    def __init__(self, program: str, folder: Path, plan: BrokerPlan) -> None:
        self.plan = _with_everybody(plan)
        self.port = 0
        self._program = program
        self._folder = folder
        self._written = plan
        self._temporary = tempfile.TemporaryDirectory(prefix="specnet-broker-trial-")
        self._here = Path(self._temporary.name)
        self._authority: Authority | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._prepare()
            self._start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def complaints(self) -> list[str]:
        """Lines of the log that are warnings or errors."""
        lines = self._log().splitlines()
        bad = [line for line in lines if any(word in line.lower() for word in ("warning", "error", "deprecated"))]
        # said of whoever runs this trial, not of the configuration
        return [line.partition(": ")[2] or line for line in bad if _AS_ROOT not in line]

    def settings(self, user: str, protocol: str = "5") -> BrokerSettings:
        """How a client reaches the broker; an empty user is a stranger without certificate and password."""
        common = {
            "host": LOOPBACK,
            "port": self.port,
            "protocol": protocol,
            "reconnect_min_s": 0.1,
            "reconnect_max_s": 0.5,
            # the trial sends more than is allowed
            "max_payload_bytes": 2 * self.plan.payload_bytes,
            "tls": self.plan.encrypted,
            "ca_file": str(self._folder / AUTHORITY_FILE) if self.plan.encrypted else "",
        }
        if user and self.plan.proof == "certificates":
            name = self._here / secrets.token_hex(8)
            assert self._authority is not None
            issued = self._authority.issue_client(user, TRIAL_DAYS)
            common["cert_file"] = str(write_bytes(name.with_suffix(".pem"), issued.certificate))
            common["key_file"] = str(write_bytes(name.with_suffix(".key"), issued.key, mode=SECRET))
        if user and self.plan.proof == "passwords":
            common["username"] = user
            common["password_file"] = str(self._password_file(user))
        return msgspec.convert(common, BrokerSettings)

    def _prepare(self) -> None:
        if self.plan.proof == "certificates":
            self._authority = read_authority(self._folder / AUTHORITY_FILE, self._folder / AUTHORITY_KEY_FILE)
        if self.plan == self._written:
            write_bytes(self._here / RULES_FILE, (self._folder / RULES_FILE).read_bytes(), mode=SECRET)
        else:
            write_bytes(self._here / RULES_FILE, rules_text(self.plan).encode(), mode=SECRET)
        if self.plan.proof == "passwords":
            lines = {}
            for user in self._everybody():
                password = secrets.token_hex(16)
                write_bytes(self._password_file(user), f"{password}\n".encode(), mode=SECRET)
                lines[user] = password_line(user, password)
            write_bytes(self._here / PASSWORDS_FILE, hashes_text(lines).encode(), mode=SECRET)
        if self.plan.encrypted:
            for name in (AUTHORITY_FILE, SERVER_CERTIFICATE_FILE, SERVER_KEY_FILE):
                write_bytes(self._here / name, (self._folder / name).read_bytes(), mode=SECRET)

    def _everybody(self) -> list[str]:
        return [*(names[0] for names in (self.plan.devices, self.plan.gateways, self.plan.operators)), MADE_UP]

    def _password_file(self, user: str) -> Path:
        return self._here / f"password-{user.replace('/', '+')}"

    def _start(self) -> None:
        self.port = _free_port()
        plan = msgspec.structs.replace(
            self.plan, folder=str(self._here), state=str(self._here), host=LOOPBACK, port=self.port
        )
        extra = [Option("log_type", "information", "")]
        if os.geteuid() == 0:
            # as root mosquitto would become a user that cannot read this folder
            extra.append(Option("user", "root", ""))
        path = write_bytes(self._here / CONFIGURATION_FILE, configuration_text(plan, extra).encode())
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the program that was found
                [self._program, "-c", str(path)], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        # it says so itself; a connection that only asks would leave an error in its log
        while not _RUNNING.search(self._log()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BrokerError(f"mosquitto did not start with this configuration; its log ends:\n{self._tail()}")
            time.sleep(POLL_S)

    def _close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._temporary.cleanup()

    @property
    def _log_path(self) -> Path:
        return self._here / "log"

    def _log(self) -> str:
        try:
            return self._log_path.read_text(errors="replace")
        except OSError:
            return ""

    def _tail(self) -> str:
        return self._log()[-TAIL_BYTES:].strip() or "(empty)"


def _with_everybody(plan: BrokerPlan) -> BrokerPlan:
    """Add a client of each role that nobody has yet."""
    site = plan.all_sites[0] if plan.all_sites else MADE_UP
    return msgspec.structs.replace(
        plan,
        devices=plan.devices or (f"{site}/{MADE_UP}",),
        gateways=plan.gateways or (f"{MADE_UP}-gateway",),
        operators=plan.operators or (f"{MADE_UP}-operator",),
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
