"""Profiles as files: JSON of at most 1 MiB, checked field by field."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any

import msgspec

from specnet.errors import ProfileError
from specnet.files import read_bounded, write_json
from specnet.profiles.device import DeviceProfile
from specnet.profiles.gateway import GatewayProfile
from specnet.profiles.link import LinkProfile

Profile = DeviceProfile | LinkProfile | GatewayProfile

MAX_PROFILE_BYTES = 1 << 20
MAX_SHOWN = 80
KINDS: dict[str, type[Profile]] = {"device": DeviceProfile, "link": LinkProfile, "gateway": GatewayProfile}
FORMAT = 1


class _Head(msgspec.Struct):
    """The two fields that every profile of every format has."""

    kind: str
    format: int


def read_profile(path: Path | str) -> Profile:
    """Read and check a profile of any kind.

    Raises
    ------
    ProfileError
        When the file cannot be read, is too large, is no profile, or a field is wrong; the message names the file, the
        field, what was found and what was expected.
    """
    path = Path(path)
    content = read_bounded(path, MAX_PROFILE_BYTES, "profile", ProfileError)
    try:
        head = msgspec.json.decode(content, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProfileError(f"{path}: no profile (JSON with kind and format): {error}") from error
    if head.kind not in KINDS:
        raise ProfileError(f"{path}: kind is {' or '.join(map(repr, KINDS))}, got {head.kind[:MAX_SHOWN]!r}")
    if head.format > FORMAT:
        raise ProfileError(f"{path}: has format {head.format}, this release reads up to {FORMAT}; update specnet")
    try:
        return msgspec.json.decode(content, type=KINDS[head.kind])
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProfileError(f"{path}: {_complaint(str(error), KINDS[head.kind], content)}") from error


def write_profile(path: Path | str, profile: Profile) -> Path:
    """Write a profile, whole or not at all; `ProfileError` when the file system refuses."""
    try:
        return write_json(path, msgspec.to_builtins(profile))
    except OSError as error:
        raise ProfileError(f"{path}: cannot be written: {error.strerror or error}") from error


def json_schema(kind: str) -> dict[str, Any]:
    """JSON schema of the profiles of one kind: ``device``, ``link`` or ``gateway``; `ProfileError` for another one."""
    if kind not in KINDS:
        raise ProfileError(f"kind is {' or '.join(map(repr, KINDS))}, got {kind[:MAX_SHOWN]!r}")
    return msgspec.json.schema(KINDS[kind])


def _complaint(message: str, kind: type[Profile], content: bytes) -> str:
    """Add to msgspec's message, which names types and a path, what stands there and what should."""
    if "unknown field" in message and "`$." not in message:
        return f"{message}; known: {', '.join(kind.__struct_fields__)}"
    place = re.search(r"at `\$([^`]+)`", message)
    if place is None:
        return message
    found = repr(_walk(msgspec.json.decode(content), place[1]))
    shown = found if len(found) <= MAX_SHOWN else found[: MAX_SHOWN - 3] + "..."
    choices = typing.get_args(typing.get_type_hints(kind).get(place[1].removeprefix("."), None))
    expected = f"; expected {' or '.join(map(repr, choices))}" if message.startswith("Invalid enum value") else ""
    return f"{message}{expected}; found {shown}"


def _walk(document: Any, place: str) -> Any:
    """Follow a path such as ``.loads[0].queue_ms.values[...]`` as far as it is definite."""
    for name, index in re.findall(r"\.([A-Za-z_]\w*)|\[([^]]+)\]", place):
        if name and isinstance(document, dict):
            document = document.get(name)
        elif index.isdigit() and isinstance(document, list):
            document = document[int(index)]
        else:
            break
    return document
