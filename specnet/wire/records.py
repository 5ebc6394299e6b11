"""What became of a request, as gateways keep it: in a database, in day files, on a topic of the broker."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
from numpy.typing import NDArray

from specnet.codec import unpack_spectrum
from specnet.errors import CodecError
from specnet.spectra import SpectralAxis


class SpectrumSource(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What raw intensities mean; shared by all spectra of one kind of instrument.

    Parameters
    ----------
    quantity, unit
        Of the axis, as in `SpectralAxis`.
    intensity_unit
        ``"counts"``, ``"a.u."``, ...
    values
        Points of the axis, ascending.
    """

    quantity: str
    unit: str
    intensity_unit: str
    values: tuple[float, ...]

    @classmethod
    def of(cls, axis: SpectralAxis, intensity_unit: str) -> SpectrumSource:
        """Describe intensities on an axis."""
        return cls(
            quantity=str(axis.quantity),
            unit=axis.unit,
            intensity_unit=intensity_unit,
            values=tuple(axis.values.tolist()),
        )

    @cached_property
    def id(self) -> str:
        """Hash over the content, 8 hexadecimal digits."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:8]

    @cached_property
    def axis(self) -> SpectralAxis:
        """The axis; `AxisError` when the values are none."""
        return SpectralAxis.from_dict({"quantity": self.quantity, "unit": self.unit, "values": self.values})


class RecordId(NamedTuple):
    """What makes two records the same one; `checksum` tells two devices of one name and boot number apart."""

    site: str
    device: str
    boot: int
    sequence: int
    bundle: str
    split: int
    checksum: int


class ResultRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One finished request with its answer, or with the reason why it has none.

    Parameters
    ----------
    time
        When it was answered: ISO 8601, UTC, milliseconds.
    site, device, boot, sequence, bundle, split, checksum
        Whose request it was, and which; `checksum` is the CRC-32 of what was sent.
    bundle_name, bundle_version
        The bundle in words.
    label, class_name, probability, exit_index, known
        The gateway's answer; None and empty when there is an `error`. Where `known` is false the spectrum looks like no
        known class.
    audit
        The device was sure, and sent a sample.
    provisional_label, provisional_class_name, provisional_probability, provisional_exit_index
        The device's own answer, where the request had one.
    macs, queue_ms, compute_ms, gateway, error
        As in `Result`.
    spectrum
        Raw intensities in the form of `specnet.codec.pack_spectrum`, where the request carried them (split 0).
    source
        What they mean; None without a spectrum.
    """

    time: str
    site: str
    device: str
    boot: int
    sequence: int
    bundle: str
    split: int
    checksum: int
    bundle_name: str
    bundle_version: int
    label: int | None = None
    class_name: str = ""
    probability: float | None = None
    exit_index: int | None = None
    known: bool = True
    audit: bool = False
    provisional_label: int | None = None
    provisional_class_name: str = ""
    provisional_probability: float | None = None
    provisional_exit_index: int | None = None
    macs: int = 0
    queue_ms: float = 0.0
    compute_ms: float = 0.0
    gateway: str = ""
    error: str = ""
    spectrum: bytes = b""
    source: SpectrumSource | None = None

    @property
    def id(self) -> RecordId:
        """Identity, by which a repeated record is recognised."""
        return RecordId(self.site, self.device, self.boot, self.sequence, self.bundle, self.split, self.checksum)

    @property
    def is_example(self) -> bool:
        """Whether it has a raw spectrum and an answer, so that it can become training data."""
        return bool(self.spectrum) and self.source is not None and not self.error

    def intensity(self) -> NDArray[Any]:
        """Raw intensities ``(n_points,)``: int64 counts or float32; `CodecError` without a spectrum of that length."""
        if self.source is None:
            raise CodecError(f"record {'/'.join(map(str, self.id))} has no raw spectrum")
        return unpack_spectrum(self.spectrum, len(self.source.values))


def without_source(record: ResultRecord) -> ResultRecord:
    """Record as it is stored where sources are stored once and apart."""
    return record if record.source is None else msgspec.structs.replace(record, source=None)
