"""Search spaces that users write down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support_search import SPACE, write_space

from specnet.errors import ConfigurationError
from specnet.tuning.architecture import space_file
from specnet.tuning.architecture.space import SearchSpace
from specnet.tuning.architecture.space_file import read_space

USUAL = SearchSpace.for_axis(1000)


def test_a_whole_space_comes_back(tmp_path: Path) -> None:
    assert read_space(write_space(tmp_path / "space.json"), USUAL) == SPACE


def test_what_is_not_given_stays_usual(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_text(json.dumps({"blocks": ["ghost"], "stages": [2, 3]}))
    space = read_space(path, USUAL)
    assert (space.blocks, space.stages, space.units) == (("ghost",), (2, 3), USUAL.units)
    assert space.widths == USUAL.widths[:3]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "is no JSON"),
        ("[]", "has no fields, expected some of stages, widths"),
        ("{}", "has no fields"),
        ('{"width": [1]}', r"has fields \['width'\], expected some of stages"),
        ('{"units": []}', r"units of a search space are \(\), expected distinct"),
        ('{"units": [1, 1]}', "expected distinct choices"),
        ('{"units": [-1]}', r"has units \[-1\], expected a list of whole numbers"),
        ('{"units": [true]}', r"has units \[true\]"),
        ('{"units": 3}', "has units 3"),
        ('{"stages": [0]}', r"has stages \[0\]"),
        ('{"stages": []}', "stages of a search space are"),
        ('{"stages": [7]}', "widths for 5 stages, expected 7"),
        ('{"widths": [8, 16]}', r"has widths \[8, 16\], expected a list of whole numbers for every stage"),
        ('{"widths": [[8], []]}', "for every stage"),
        ('{"blocks": ["dense"]}', "expected a list of plain, depthwise|expected a list of depthwise"),
        ('{"blocks": [["ghost"]]}', "has blocks"),
        ('{"head_bins": [1.5]}', r"has head_bins \[1.5\]"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "space.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=text):
        read_space(path, USUAL)


def test_a_file_that_is_missing_or_too_large_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read space .*: No such file"):
        read_space(tmp_path / "none.json", USUAL)
    path = write_space(tmp_path / "space.json")
    monkeypatch.setattr(space_file, "MAX_FILE_BYTES", 10)
    with pytest.raises(ConfigurationError, match="at most 10 are read"):
        read_space(path, USUAL)
