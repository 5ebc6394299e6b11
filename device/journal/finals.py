"""What the journal holds: spectra, final answers, and the account of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import msgspec

Key = tuple[int, int]
Outcome = Literal["answered", "rejected", "dropped", "lost"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


class Concluded(NamedTuple):
    """What became of final answers that were to be written.

    Parameters
    ----------
    recorded
        Whether they are on disk; otherwise they are to be said with the flag ``not_recorded``.
    twice
        Those whose spectrum had a last word already: they must not be said.
    """

    recorded: bool
    twice: frozenset[Key]


class Spectrum(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted spectrum.

    Parameters
    ----------
    boot, sequence
        Its identity.
    acquired
        Wall clock in seconds since 1970, for people; it may be wrong by years.
    monotonic
        Monotonic clock in seconds, comparable within one boot.
    flags
        What is known against it, such as ``saturated``.
    """

    boot: int
    sequence: int
    acquired: float
    monotonic: float
    flags: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """``(boot, sequence)``."""
        return self.boot, self.sequence


class Final(msgspec.Struct, frozen=True, kw_only=True):
    """The last word about a spectrum.

    Parameters
    ----------
    boot, sequence
        Which spectrum.
    outcome
        ``answered``; ``rejected``: it cannot be judged; ``dropped``: given up under a stated bound, with the device's
        own answer where it has one; ``lost``: the device ended before it was answered.
    source
        ``device`` or ``gateway``; empty without an answer.
    label, class_name, probability, exit_index, known
        The answer; None (and empty, and True) where there is none.
    flags
        Remarks, such as ``gateway_error``.
    reason
        Why it was rejected, dropped, lost, or left to the device's own answer.
    bundle
        The model.
    macs, gateway_macs, payload_bytes
        What it cost: multiply-accumulates here and on the gateway, bytes of the request.
    latency_ms
        From acquisition to this answer; None when an earlier boot acquired it.
    """

    boot: int
    sequence: int
    outcome: Outcome
    source: str = ""
    label: int | None = None
    class_name: str = ""
    probability: float | None = None
    exit_index: int | None = None
    known: bool = True
    flags: tuple[str, ...] = ()
    reason: str = ""
    bundle: str = ""
    macs: int = 0
    gateway_macs: int = 0
    payload_bytes: int = 0
    latency_ms: float | None = None

    @property
    def key(self) -> Key:
        """``(boot, sequence)``."""
        return self.boot, self.sequence

    @classmethod
    def of_record(cls, record: Mapping[str, Any], outcome: Outcome, bundle: str) -> Final:
        """Take what the journal keeps out of a record as it is written to stdout."""
        return cls(
            boot=record["boot"],
            sequence=record["sequence"],
            outcome=outcome,
            source=record.get("source", ""),
            label=record.get("label"),
            class_name=record.get("class", ""),
            probability=record.get("probability"),
            exit_index=record.get("exit"),
            known=record.get("known", True),
            flags=tuple(record.get("flags", ())),
            reason=record.get("error", "") or record.get("reason", ""),
            bundle=bundle,
            macs=record.get("macs", 0),
            gateway_macs=record.get("gateway_macs", 0),
            payload_bytes=record.get("bytes", 0),
            latency_ms=record.get("latency_ms"),
        )

    def record(self, device: str) -> dict[str, Any]:
        """Give the fields of the record that this answer was said with, as far as the journal keeps them."""
        identity = {"device": device, "boot": self.boot, "sequence": self.sequence}
        if self.label is None:
            kind = {"answered": "answer"}.get(self.outcome, self.outcome)
            return {"type": kind, **identity, "reason": self.reason, "flags": list(self.flags), "final": True}
        return {
            "type": "answer",
            **identity,
            "label": self.label,
            "class": self.class_name,
            "probability": self.probability,
            "exit": self.exit_index,
            "known": self.known,
            "source": self.source,
            "final": True,
            "provisional": False,
            "macs": self.macs,
            "gateway_macs": self.gateway_macs,
            "bytes": self.payload_bytes,
            "latency_ms": self.latency_ms,
            "flags": list(self.flags),
            **({"error": self.reason} if self.reason else {}),
        }


@dataclass(frozen=True)
class Accounts:
    """Where all recorded spectra are; `recorded` is the sum of the others.

    Parameters
    ----------
    recorded
        Spectra that were accepted and written down, since the journal exists.
    answered, rejected, dropped, lost
        Final ones by outcome.
    pending
        Requests that wait for the gateway.
    open
        Spectra of this boot that are being judged.
    """

    recorded: int
    answered: int
    rejected: int
    dropped: int
    lost: int
    pending: int
    open: int
