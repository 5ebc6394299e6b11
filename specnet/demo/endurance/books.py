"""What a device said on stdout, kept by somebody else than the device, to be compared with its own journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Key = tuple[int, int]
OUTCOMES = {"answer": "answered", "rejected": "rejected", "dropped": "dropped", "lost": "lost"}


@dataclass
class _Said:
    """The last word about one spectrum, as often as it was said."""

    outcome: str
    label: int | None
    recorded: bool
    boot: int
    text: str
    first: int = 0
    repeated: int = 0


@dataclass(frozen=True)
class Findings:
    """Comparison of what was said with the journal; all lists are empty when every promise was kept.

    Parameters
    ----------
    said
        Spectra that got a last word.
    not_recorded
        Of them, those that were said to be in no journal: the disk was full.
    said_twice
        Spectra whose last word was said more than once without being flagged as repeated.
    contradictions
        Spectra about which different last words were said, with both of them.
    anew
        Spectra whose last word was said to be in no journal, because the disk was full, and that got another one after
        the device was killed: that is what the flag ``not_recorded`` warns of.
    unsaid
        Final answers of the journal that nobody was told.
    different
        Final answers of the journal that are others than what was said.
    compared
        Final answers that the journal still has, all of them compared.
    missing
        Spectra that were said to be recorded, beyond those that the journal has counted.
    """

    said: int
    not_recorded: int
    said_twice: list[Key]
    contradictions: list[str]
    anew: int
    unsaid: list[Key]
    different: list[Key]
    compared: int
    missing: int

    @property
    def kept(self) -> bool:
        """Whether nothing was said twice, differently, or not at all."""
        return not (self.said_twice or self.contradictions or self.unsaid or self.different or self.missing)


@dataclass
class Books:
    """Collects the records of a device over all of its starts."""

    kinds: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    boots: int = 0
    unreadable: int = 0
    _said: dict[Key, _Said] = field(default_factory=dict)
    _contradictions: list[str] = field(default_factory=list)
    _anew: int = 0

    def __len__(self) -> int:
        """Spectra that got a last word."""
        return len(self._said)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one record."""
        kind = str(record.get("type"))
        self.kinds[kind] += 1
        if kind == "ready":
            self.boots += 1
        elif kind == "garbage":
            # half a line, from a process that was killed while it wrote
            self.unreadable += 1
        elif kind in OUTCOMES and record.get("final"):
            self._add_final(OUTCOMES[kind], record)

    def _add_final(self, outcome: str, record: Mapping[str, Any]) -> None:
        key, flags = (int(record["boot"]), int(record["sequence"])), record["flags"]
        if outcome == "answered" and "dropped" in flags:
            outcome = "dropped"
        text = f"{outcome} {record.get('label')} by {record.get('source')} {' '.join(flags)} {record.get('reason', '')}"
        said = _Said(
            outcome, record.get("label"), "not_recorded" not in flags, self.boots, f"in boot {self.boots}: {text}"
        )
        known = self._said.get(key)
        if known is not None and not known.recorded and known.boot < self.boots:
            self._anew += 1
            known = None
        if known is None:
            known = self._said[key] = said
            self.sources[str(record.get("source") or outcome)] += 1
            if reason := record.get("reason"):
                self.reasons[f"{outcome}: {reason}"] += 1
        elif (known.outcome, known.label) != (said.outcome, said.label):
            self._contradictions.append(f"{key}: {known.text}; then {said.text}")
        known.recorded = known.recorded or said.recorded
        if "repeated" in flags:
            known.repeated += 1
        else:
            known.first += 1

    def compare(self, accounts: Mapping[str, int], answers: Iterable[Mapping[str, Any]]) -> Findings:
        """Compare with a journal at its end: its accounts, and the final answers that it still has."""
        unsaid, different, compared = list[Key](), list[Key](), 0
        for answer in answers:
            key = int(answer["boot"]), int(answer["sequence"])
            compared += 1
            said = self._said.get(key)
            if said is None:
                unsaid.append(key)
            elif (said.outcome, said.label) != (answer["outcome"], answer["label"]):
                different.append(key)
        recorded = sum(said.recorded for said in self._said.values())
        return Findings(
            said=len(self._said),
            not_recorded=len(self._said) - recorded,
            said_twice=[key for key, said in self._said.items() if said.first > 1],
            contradictions=self._contradictions,
            anew=self._anew,
            unsaid=unsaid,
            different=different,
            compared=compared,
            missing=max(0, recorded - int(accounts["recorded"])),
        )
