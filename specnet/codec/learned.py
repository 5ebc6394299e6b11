"""The learned codec of a split point: the device's side and the gateway's side of a bottleneck, in numpy.

Features become whole numbers by one product over patches of positions (`specnet.nn.bottleneck` says how they were
learned), and bytes by static tables (`specnet.codec.rans`). From whole numbers to bytes and back is integer arithmetic,
so what the gateway decodes is exactly what the device rounded.

Legend: P positions, C channels, r positions of a patch, Q patches, c latent numbers of a patch, H hidden, T tables, S
symbols.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from specnet.codec.features import MAX_ELEMENTS
from specnet.codec.rans import FrequencyTables
from specnet.errors import CodecError

Float32 = NDArray[np.float32]
MAX_SIDE = 65_536
NEIGHBOURS = 3
"""Patches that the decoder looks at: its own and one at either side."""


class BottleneckInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a manifest says of a bottleneck.

    Parameters
    ----------
    file
        Name of its arrays in the bundle.
    split
        Split point whose features it encodes.
    shape
        P and C of those features.
    patch, latent, levels, hidden
        Sizes r, c, largest whole number either side of zero, and H.
    skips_halted
        Whether patches in which every position has halted are not sent.
    encoder_macs
        Multiply-accumulates of the device's side.
    mean_bytes, largest_bytes
        Sizes on the calibration spectra.
    accuracy, whole_accuracy
        Share of calibration spectra that the deepest answer has right behind this bottleneck, and without any.
    """

    file: str
    split: int
    shape: tuple[int, int]
    patch: int
    latent: int
    levels: int
    hidden: int
    skips_halted: bool = False
    encoder_macs: int = 0
    mean_bytes: float = 0.0
    largest_bytes: int = 0
    accuracy: float = 0.0
    whole_accuracy: float = 0.0

    def __post_init__(self) -> None:
        sizes = {"positions": self.shape[0], "channels": self.shape[1], "patch": self.patch, "latent": self.latent}
        for name, size in {**sizes, "hidden": self.hidden}.items():
            if not 1 <= size <= MAX_SIDE:
                raise ValueError(f"{name} of a bottleneck is {size}, expected 1 to {MAX_SIDE}")
        if max(self.shape[0] * self.shape[1], self.patches * self.latent) > MAX_ELEMENTS:
            raise ValueError(f"a bottleneck for {self.shape} features has more than {MAX_ELEMENTS} numbers")
        if not 1 <= self.levels <= 127:
            raise ValueError(f"levels of a bottleneck are {self.levels}, expected 1 to 127")

    @property
    def patches(self) -> int:
        """Number of patches Q."""
        return -(-self.shape[0] // self.patch)


@dataclass(frozen=True)
class LearnedCodec:
    """Encoder and decoder of a bottleneck.

    Parameters
    ----------
    info
        Sizes.
    encoder
        ``(r C, c)`` product, `gain` and `offset` ``(Q, c)`` of each latent number: what is rounded is
        ``patch @ encoder * gain + offset``.
    spread, hidden, place, output, base
        ``(Q, c)``, ``(3 c, H)``, ``(Q, H)``, ``(H, r C)``, ``(Q, r C)``: features are
        ``relu(neighbours(symbols * spread) @ hidden + place) @ output + base``.
    tables, table_of
        Probabilities of the whole numbers, one alphabet of ``2 levels + 1`` symbols a table, and which table each
        latent number has ``(Q, c)``; the last table is that of the flags of halted patches.

    Raises
    ------
    CodecError
        When shapes do not go together or a number is not finite.
    """

    info: BottleneckInfo
    encoder: Float32
    gain: Float32
    offset: Float32
    spread: Float32
    hidden: Float32
    place: Float32
    output: Float32
    base: Float32
    tables: FrequencyTables
    table_of: NDArray[np.uint8]

    def __post_init__(self) -> None:
        info = self.info
        width, latent, hidden = info.patch * info.shape[1], (info.patches, info.latent), info.hidden
        expected = {
            "encoder": (width, info.latent),
            "gain": latent,
            "offset": latent,
            "spread": latent,
            "hidden": (NEIGHBOURS * info.latent, hidden),
            "place": (info.patches, hidden),
            "output": (hidden, width),
            "base": (info.patches, width),
            "table_of": latent,
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise CodecError(f"{name} of a bottleneck is {array.shape}, expected {shape}")
            if not np.isfinite(array).all():
                raise CodecError(f"{name} of a bottleneck is not finite")
        if self.tables.n_symbols != 2 * info.levels + 1:
            raise CodecError(f"tables have {self.tables.n_symbols} symbols, expected {2 * info.levels + 1}")
        if int(self.table_of.max()) >= self.tables.n_tables - 1:
            raise CodecError(f"latent numbers name table {self.table_of.max()}, there are {self.tables.n_tables - 1}")

    @classmethod
    def from_arrays(cls, info: BottleneckInfo, arrays: Mapping[str, NDArray[Any]]) -> LearnedCodec:
        """Build from what `arrays` gave; `CodecError` when something is missing or does not fit."""
        names = ("encoder", "gain", "offset", "spread", "hidden", "place", "output", "base")
        if missing := sorted({*names, "frequencies", "table_of"} - set(arrays)):
            raise CodecError(f"a bottleneck lacks {', '.join(missing)}")
        if not all(np.issubdtype(arrays[name].dtype, np.floating) for name in names):
            raise CodecError("numbers of a bottleneck are of another type, expected floating point")
        if arrays["table_of"].dtype != np.uint8:
            raise CodecError(f"table numbers are {arrays['table_of'].dtype}, expected uint8")
        return cls(
            info,
            **{name: np.ascontiguousarray(arrays[name], dtype=np.float32) for name in names},
            tables=FrequencyTables(arrays["frequencies"]),
            table_of=arrays["table_of"],
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but `info`, for a file."""
        names = ("encoder", "gain", "offset", "spread", "hidden", "place", "output", "base", "table_of")
        return {**{name: getattr(self, name) for name in names}, "frequencies": self.tables.frequencies}

    def encode(self, features: Float32, active: NDArray[np.bool_] | None = None) -> bytes:
        """Bytes of finite features ``(P, C)``.

        Parameters
        ----------
        features
            Input of the segment behind the split point.
        active
            ``(P,)`` positions that ran at least one adaptive unit; None where none can halt.

        Raises
        ------
        CodecError
            When the features have another shape.
        """
        if features.shape != self.info.shape:
            raise CodecError(f"got features of shape {features.shape}, expected {self.info.shape}")
        symbols = self.symbols(features) + self.info.levels
        if not self.info.skips_halted:
            return self.tables.encode(symbols.ravel(), self.table_of.ravel())
        sent = self.sent(active)
        flags = np.full(len(sent), self.tables.n_tables - 1)
        return self.tables.encode(
            np.concatenate([sent.astype(np.int64), symbols[sent].ravel()]),
            np.concatenate([flags, self.table_of[sent].ravel()]),
        )

    def decode(self, data: bytes, shape: tuple[int, int]) -> Float32:
        """Features of the given shape; `CodecError` when the bytes cannot be that."""
        (found,) = self.decode_many([data], shape)
        if isinstance(found, CodecError):
            raise found
        return found

    def decode_many(self, data: Sequence[bytes], shape: tuple[int, int]) -> list[Float32 | CodecError]:
        """Features of each, or what is wrong with its bytes; one product for all of them."""
        if shape != self.info.shape:
            wrong = CodecError(f"this bottleneck is for features of shape {self.info.shape}, expected are {shape}")
            return [wrong] * len(data)
        found: list[Float32 | CodecError] = []
        symbols: dict[int, NDArray[np.int64]] = {}
        for number, one in enumerate(data):
            try:
                symbols[number] = self.read_symbols(one)
                found.append(self.base)
            except CodecError as error:
                found.append(error)
        if symbols:
            for number, features in zip(symbols, self.restore(np.stack(list(symbols.values()))), strict=True):
                found[number] = features
        return found

    def symbols(self, features: Float32) -> NDArray[np.int64]:
        """Whole numbers ``(Q, c)``, ``-levels .. levels``, of features ``(P, C)``."""
        info = self.info
        patches = np.zeros((info.patches * info.patch, info.shape[1]), dtype=np.float32)
        patches[: info.shape[0]] = features
        latent = patches.reshape(info.patches, -1) @ self.encoder * self.gain + self.offset
        symbols: NDArray[np.int64] = np.clip(np.rint(latent), -info.levels, info.levels).astype(np.int64)
        return symbols

    def sent(self, active: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Patches ``(Q,)`` that are sent: those with a position that has not halted."""
        info = self.info
        if active is None:
            return np.ones(info.patches, dtype=np.bool_)
        padded = np.zeros(info.patches * info.patch, dtype=np.bool_)
        padded[: info.shape[0]] = active
        return np.asarray(padded.reshape(info.patches, info.patch).any(axis=1))

    def read_symbols(self, data: bytes) -> NDArray[np.int64]:
        """Whole numbers ``(Q, c)`` out of bytes; zeros for patches that were not sent.

        Raises
        ------
        CodecError
            When the bytes are damaged.
        """
        info = self.info
        if not info.skips_halted:
            decoded = self.tables.decode(data, self.table_of.ravel())
            return decoded.reshape(self.table_of.shape) - info.levels
        reader = self.tables.reader(data)
        sent = reader.read(np.full(info.patches, self.tables.n_tables - 1))
        if sent.max(initial=0) > 1:
            raise CodecError(f"a flag of a patch is {sent.max()}, expected 0 or 1")
        kept = sent.astype(np.bool_)
        symbols = np.zeros(self.table_of.shape, dtype=np.int64)
        symbols[kept] = reader.read(self.table_of[kept].ravel()).reshape(-1, info.latent) - info.levels
        reader.close()
        return symbols

    def restore(self, symbols: NDArray[np.integer[Any]]) -> Float32:
        """Features ``(P, C)`` out of whole numbers ``(Q, c)``; or of many spectra at once, with an axis in front."""
        info = self.info
        scaled = (symbols * self.spread).astype(np.float32)
        padded = np.pad(scaled, [(0, 0)] * (scaled.ndim - 2) + [(1, 1), (0, 0)])
        near = np.concatenate([padded[..., i : i + info.patches, :] for i in range(NEIGHBOURS)], axis=-1)
        patches = np.maximum(near @ self.hidden + self.place, 0.0) @ self.output + self.base
        flat = patches.reshape(*symbols.shape[:-2], info.patches * info.patch, info.shape[1])
        return np.ascontiguousarray(flat[..., : info.shape[0], :], dtype=np.float32)
