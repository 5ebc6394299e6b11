"""A commented configuration, made out of the settings themselves so that it cannot differ from them.

Names, types and defaults come from the structs, comments from the section Parameters of their docstrings.
"""

from __future__ import annotations

import inspect
import math
import re
import textwrap
import types
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

WIDTH = 100
_ENTRY = re.compile(r"(\w+(?:, \w+)*)\n((?:    .*\n?|\n)*)")
_UNIONS = (typing.Union, types.UnionType)
_ROLE = re.compile(r"``?([^`]+)``?")


def render_template(kind: type[msgspec.Struct], values: Mapping[str, Any], header: str = "") -> str:
    """TOML with every key of a configuration.

    Parameters
    ----------
    kind
        The struct of the settings.
    values
        Dotted keys that are set; required ones among them. All others stay comments.
    header
        What stands above all, as comment.

    Returns
    -------
    str
        The text, with a line end at its end.
    """
    parts = [*([_comment(header)] if header else []), *_table(kind, (), values)]
    return "\n".join(parts) + "\n"


def documented(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Field to its sentence in the docstring; fields that are explained together share theirs."""
    document = inspect.cleandoc(kind.__doc__ or "")
    _, _, section = document.partition("Parameters\n----------\n")
    section = re.split(r"\n\w+\n-{3,}\n", section)[0]
    texts: dict[str, str] = {}
    for names, body in _ENTRY.findall(section + "\n"):
        # prose that happens to look like an entry has no field of its name
        for name in names.split(", "):
            texts[name] = " ".join(body.split())
    return {name: texts[name] for name in kind.__struct_fields__ if name in texts}


def _table(kind: type[msgspec.Struct], above: tuple[str, ...], values: Mapping[str, Any]) -> list[str]:
    texts, lines, tables, shown = documented(kind), list[str](), list[str](), ""
    for field in msgspec.structs.fields(kind):
        dotted = ".".join((*above, field.encode_name))
        table = struct_of(field.type)
        if table is not None:
            tables += [
                "",
                _comment(_summary(table)),
                f"[{dotted}]",
                *_table(table, (*above, field.encode_name), values),
            ]
            continue
        text = texts.get(field.name, "")
        if text != shown:
            lines += ["", _comment(text)]
        shown = text
        lines.append(_setting(field, dotted, values))
    return [*lines, *tables]


def _setting(field: Any, dotted: str, values: Mapping[str, Any]) -> str:
    if dotted in values:
        return f"{field.encode_name} = {_toml(values[dotted])}"
    default = field.default
    if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    if default is msgspec.NODEFAULT:
        return f"{field.encode_name} = {_toml('')}"
    if default is None:
        # TOML has no value for that
        return f"#{field.encode_name} ="
    return f"#{field.encode_name} = {_toml(default)}"


def _summary(kind: type[msgspec.Struct]) -> str:
    summary = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]
    # the line below says which table it is
    return re.sub(r"^The table ``\[[\w.]+\]``[:.]\s*", "", summary)


def struct_of(kind: Any) -> type[msgspec.Struct] | None:
    """Give the struct that makes a field a table, also where it may be None; None for other fields."""
    parts = typing.get_args(kind) if typing.get_origin(kind) in _UNIONS else (kind,)
    structs = [part for part in parts if isinstance(part, type) and issubclass(part, msgspec.Struct)]
    return structs[0] if structs else None


def _comment(text: str) -> str:
    plain = _ROLE.sub(r"\1", " ".join(text.split()))
    return "\n".join(f"# {line}" for line in textwrap.wrap(plain, WIDTH, break_on_hyphens=False))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + "}"
    # a JSON string is a basic string of TOML
    return msgspec.json.encode(str(value)).decode()
