"""Passwords of clients: random ones in files of their own, and mosquitto's file with hashes only.

The form is that of ``mosquitto_passwd`` (``$7$``, PBKDF2 with SHA-512), which mosquitto reads since 1.6. It is made
here, because that program wants the password on its command line, where every user of the machine can read it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from specnet.errors import ConfigurationError
from specnet.files import read_bounded

PASSWORD_BYTES = 32
SALT_BYTES = 12
ITERATIONS = 101
"""As mosquitto_passwd has them. More would protect guessable passwords, which these are not, and would cost the broker
a second of its only thread when a thousand devices come back at once."""
MAX_FILE_BYTES = 64 << 20


def new_password() -> str:
    """Draw a password of 256 random bits."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def password_line(user: str, password: str) -> str:
    """Line of mosquitto's password file, without its end."""
    salt = os.urandom(SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return f"{user}:$7${ITERATIONS}${_text(salt)}${_text(digest)}"


def read_hashes(path: Path) -> dict[str, str]:
    """Lines of a password file by user; none when there is no file.

    Raises
    ------
    ConfigurationError
        When it cannot be read or a line is no hash.
    """
    if not path.exists():
        return {}
    document = read_bounded(path, MAX_FILE_BYTES, "password file", ConfigurationError).decode(errors="replace")
    lines = {}
    for number, line in enumerate(document.splitlines(), 1):
        user, colon, digest = line.partition(":")
        if not colon or not digest.startswith("$"):
            raise ConfigurationError(f"{path}, line {number}: expected USER:HASH as mosquitto_passwd writes it")
        lines[user] = line
    return lines


def hashes_text(lines: Mapping[str, str]) -> str:
    """Content of the password file."""
    return "".join(f"{lines[user]}\n" for user in sorted(lines))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
