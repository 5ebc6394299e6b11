from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support_boards import CASES, Case, read_all, simulated
from support_parsers import CCD, CSV

from device.commands.simulate import make_board
from device.spectrometers import SpectrometerSettings, create_spectrometer, definition
from device.spectrometers.axis import resolve_axis
from device.spectrometers.declarative_protocol import (
    BinaryAnswerParser,
    Numbers,
    TextAnswerParser,
    Unreadable,
    checksum,
)
from device.spectrometers.definition import check_pattern, read_definition, unescape
from specnet.errors import ConfigurationError, SpectrometerError
from specnet.spectra import Quantity, SpectralAxis

MINIMAL = """
format = 1
model = "Mine"
points = 4
{top}
[trigger]
send = 'READ\\n'
[reply]
kind = "{kind}"
{reply}
{rest}
"""


def write(folder: Path, *, top: str = "", kind: str = "text", reply: str = r"end = '\n'", rest: str = "") -> Path:
    path = folder / "board.toml"
    path.write_text(MINIMAL.format(top=top, kind=kind, reply=reply, rest=rest))
    return path


def served(path: Path, spectra: np.ndarray[Any, Any], n: int = 1, **faults: Any) -> list[np.ndarray[Any, Any]]:
    case = Case("declarative", f"declarative:{path}", spectra.shape[1], {"definition": str(path)})
    with simulated(case, spectra, **faults) as board:
        return read_all(case, board.port, n)[0]


def test_a_board_of_a_few_lines_is_read(tmp_path: Path) -> None:
    spectra = np.array([[1, 2, 3, 4]], dtype=np.uint32)
    np.testing.assert_array_equal(served(write(tmp_path), spectra), spectra)


@pytest.mark.parametrize(
    "changes",
    [
        {"reply": r"end = '\r\n'" + "\ndelimiter = ' '\nbefore = 'S='\nafter = ';'"},
        {"reply": "end = '|'\nbefore = 'DATA [A-Z]*'\ndelimiter = ';'"},
        {"kind": "binary", "reply": 'value = ">I"'},
        {"kind": "binary", "reply": "value = \"<f\"\nstart = '\\x02'\nend = '\\x03'\nchecksum = 'crc16-modbus'"},
        {"kind": "binary", "reply": "value = \">h\"\nstart = 'ab'\nchecksum = 'xor8'\nrefusal = '!'"},
        {"kind": "binary", "reply": "value = \"B\"\nchecksum = 'sum8'", "rest": "[counts]\nscale = 0.5\noffset = 1.0"},
        {"kind": "binary", "reply": "value = \"<H\"\nstart = '\\xff'\nchecksum = 'sum16-big'"},
        {"top": "baudrate = 9600", "rest": "[exposure]\nsend = 'E{exposure}'\nencoding = '>f'\nmaximum_us = 5000000"},
    ],
)
def test_every_kind_of_answer(tmp_path: Path, changes: dict[str, str]) -> None:
    spectra = np.array([[1, 20, 3, 100], [5, 6, 7, 8]], dtype=np.uint32)
    np.testing.assert_array_equal(served(write(tmp_path, **changes), spectra, 2), spectra)


def test_the_included_ones_are_found_by_name_and_have_their_axis() -> None:
    with pytest.raises(ConfigurationError, match="binary-ccd, csv-lines, got 'nonsense'"):
        read_definition("nonsense")
    assert read_definition("csv-lines").spectral_axis() is None
    pixels = resolve_axis(CASES["binary-ccd"].settings("x"), SpectralAxis(np.array([1.0, 2.0]), Quantity.WAVELENGTH))
    assert pixels.n_points == 3648
    assert pixels.axis.values[1] == pytest.approx(350.180001)
    assert pixels.wavelengths is not None


def test_every_key_of_the_structs_is_documented() -> None:
    text = definition.__doc__ or ""
    structs = (
        definition.Definition,
        definition.Step,
        definition.Exposure,
        definition.Answer,
        definition.Counts,
        definition.Axis,
    )
    for struct in structs:
        for key in struct.__struct_fields__:
            assert re.search(rf"^\s*\[*{key}\]*( =|\s+#|$)", text, re.MULTILINE), f"{struct.__name__}.{key}"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"top": "colour = 1"}, "unknown key 'colour'"),
        ({"top": "baudrate = 10"}, "baudrate is from 300"),
        ({"top": "set_up = [{send = ''}]"}, "send"),
        ({"top": r"set_up = [{send = 'a\q'}]"}, "unknown escape"),
        ({"top": "set_up = [{send = 'ä'}]"}, "ASCII"),
        ({"reply": ""}, "needs end"),
        ({"reply": "end = ';'\ndelimiter = '1'"}, "in no number"),
        ({"reply": "end = ';'\nstart = 'x'"}, "belong to kind = 'binary'"),
        ({"reply": "end = ';'\nbefore = '('"}, "no regular expression"),
        ({"reply": "end = ';'\nbefore = '(a*)*'"}, "repeated groups"),
        ({"kind": "binary", "reply": "before = 'x'"}, "belong to kind = 'text'"),
        ({"kind": "binary", "reply": "refusal = 'x'"}, "needs start"),
        ({"kind": "binary", "reply": "value = 'q'"}, "reply"),
        ({"kind": "telepathy"}, "reply"),
        ({"rest": "[exposure]\nsend = 'E'"}, "exposure"),
        ({"rest": "[exposure]\nsend = 'E{exposure}'\nencoding = 'B'"}, "holds up to 255"),
        ({"rest": "[counts]\nscale = 0.0"}, "scale is not 0"),
        ({"rest": "[axis]"}, "either"),
        ({"rest": "[axis]\nvalues = [1.0, 2.0]"}, "axis has 2 values, points is 4"),
        ({"rest": "[axis]\ncoefficients = [5.0, -1.0]"}, "ascending"),
        ({"rest": "[axis]\ncoefficients = [5.0, 1.0]\nunit = 'furlong'"}, "unit"),
    ],
)
def test_mistakes_are_named_with_their_file(tmp_path: Path, changes: dict[str, str], complaint: str) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        read_definition(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "complaint"), [("format = 2", "format is 1"), ("points = 1", "points"), ('model = ""', "model")]
)
def test_head_lines(tmp_path: Path, line: str, complaint: str) -> None:
    key = line.split(" ", 1)[0]
    path = write(tmp_path)
    path.write_text(re.sub(rf"^{key} .*$", line, path.read_text(), flags=re.MULTILINE))
    with pytest.raises(ConfigurationError, match=complaint):
        read_definition(str(path))


@pytest.mark.parametrize("pattern", ["a*b*c*", "(a+)+", "(?:ab)+", "(?P<x>a)", r"(a)\1", "[", "é", "a" * 300])
def test_patterns_that_could_keep_the_matching_busy_are_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError):
        check_pattern("before", pattern)


@pytest.mark.parametrize("pattern", ["", "SPEC:", "SPEC ?[0-9]*:", r"\[[a-z]+\]", "(?:a|b)", "x{2,3}y+"])
def test_plain_patterns_are_taken(pattern: str) -> None:
    check_pattern("before", pattern)


def test_escapes() -> None:
    assert unescape("send", r"a\r\n\t\0\\\x7f\xFF") == b"a\r\n\t\0\\\x7f\xff"
    with pytest.raises(ConfigurationError, match="at most 256"):
        unescape("send", "x" * 257)


def test_checksums_have_their_published_values() -> None:
    data = b"123456789"
    assert checksum("crc16-modbus", data) == (0x4B37).to_bytes(2, "little")
    assert checksum("sum8", data) == bytes([sum(data) & 0xFF])
    assert checksum("sum16-big", data) == sum(data).to_bytes(2, "big")
    assert checksum("xor8", data) == b"\x31"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"HELLO 1,2\n", "before"),
        (b"SPEC:1,x\n", "number"),
        (b"SPEC:\n", "number"),
        (b"SPEC:1,,2\n", "number"),
        (b"SPEC:nan\n", "number"),
        (b"SPEC:1e999\n", "number"),
        (b"S" * 2000 + b"\n", "overlong"),
    ],
)
def test_what_is_no_text_of_numbers(text: bytes, kind: str) -> None:
    assert TextAnswerParser(CSV).feed(text) == [Unreadable(kind)]


def test_a_binary_answer_with_a_number_that_is_none(tmp_path: Path) -> None:
    path = write(tmp_path, kind="binary", reply='value = "<f"')
    parser = BinaryAnswerParser(read_definition(str(path)))
    assert parser.feed(np.array([1, np.nan, 2, 3], dtype="<f4").tobytes()) == [Unreadable("number")]
    [good] = parser.feed(np.array([1, 0, 2, 3], dtype="<f4").tobytes())
    assert isinstance(good, Numbers)


def test_bytes_of_a_broken_answer_are_taken_for_no_refusal() -> None:
    data = np.full(8, 0x1515, dtype="<u2").tobytes()
    parser = BinaryAnswerParser(CCD)
    events = parser.feed(b"\xaa\x55" + data + b"\0\0\r\n")
    assert events == [Unreadable("checksum")]


def test_an_acknowledgement_that_never_comes_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, top="set_up = [{send = 'HI', expect = 'YES', timeout_s = 0.05}]")
    case = CASES["csv-lines"]
    with simulated(case, case.spectra(1)) as board:
        spectrometer = create_spectrometer(
            SpectrometerSettings(driver="declarative", port=board.port, definition=str(path)), 4
        )
        with pytest.raises(SpectrometerError, match=r"does not answer b'HI' with b'YES' in 0\.05 s"):
            spectrometer.open()


def test_points_must_agree() -> None:
    with pytest.raises(ConfigurationError, match="288 points, the axis has 4"):
        create_spectrometer(SpectrometerSettings(driver="declarative", definition="csv-lines"), 4)
    with pytest.raises(ConfigurationError, match="288 points, the spectra have 4"):
        make_board("declarative:csv-lines", 4)


def test_a_board_cannot_make_up_a_text_for_every_pattern(tmp_path: Path) -> None:
    path = write(tmp_path, reply="end = ';'\nbefore = '[0-9]+:'")
    with pytest.raises(ConfigurationError, match="use a plain one"):
        make_board(f"declarative:{path}", 4)
