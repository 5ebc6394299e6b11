from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support_cached_logits import make_cached

from specnet.calibration import Calibration, calibrate, parse_calibration, read_calibration
from specnet.calibration.result import MAX_BYTES
from specnet.errors import ModelError


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(make_cached(seed=0, n=300))


def test_a_written_calibration_is_read_back_equal(calibration: Calibration, tmp_path: Path) -> None:
    path = calibration.write(tmp_path / "run" / "calibration.json")
    assert read_calibration(path) == calibration


def test_it_knows_the_split_that_it_was_made_on(calibration: Calibration) -> None:
    assert calibration.describes(make_cached(seed=0, n=300))
    assert not calibration.describes(make_cached(seed=0, n=299))
    assert not calibration.describes(make_cached(seed=0, n=300, evidence=(1.2, 1.0, 1.0)))
    # the network was trained again and is better now
    assert not calibration.describes(make_cached(seed=0, n=300, evidence=(2.0, 1.0, 1.0, 1.2)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "recipe"}, "got 'recipe' version 1"),
        ({"format_version": 2}, "version 2"),
        ({"chosen": "budget"}, "'budget' is in force, the calibration has default, fast, accurate"),
        ({"front": []}, "at least 1 expected"),
        ({"accuracy": "high"}, r"accuracy"),
        ({"max_risk": 0.1}, "max_risk"),
    ],
)
def test_a_document_that_makes_no_sense_is_refused(
    calibration: Calibration, changes: dict[str, Any], message: str
) -> None:
    document = json.loads(calibration.to_json()) | changes
    with pytest.raises(ModelError, match=message):
        parse_calibration(json.dumps(document).encode())


def test_a_policy_of_other_length_is_refused(calibration: Calibration) -> None:
    document = json.loads(calibration.to_json())
    document["operating_points"]["fast"] |= {"thresholds": [0.5, 0.0], "temperatures": [1.0, 1.0]}
    with pytest.raises(ModelError, match=r"numbers of exits: \[2, 4\]"):
        parse_calibration(json.dumps(document).encode())


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": "specnet-calibration"}'])
def test_what_is_no_calibration_is_refused(document: bytes) -> None:
    with pytest.raises(ModelError, match="is no valid calibration"):
        parse_calibration(document)


def test_missing_and_huge_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        read_calibration(tmp_path / "calibration.json")
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ModelError, match="at most"):
        read_calibration(huge)
