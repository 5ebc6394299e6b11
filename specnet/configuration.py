"""Configuration: a TOML file, then environment overrides, then the command line, into one validated msgspec struct.

A later source replaces single values of an earlier one. Every complaint names where the value came from, its key, what
was found and what was expected; values of keys that look like secrets are never shown.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from specnet.errors import ConfigurationError
from specnet.files import read_bounded

MAX_FILE_BYTES = 1024 * 1024
MAX_SHOWN = 80
SECRET = re.compile(r"password|passwd|secret|token|api_?key|private_?key", re.IGNORECASE)

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True)
class _Value:
    """One setting and where it came from. `text` values are converted by the type of their field."""

    value: Any
    source: str
    text: bool


_UNIONS = (typing.Union, types.UnionType)
_Tree = dict[str, Any]  # key -> _Value, or a tree again for a table


def load_configuration(
    kind: type[T],
    path: Path | None,
    *,
    environment: Mapping[str, str],
    prefix: str,
    overrides: Mapping[str, Any] | None = None,
) -> T:
    """Build `kind` from a file, the environment and the command line.

    Parameters
    ----------
    kind
        A msgspec struct; fields that are structs themselves are tables of the file.
    path
        A TOML file of at most 1 MiB; None for defaults.
    environment
        Usually `os.environ`. ``<PREFIX>_BROKER__HOST=...`` sets ``host`` of the table ``broker``; lists are written as
        in TOML.
    prefix
        Such as ``SPECNET_DEVICE``.
    overrides
        Dotted keys (``broker.host``) to values; strings are converted by the type of the field, as in the environment.

    Returns
    -------
    T
        Validated; what nobody set has its default.

    Raises
    ------
    ConfigurationError
        When the file cannot be read, or a key or value is invalid.
    """
    tree: _Tree = {} if path is None else _from_file(path)
    start = prefix.rstrip("_").upper() + "_"
    for name in sorted(environment):
        if name.startswith(start):
            keys = name[len(start) :].lower().split("__")
            _insert(tree, keys, _Value(environment[name], f"environment variable {name}", text=True))
    for name, value in (overrides or {}).items():
        _insert(tree, name.split("."), _Value(value, f"option {name}", text=isinstance(value, str)))
    return _build(kind, tree, ())


def _from_file(path: Path) -> _Tree:
    content = read_bounded(path, MAX_FILE_BYTES, "configuration", ConfigurationError)
    try:
        document = tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: expected TOML in UTF-8, byte {error.start} is not") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: expected TOML: {error}") from error
    except RecursionError as error:
        raise ConfigurationError(f"{path}: tables are nested too deeply") from error
    return _annotate(document, str(path))


def _annotate(table: Mapping[str, Any], source: str) -> _Tree:
    return {
        key: _annotate(value, source) if isinstance(value, dict) else _Value(value, source, text=False)
        for key, value in table.items()
    }


def _insert(tree: _Tree, keys: list[str], value: _Value) -> None:
    for position, key in enumerate(keys[:-1]):
        below = tree.setdefault(key, {})
        if not isinstance(below, dict):
            where = ".".join(keys[: position + 1])
            raise ConfigurationError(f"{value.source}: {where} is no table: {below.source} gives it a value")
        tree = below
    tree[keys[-1]] = value


def _build(kind: type[T], tree: _Tree, above: tuple[str, ...]) -> T:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for key, node in tree.items():
        dotted = ".".join((*above, key))
        if key not in fields:
            raise ConfigurationError(f"{_source(node)}: unknown key {dotted!r}{_suggest(key, fields)}")
        field = fields[key]
        table = _table_of(field.type)
        if table is not None and isinstance(node, dict):
            values[field.name] = _build(table, node, (*above, key))
        elif table is not None:
            raise ConfigurationError(f"{node.source}: {dotted}: expected a table, got {_show(dotted, node.value)}")
        else:
            values[field.name] = _convert(field.type, node, dotted)
    missing = [name for name, field in fields.items() if field.required and field.name not in values]
    if missing:
        table_name = f"table {'.'.join(above)}" if above else "configuration"
        raise ConfigurationError(f"{_source(tree)}: the {table_name} lacks {', '.join(missing)}")
    try:
        return kind(**values)
    except (ConfigurationError, ValueError, TypeError) as error:
        # from the struct's own __post_init__, which knows its fields but not where they came from
        place = f"[{'.'.join(above)}] " if above else ""
        raise ConfigurationError(f"{_source(tree)}: {place}{error}") from error


def _convert(kind: Any, node: _Value | _Tree, dotted: str) -> Any:
    # a field that is a dictionary may mix both kinds of values
    value, source = _plain(node), _source(node)
    text = _has_text(node)
    if isinstance(value, str) and text and not _is_scalar(kind):
        try:
            value, text = tomllib.loads(f"value = {value}")["value"], False
        except tomllib.TOMLDecodeError as error:
            shown = _show(dotted, value)
            raise ConfigurationError(f"{source}: {dotted}: expected a value as in TOML, got {shown}") from error
    try:
        return msgspec.convert(value, kind, strict=not text)
    except msgspec.ValidationError as error:
        # the error of a nested value shows its path; that of the value itself has none worth showing
        complaint = str(error).replace(" - at `$`", "").replace("`$", f"`{dotted}")
        raise ConfigurationError(f"{source}: {dotted}: {_lower(complaint)}; found {_show(dotted, value)}") from error


def _table_of(kind: Any) -> type[msgspec.Struct] | None:
    """Give the struct that a field holds, also behind `Annotated` or an optional."""
    origin = typing.get_origin(kind)
    if origin in _UNIONS or origin is typing.Annotated:
        tables = [table for part in typing.get_args(kind) if (table := _table_of(part)) is not None]
        return tables[0] if len(tables) == 1 else None
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def _is_scalar(kind: Any) -> bool:
    """Whether a text can stand for the value without quotes or brackets."""
    origin = typing.get_origin(kind) or kind
    if origin is typing.Annotated:
        return _is_scalar(typing.get_args(kind)[0])
    if origin in _UNIONS:
        return all(_is_scalar(part) for part in typing.get_args(kind))
    return origin not in (list, tuple, dict, set, frozenset)


def _plain(node: _Value | _Tree) -> Any:
    return {key: _plain(below) for key, below in node.items()} if isinstance(node, dict) else node.value


def _has_text(node: _Value | _Tree) -> bool:
    return any(map(_has_text, node.values())) if isinstance(node, dict) else node.text


def _source(node: _Value | _Tree) -> str:
    """Name the source of a value, or the sources of a table."""
    if isinstance(node, _Value):
        return node.source
    sources = dict.fromkeys(_source(below) for below in node.values())
    return ", ".join(sources) or "configuration"


def _suggest(key: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else f"; known: {', '.join(known)}"


def _show(dotted: str, value: Any) -> str:
    if SECRET.search(dotted) and not dotted.endswith(("_file", "_path")):
        return "a value that is not shown"
    shown = repr(value)
    return shown if len(shown) <= MAX_SHOWN else shown[: MAX_SHOWN - 3] + "..."


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
