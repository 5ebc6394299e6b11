"""A search space that a user wrote down: JSON with fields of `SearchSpace`."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

from specnet.errors import ConfigurationError
from specnet.files import read_bounded
from specnet.nn.blocks import BLOCKS
from specnet.tuning.architecture.space import SearchSpace

MAX_FILE_BYTES = 1 << 20
NAMES = tuple(field.name for field in fields(SearchSpace))


def read_space(path: Path, usual: SearchSpace) -> SearchSpace:
    """Read a space; fields that the file does not have stay as usual.

    Raises
    ------
    ConfigurationError
        When the file is missing, too large or no JSON, or has unknown fields or choices.
    """
    try:
        document = json.loads(read_bounded(path, MAX_FILE_BYTES, "space", ConfigurationError))
    except ValueError as error:
        raise ConfigurationError(f"space {path} is no JSON: {error}") from error
    if not isinstance(document, dict) or not document:
        raise ConfigurationError(f"space {path} has no fields, expected some of {', '.join(NAMES)}")
    if unknown := sorted(set(document) - set(NAMES)):
        raise ConfigurationError(f"space {path} has fields {unknown}, expected some of {', '.join(NAMES)}")
    for name, choices in document.items():
        _check(path, name, choices)
    if "widths" not in document and "stages" in document:
        document["widths"] = usual.widths[: max(document["stages"], default=0)]
    return replace(usual, **document)


def _check(path: Path, name: str, choices: object) -> None:
    if name == "widths":
        fine = isinstance(choices, list) and all(isinstance(one, list) and one and _counts(one, 1) for one in choices)
        expected = "a list of whole numbers for every stage"
    elif name == "blocks":
        fine = isinstance(choices, list) and all(one in list(BLOCKS) for one in choices)
        expected = f"a list of {', '.join(BLOCKS)}"
    else:
        fine = _counts(choices, 0 if name == "units" else 1)
        expected = "a list of whole numbers"
    if not fine:
        raise ConfigurationError(f"space {path} has {name} {json.dumps(choices)}, expected {expected}")


def _counts(choices: object, least: int) -> bool:
    return isinstance(choices, list) and all(type(one) is int and one >= least for one in choices)
