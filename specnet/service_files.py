"""The files that make a program a service: its configuration and its systemd unit, as ``init`` commands write them."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from specnet.errors import ConfigurationError
from specnet.files import write_bytes

_PLAIN = re.compile(r"[A-Za-z0-9_./@+-]+\Z")


def render_unit(template: str, program: str, configuration: Path) -> str:
    """Fill ``@EXECUTABLE@`` and ``@CONFIG@`` of a systemd unit in.

    Parameters
    ----------
    template
        Text of the unit.
    program
        Name of the installed command: looked for on ``PATH``, then beside this interpreter.
    configuration
        The program's configuration; it need not be there yet.

    Raises
    ------
    ConfigurationError
        When one of the paths has characters that mean something to systemd.
    """
    executable = shutil.which(program) or str(Path(sys.executable).with_name(program))
    names = {"@EXECUTABLE@": str(Path(executable).absolute()), "@CONFIG@": str(configuration.absolute())}
    text = template
    for mark, name in names.items():
        if not _PLAIN.match(name):
            raise ConfigurationError(f"a systemd unit needs paths of plain characters, got {name!r}")
        text = text.replace(mark, name)
    return text


def write_new_files(texts: Mapping[Path, str]) -> None:
    """Write files that are not there yet, each whole or not at all.

    Raises
    ------
    ConfigurationError
        When one exists, and then none is written, or when one cannot be written.
    """
    for path in texts:
        if path.exists():
            raise ConfigurationError(f"{path} exists already and is not overwritten")
    for path, text in texts.items():
        try:
            write_bytes(path, text.encode())
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
