"""The file that keeps an instrument's dark spectra."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from device.spectrometers.dark import DarkFrame
from specnet.errors import ConfigurationError
from specnet.files import read_bounded, write_bytes
from specnet.spectra import MAX_POINTS

FORMAT = "specnet-dark"
VERSION = 1
MAX_FRAMES = 16
MAX_FILE_BYTES = 32 << 20
FILE_NAME = "dark.json"

_Counts = Annotated[list[float], msgspec.Meta(min_length=2, max_length=MAX_POINTS)]


class _StoredFrame(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    integration_us: Annotated[int, msgspec.Meta(ge=1, le=600_000_000)]
    scans: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    temperature_c: float | None
    counts: _Counts
    noise: Annotated[list[float | None], msgspec.Meta(min_length=2, max_length=MAX_POINTS)]


class _StoredLibrary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    version: int
    serial_number: str
    frames: Annotated[list[_StoredFrame], msgspec.Meta(max_length=MAX_FRAMES)]


def read_dark_frames(path: Path, serial_number: str, n_points: int) -> list[DarkFrame]:
    """Read the dark spectra of an instrument; none when there is no file.

    Parameters
    ----------
    path
        The file.
    serial_number
        Of the instrument: those of another one are refused; empty accepts all.
    n_points
        Length of its spectra.

    Raises
    ------
    ConfigurationError
        When the file is damaged, too large, of another format, instrument or length.
    """
    if not path.exists():
        return []
    content = read_bounded(path, MAX_FILE_BYTES, "dark spectra", ConfigurationError)
    try:
        library = msgspec.json.decode(content, type=_StoredLibrary)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} holds no dark spectra: {error}; remove it and take them anew") from error
    if (library.format, library.version) != (FORMAT, VERSION):
        raise ConfigurationError(
            f"{path} has format {library.format!r} version {library.version}, expected {FORMAT!r} version {VERSION}"
        )
    if serial_number and library.serial_number != serial_number:
        raise ConfigurationError(
            f"{path} has dark spectra of {library.serial_number!r}, the instrument is {serial_number!r}; "
            "remove it and take them anew"
        )
    for frame in library.frames:
        if len(frame.counts) != n_points or len(frame.noise) != n_points:
            raise ConfigurationError(f"{path} has dark spectra of {len(frame.counts)} points, expected {n_points}")
    return [
        DarkFrame(
            integration_us=frame.integration_us,
            counts=np.array(frame.counts),
            noise=np.array([math.nan if value is None else value for value in frame.noise]),
            scans=frame.scans,
            temperature_c=frame.temperature_c,
        )
        for frame in library.frames
    ]


def write_dark_frames(path: Path, serial_number: str, frames: list[DarkFrame]) -> None:
    """Write the dark spectra of an instrument, replacing the file as a whole.

    Raises
    ------
    ConfigurationError
        When there are more than sixteen.
    """
    if len(frames) > MAX_FRAMES:
        raise ConfigurationError(
            f"{len(frames)} dark spectra, at most {MAX_FRAMES} are kept; remove {path} to begin anew"
        )
    stored = [
        _StoredFrame(
            integration_us=frame.integration_us,
            scans=frame.scans,
            temperature_c=frame.temperature_c,
            counts=[round(float(value), 3) for value in frame.counts],
            noise=[round(float(value), 3) if math.isfinite(value) else None for value in frame.noise],
        )
        for frame in frames
    ]
    write_bytes(path, msgspec.json.encode(_StoredLibrary(FORMAT, VERSION, serial_number, stored)))
