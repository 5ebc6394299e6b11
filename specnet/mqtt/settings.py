"""How to reach a broker. Secrets stay in files or in the environment: only where they are is configuration."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Literal

import msgspec

from specnet.errors import ConfigurationError
from specnet.ranges import check_range

MAX_PASSWORD_BYTES = 4096
PAYLOAD_LIMIT_BYTES = 64 * 1024 * 1024
KEEPALIVE_LIMIT_S = 65_535
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Address, credentials and limits of the broker.

    Parameters
    ----------
    host, port
        TCP address.
    username, password_file
        User and the file whose first line is the password; both empty for an anonymous connection.
    password_env
        Name of the environment variable that holds the password, instead of a file. The password itself is never part
        of the configuration, so that no command line and no log can show it.
    tls
        Encrypt the connection (TLS 1.2 or newer) and verify the broker's certificate and host name.
    ca_file
        Certificates of the authorities to trust; the system's when empty.
    cert_file, key_file
        The client's own certificate and key, where the broker asks for one.
    keepalive_s
        After this long without an answer the connection counts as dead, in seconds.
    reconnect_min_s, reconnect_max_s
        Bounds of the exponential back-off between attempts, in seconds.
    max_payload_bytes
        Larger payloads are neither sent nor passed on.
    protocol
        ``"auto"`` speaks MQTT 5 and falls back to 3.1.1 on a broker that does not.

    Raises
    ------
    ConfigurationError
        When a value is out of range or two contradict each other; the message names the field.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
    password_file: str = ""
    password_env: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    tls: bool = False
    keepalive_s: int = 30
    reconnect_min_s: float = 0.2
    reconnect_max_s: float = 30.0
    max_payload_bytes: int = 262_144
    protocol: Literal["auto", "5", "3.1.1"] = "auto"

    def __post_init__(self) -> None:
        if not self.host or len(self.host) > 253 or any(character.isspace() for character in self.host):
            raise ConfigurationError(f"host is a name or an address of at most 253 characters, got {self.host!r}")
        check_range("port", self.port, 1, 65_535)
        check_range("keepalive_s", self.keepalive_s, 1, KEEPALIVE_LIMIT_S)
        check_range("reconnect_min_s", self.reconnect_min_s, 0.01, 3600.0)
        check_range("reconnect_max_s", self.reconnect_max_s, self.reconnect_min_s, 86_400.0)
        check_range("max_payload_bytes", self.max_payload_bytes, 1, PAYLOAD_LIMIT_BYTES)
        if self.protocol not in ("auto", "5", "3.1.1"):
            raise ConfigurationError(f'protocol is "auto", "5" or "3.1.1", got {self.protocol!r}')
        for name in ("password_file", "password_env"):
            if getattr(self, name) and not self.username:
                raise ConfigurationError(f"{name} is set without username: MQTT needs a user for a password")
        if self.password_file and self.password_env:
            raise ConfigurationError("password_file and password_env are both set, expected one of them")
        if self.password_env and not VARIABLE.match(self.password_env):
            # whoever writes the password itself here must not find it in a log
            raise ConfigurationError("password_env is the name of an environment variable, got something else")
        if self.key_file and not self.cert_file:
            raise ConfigurationError("key_file is set without cert_file")
        for name in ("ca_file", "cert_file"):
            if getattr(self, name) and not self.tls:
                raise ConfigurationError(f"{name} is set but tls is false: set tls = true to use it")

    def password(self) -> str | None:
        """Read the password.

        Returns
        -------
        str or None
            The first line of `password_file`, or what the variable `password_env` holds; None when there is none to
            send.

        Raises
        ------
        ConfigurationError
            When the file cannot be read, is empty or too large, or there is no such variable.
        """
        if self.password_env:
            return self._password_of_environment()
        if not self.password_file:
            return None
        try:
            with Path(self.password_file).open("rb") as file:
                content = file.read(MAX_PASSWORD_BYTES + 1)
            lines = content.decode().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise ConfigurationError(f"password_file {self.password_file!r} cannot be read: {reason}") from error
        if len(content) > MAX_PASSWORD_BYTES:
            raise ConfigurationError(f"password_file {self.password_file!r} is over {MAX_PASSWORD_BYTES} bytes")
        if not lines or not lines[0]:
            raise ConfigurationError(f"password_file {self.password_file!r} has no password in its first line")
        return lines[0]

    def _password_of_environment(self) -> str:
        password = os.environ.get(self.password_env, "")
        if not password or len(password) > MAX_PASSWORD_BYTES:
            found = "is not set or empty" if not password else f"has {len(password)} characters"
            raise ConfigurationError(
                f"environment variable {self.password_env!r} (password_env) {found}, "
                f"expected a password of at most {MAX_PASSWORD_BYTES}"
            )
        return password

    def tls_context(self) -> ssl.SSLContext | None:
        """Build the TLS context, or None when `tls` is off.

        Raises
        ------
        ConfigurationError
            When a certificate or key file is missing or unusable.
        """
        if not self.tls:
            return None
        for name in ("ca_file", "cert_file", "key_file"):
            _check_readable(name, getattr(self, name))
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except OSError as error:
            raise ConfigurationError(f"ca_file {self.ca_file!r} is unusable: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslsocket_class = _TidySocket
        if self.cert_file:
            # an encrypted key would make OpenSSL ask on the terminal, which a service does not have
            try:
                context.load_cert_chain(self.cert_file, self.key_file or None, password=_no_passphrase)
            except OSError as error:
                files = f"cert_file {self.cert_file!r}, key_file {self.key_file!r}"
                hint = "" if self.key_file else "; without key_file the key is expected in cert_file"
                raise ConfigurationError(f"{files} are unusable: {error}{hint}") from error
        return context


class _TidySocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _check_readable(name: str, path: str) -> None:
    """Say which file is missing; OpenSSL does not."""
    if not path:
        return
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError(f"{name} {path!r} cannot be read: {error.strerror or error}") from error


def _no_passphrase() -> str:
    return ""
