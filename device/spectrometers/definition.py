r"""A board in a TOML file: what to send, how to read the answer, what the numbers mean.

::

    format = 1                  # of this file
    model = "My board"          # shown in logs and reports
    points = 288                # values of a spectrum
    baudrate = 115200           # where the settings name none

    [[set_up]]                  # sent in order when the port is opened; may be missing
    send = 'HELLO\n'            # \n \r \t \0 \\ and \xHH stand for bytes
    expect = 'READY'            # wait until these bytes have come
    timeout_s = 2.0

    [exposure]                  # may be missing: the exposure is then what the board makes of it
    send = 'EXPOSE {exposure}\n'
    encoding = "text"           # or a binary number: "B", ">H", "<H", ">I", "<I", ">f", "<f"
    unit_us = 1000.0            # {exposure} is in this many microseconds
    minimum_us = 1000
    maximum_us = 10000000
    expect = 'OK'

    [trigger]
    send = 'READ\n'             # asks for one spectrum

    [reply]
    kind = "text"               # numbers in a text, or "binary"
    end = '\n'                  # text: ends it; binary: follows the checksum, may be empty
    before = 'SPEC:'            # text: regular expression before the numbers, may be empty
    after = ''                  # text: regular expression behind them
    delimiter = ','             # text: between the numbers; ' ' stands for any white space
    start = '\xaa\x55'          # binary: begins the answer, may be empty
    value = "<H"                # binary: one number; "B" "b" "<H" ">H" "<h" ">h" "<I" ">I" "<i" ">i" "<f" ">f"
    checksum = "none"           # binary, over the numbers: "sum8", "xor8", "sum16-little", "sum16-big", "crc16-modbus"
    refusal = 'ERR'             # an answer that begins so says no; needs `start` with binary

    [counts]
    scale = 1.0                 # counts = scale * number + offset
    offset = 0.0
    maximum = 65535             # highest count
    unit = "counts"

    [axis]                      # may be missing: the settings or the bundle have it then
    quantity = "wavelength"     # or "raman_shift", "wavenumber", "channel"
    unit = "nm"
    coefficients = [350.0, 0.18]    # polynomial from the pixel, the first is 0, constant term first; or
    values = []                     # one for each pixel

Regular expressions see at most 256 bytes, may capture or repeat no group, and have at most two of ``*`` ``+`` ``{}``,
so that no answer, however broken, can keep the matching busy.
"""

from __future__ import annotations

import math
import re
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from specnet.configuration import load_configuration
from specnet.errors import AxisError, ConfigurationError
from specnet.ranges import check_range
from specnet.spectra import MAX_POINTS, Quantity, SpectralAxis

FORMAT = 1
MAX_SENT_BYTES = 256
MAX_REPEATS = 2
MAX_AXIS_COEFFICIENTS = 12
Checksum = Literal["none", "sum8", "xor8", "sum16-little", "sum16-big", "crc16-modbus"]
Value = Literal["B", "b", "<H", ">H", "<h", ">h", "<I", ">I", "<i", ">i", "<f", ">f"]
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.?))", re.DOTALL)
_ESCAPED = {"n": b"\n", "r": b"\r", "t": b"\t", "0": b"\0", "\\": b"\\"}


def unescape(name: str, text: str) -> bytes:
    """Bytes that a text with escapes stands for; `ConfigurationError` for an unknown escape or too many bytes."""
    parts, position = [], 0
    for match in _ESCAPE.finditer(text):
        parts.append(text[position : match.start()].encode("latin-1", "replace"))
        if match[1] is not None:
            parts.append(bytes.fromhex(match[1]))
        elif match[2] in _ESCAPED:
            parts.append(_ESCAPED[match[2]])
        else:
            raise ConfigurationError(f"{name}: unknown escape {match[0]!r}; known: \\n \\r \\t \\0 \\\\ \\xHH")
        position = match.end()
    parts.append(text[position:].encode("latin-1", "replace"))
    joined = b"".join(parts)
    if not text.isascii() or len(joined) > MAX_SENT_BYTES:
        raise ConfigurationError(f"{name}: at most {MAX_SENT_BYTES} ASCII characters and escapes, got {text[:60]!r}")
    return joined


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command of ``[[set_up]]``, or ``[trigger]``."""

    send: str
    expect: str = ""
    timeout_s: float = 2.0

    def __post_init__(self) -> None:
        if not unescape("send", self.send):
            raise ConfigurationError("send is empty, expected a command")
        unescape("expect", self.expect)
        check_range("timeout_s", self.timeout_s, 0.01, 600.0)


class Exposure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[exposure]``."""

    send: str
    encoding: Literal["text", "B", ">H", "<H", ">I", "<I", ">f", "<f"] = "text"
    unit_us: float = 1.0
    minimum_us: int = 1
    maximum_us: int = 10_000_000
    expect: str = ""

    def __post_init__(self) -> None:
        unescape("expect", self.expect)
        unescape("send", self.send)
        if self.send.count("{exposure}") != 1:
            raise ConfigurationError(f"send has {{exposure}} once, got {self.send[:60]!r}")
        check_range("unit_us", self.unit_us, 1e-3, 1e9)
        check_range("minimum_us", self.minimum_us, 1, 600_000_000)
        check_range("maximum_us", self.maximum_us, self.minimum_us, 600_000_000)
        limits = {"B": 0xFF, ">H": 0xFFFF, "<H": 0xFFFF, ">I": 0xFFFFFFFF, "<I": 0xFFFFFFFF}
        largest = limits.get(self.encoding, math.inf)
        if self.maximum_us / self.unit_us > largest:
            raise ConfigurationError(
                f"maximum_us is {self.maximum_us / self.unit_us:g} units, {self.encoding!r} holds up to {largest:g}"
            )


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[reply]``."""

    kind: Literal["text", "binary"]
    end: str = ""
    before: str = ""
    after: str = ""
    delimiter: str = ","
    start: str = ""
    value: Value = "<H"
    checksum: Checksum = "none"
    refusal: str = ""

    def __post_init__(self) -> None:
        for name in ("end", "start", "refusal"):
            unescape(name, getattr(self, name))
        if self.kind == "text":
            if not self.end or len(self.delimiter) != 1 or self.delimiter in "0123456789+-.eE":
                raise ConfigurationError(
                    f"a text needs end and a delimiter of one character that is in no number, "
                    f"got end {self.end!r}, delimiter {self.delimiter!r}"
                )
            if self.start or self.checksum != "none":
                raise ConfigurationError("start and checksum belong to kind = 'binary', got kind = 'text'")
        elif self.before or self.after:
            raise ConfigurationError("before and after belong to kind = 'text', got kind = 'binary'")
        elif self.refusal and not self.start:
            raise ConfigurationError("refusal needs start with kind = 'binary': numbers may look like it")
        for name in ("before", "after"):
            check_pattern(name, getattr(self, name))


class Counts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[counts]``."""

    scale: float = 1.0
    offset: float = 0.0
    maximum: float = 65_535.0
    unit: str = "counts"

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale) or self.scale == 0 or not math.isfinite(self.offset):
            raise ConfigurationError(f"scale is not 0, and offset is finite, got {self.scale} and {self.offset}")
        check_range("maximum", self.maximum, 1e-9, 1e12)


class Axis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[axis]``."""

    quantity: Quantity = Quantity.WAVELENGTH
    unit: str = ""
    coefficients: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.coefficients) == bool(self.values) or len(self.coefficients) > MAX_AXIS_COEFFICIENTS:
            raise ConfigurationError(
                f"either up to {MAX_AXIS_COEFFICIENTS} coefficients or values, "
                f"got {len(self.coefficients)} coefficients and {len(self.values)} values"
            )


class Definition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file; see the module for the keys.

    Raises
    ------
    ConfigurationError
        When a value is out of range or two contradict each other.
    """

    format: int
    model: str
    points: int
    trigger: Step
    reply: Answer
    baudrate: int = 115_200
    set_up: tuple[Step, ...] = ()
    exposure: Exposure | None = None
    counts: Counts = msgspec.field(default_factory=Counts)
    axis: Axis | None = None

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ConfigurationError(f"format is {FORMAT} in this release, got {self.format}")
        if not self.model.isprintable() or not 0 < len(self.model) <= 100:
            raise ConfigurationError(f"model is 1 to 100 printable characters, got {self.model[:60]!r}")
        check_range("points", self.points, 2, MAX_POINTS)
        check_range("baudrate", self.baudrate, 300, 12_000_000)
        if len(self.set_up) > 100:
            raise ConfigurationError(f"set_up has at most 100 commands, got {len(self.set_up)}")
        self.spectral_axis()

    def spectral_axis(self) -> SpectralAxis | None:
        """Give the axis; None when the file has none, `ConfigurationError` when it is none."""
        if self.axis is None:
            return None
        pixels = np.arange(self.points, dtype=np.float64)
        coefficients, values = np.array(self.axis.coefficients), np.array(self.axis.values, dtype=np.float64)
        if len(coefficients):
            values = np.polynomial.polynomial.polyval(pixels, coefficients)
        if len(values) != self.points:
            raise ConfigurationError(f"axis has {len(values)} values, points is {self.points}")
        try:
            return SpectralAxis(values, self.axis.quantity, self.axis.unit)
        except AxisError as error:
            raise ConfigurationError(f"axis: {error}") from error


def read_definition(name: str) -> Definition:
    """Read a definition by its path, or by the name of one that comes with the package.

    Raises
    ------
    ConfigurationError
        When there is none, or it is faulty; file, key, what was found and what was expected are named.
    """
    path = Path(name)
    included = resources.files("device.spectrometers") / "definitions"
    if not name or (path.suffix != ".toml" and not path.exists()):
        known = sorted(entry.name.removesuffix(".toml") for entry in included.iterdir() if entry.name.endswith(".toml"))
        if name not in known:
            raise ConfigurationError(
                f"spectrometer.definition is a TOML file or one of {', '.join(known)}, got {name[:80]!r}"
            )
        with resources.as_file(included / f"{name}.toml") as file:
            return _load(file)
    return _load(path)


def _load(path: Path) -> Definition:
    try:
        return load_configuration(Definition, path, environment={}, prefix="SPECNET_DEFINITION")
    except ConfigurationError as error:
        # a struct inside a list, or a table without keys, does not know its file
        if str(path) in str(error):
            raise
        raise ConfigurationError(f"{path}: {error}") from error


def check_pattern(name: str, pattern: str) -> None:
    """Refuse what is no regular expression, or one whose matching could take long; see the module."""
    try:
        compiled = re.compile(pattern.encode("ascii"))
    except (re.error, UnicodeEncodeError) as error:
        raise ConfigurationError(f"{name} is no regular expression in ASCII: {error}") from error
    # what stands in brackets or behind a backslash is no repetition
    bare = re.sub(r"\\.|\[\^?\]?[^\]]*\]", "x", pattern)
    repeats = len(re.findall(r"[*+{]", bare))
    if repeats > MAX_REPEATS or re.search(r"\)[*+{]", bare) or compiled.groups or len(pattern) > MAX_SENT_BYTES:
        raise ConfigurationError(
            f"{name} has at most {MAX_REPEATS} repetitions, no captured or repeated groups and "
            f"{MAX_SENT_BYTES} characters, got {pattern[:60]!r}"
        )
