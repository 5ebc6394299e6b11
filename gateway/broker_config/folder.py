"""Writing the folder: what is there stays, what is missing is added, and what somebody changed is not overwritten.

::

    plan.json                                  what the other files were made from
    mosquitto.conf  acl  passwords             for the broker
    tls/ca.pem  tls/server.pem  tls/server.key for the broker
    tls/ca.key                                 of the authority: best kept elsewhere, it is needed to add clients only
    clients/devices/SITE/NAME/                 for this device: client.pem, client.key and ca.pem, or password
    clients/gateways/NAME/  clients/operators/NAME/
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import msgspec

from gateway.broker_config.certificates import (
    Authority,
    Issued,
    names_of_server,
    new_authority,
    read_authority,
    read_certificate,
)
from gateway.broker_config.configuration import (
    AUTHORITY_FILE,
    CONFIGURATION_FILE,
    PASSWORDS_FILE,
    RULES_FILE,
    SERVER_CERTIFICATE_FILE,
    SERVER_KEY_FILE,
    configuration_text,
)
from gateway.broker_config.passwords import hashes_text, new_password, password_line, read_hashes
from gateway.broker_config.plan import PLAN_FILE, BrokerPlan
from gateway.broker_config.rules import rules_text
from specnet.errors import ConfigurationError
from specnet.files import read_bounded, write_bytes

AUTHORITY_KEY_FILE = "tls/ca.key"
CLIENT_CERTIFICATE_FILE, CLIENT_KEY_FILE, CLIENT_PASSWORD_FILE = "client.pem", "client.key", "password"
SECRET = 0o600
ALWAYS_NAMES = ("localhost", "127.0.0.1", "::1")
"""The broker's certificate is for its own machine too: that is where it is tried, and where a gateway may run."""
MAX_TEXT_BYTES = 256 << 20
_STAMP = "# content "


@dataclass
class Written:
    """What a run did.

    Attributes
    ----------
    created, replaced, kept
        Files, relative to the folder.
    expires
        When certificates end, by file.
    """

    created: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    expires: dict[str, datetime.datetime] = field(default_factory=dict)


class BrokerFolder:
    """The files of one broker.

    Parameters
    ----------
    path
        The folder; it is created.
    plan
        What to write.
    days
        How long new certificates hold.
    anew
        Users whose certificate or password is made anew although there is one.
    removed
        Users who lose their password.
    force
        Replace files that somebody has changed, and the server's certificate.
    """

    def __init__(
        self,
        path: Path,
        plan: BrokerPlan,
        *,
        days: float,
        anew: Iterable[str] = (),
        removed: Iterable[str] = (),
        force: bool = False,
    ) -> None:
        self._path = path
        self._plan = plan
        self._days = days
        self._anew = frozenset(anew)
        self._removed = frozenset(removed)
        self._force = force
        self._written = Written()
        self._progress: Callable[[str], None] = lambda _: None

    def write(self, progress: Callable[[str], None] = lambda _: None) -> Written:
        """Write what is missing and renew what follows from the plan.

        Parameters
        ----------
        progress
            Told what is being written.

        Raises
        ------
        ConfigurationError
            When a file was changed by somebody, an authority is damaged or lacks its key, or a file cannot be written.
        """
        self._progress = progress
        rules = _stamped(rules_text(self._plan))
        configuration = _stamped(configuration_text(self._plan))
        try:
            # before anything is written, or half of it would be
            self._refuse_changed(RULES_FILE, rules)
            self._refuse_changed(CONFIGURATION_FILE, configuration)
            if self._plan.encrypted:
                self._ensure_authority()
                self._server()
            if self._plan.proof == "certificates":
                self._client_certificates()
            if self._plan.proof == "passwords":
                self._passwords()
            self._put(RULES_FILE, rules, mode=SECRET)
            self._put(CONFIGURATION_FILE, configuration)
            self._put(PLAN_FILE, msgspec.json.format(msgspec.json.encode(self._plan), indent=2) + b"\n")
        except OSError as error:
            raise ConfigurationError(
                f"cannot write {error.filename or self._path}: {error.strerror or error}"
            ) from error
        return self._written

    def _ensure_authority(self) -> None:
        if (self._path / AUTHORITY_FILE).exists() or (self._path / AUTHORITY_KEY_FILE).exists():
            self._keep(AUTHORITY_FILE)
            return
        self._pair(AUTHORITY_FILE, AUTHORITY_KEY_FILE, new_authority())

    @cached_property
    def _authority(self) -> Authority:
        """The authority with its key, which need not be here while there is nothing to sign."""
        return read_authority(self._path / AUTHORITY_FILE, self._path / AUTHORITY_KEY_FILE)

    def _server(self) -> None:
        names = list(dict.fromkeys([*self._plan.server_names, *ALWAYS_NAMES]))
        path = self._path / SERVER_CERTIFICATE_FILE
        if path.exists() and (self._path / SERVER_KEY_FILE).exists() and not self._force:
            found = read_certificate(path)
            if missing := set(names) - names_of_server(found):
                raise ConfigurationError(
                    f"{path} is not for {', '.join(sorted(missing))}: give --force to make it anew"
                )
            self._keep(SERVER_CERTIFICATE_FILE)
            return
        self._pair(SERVER_CERTIFICATE_FILE, SERVER_KEY_FILE, self._authority.issue_server(names, self._days))

    def _client_certificates(self) -> None:
        root = (self._path / AUTHORITY_FILE).read_bytes()
        for user in self._plan.users:
            folder = client_folder(self._plan, user)
            certificate, key = f"{folder}/{CLIENT_CERTIFICATE_FILE}", f"{folder}/{CLIENT_KEY_FILE}"
            # a key that was carried to its device, as it should be, is not missing
            if (self._path / certificate).exists() and user not in self._anew:
                self._keep(certificate)
                continue
            self._pair(certificate, key, self._authority.issue_client(user, self._days))
            self._put(f"{folder}/{Path(AUTHORITY_FILE).name}", root)

    def _passwords(self) -> None:
        hashes = read_hashes(self._path / PASSWORDS_FILE)
        lines = {user: line for user, line in hashes.items() if user not in self._removed}
        for user in self._plan.users:
            folder = client_folder(self._plan, user)
            if self._plan.encrypted:
                self._put(f"{folder}/{Path(AUTHORITY_FILE).name}", (self._path / AUTHORITY_FILE).read_bytes())
            if user in hashes and user not in self._anew:
                continue
            password = new_password()
            self._put(f"{folder}/{CLIENT_PASSWORD_FILE}", f"{password}\n".encode(), mode=SECRET)
            lines[user] = password_line(user, password)
        self._put(PASSWORDS_FILE, hashes_text(lines).encode(), mode=SECRET)

    def _pair(self, certificate: str, key: str, issued: Issued) -> None:
        self._put(key, issued.key, mode=SECRET)
        self._put(certificate, issued.certificate)
        self._written.expires[certificate] = issued.expires

    def _keep(self, certificate: str) -> None:
        self._written.kept.append(certificate)
        self._written.expires[certificate] = read_certificate(self._path / certificate).not_valid_after_utc

    def _refuse_changed(self, name: str, new: bytes) -> None:
        path = self._path / name
        if self._force or not path.exists():
            return
        content = read_bounded(path, MAX_TEXT_BYTES, "file", ConfigurationError)
        if content != new and not _is_ours(content):
            raise ConfigurationError(
                f"{path} was not written by this command, or was changed since: give --force to overwrite it"
            )

    def _create(self, name: str, content: bytes, *, mode: int | None = None) -> None:
        self._progress(name)
        write_bytes(self._path / name, content, mode=mode)
        self._written.created.append(name)

    def _put(self, name: str, content: bytes, *, mode: int | None = None) -> None:
        path = self._path / name
        if not path.exists():
            self._create(name, content, mode=mode)
        elif path.read_bytes() == content:
            self._written.kept.append(name)
        else:
            write_bytes(path, content, mode=mode)
            self._written.replaced.append(name)


def client_folder(plan: BrokerPlan, user: str) -> str:
    """Folder with a client's secrets, relative to the broker's."""
    if "/" in user:
        return f"clients/devices/{user}"
    return f"clients/{'gateways' if user in plan.gateways else 'operators'}/{user}"


def _stamped(text: str) -> bytes:
    """Text with its own hash in the first line, by which a change is noticed."""
    return f"{_STAMP}{_digest(text.encode())}\n{text}".encode()


def _is_ours(content: bytes) -> bool:
    first, _, rest = content.partition(b"\n")
    return first.decode(errors="replace") == _STAMP + _digest(rest)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


__all__ = [
    "ALWAYS_NAMES",
    "AUTHORITY_KEY_FILE",
    "CLIENT_CERTIFICATE_FILE",
    "CLIENT_KEY_FILE",
    "CLIENT_PASSWORD_FILE",
    "BrokerFolder",
    "Written",
    "client_folder",
]
