"""What the service tells: answers and what became of them, first to the journal, then to whoever listens."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from device.answers import AnswerRecords
from device.classifier import LocalAnswer
from device.journal import Final, Journal, Outcome
from device.outbox import Dropped, PendingRequest
from device.records import RecordWriter
from specnet.errors import ConfigurationError
from specnet.wire import Answer, Command, Result, Unanswered
from specnet.wire.messages import MAX_TEXT

logger = logging.getLogger(__name__)

NOT_RECORDED = "not_recorded"
REPEATED = "repeated"
COUNTED = (
    "local", "gateway", "gateway_errors", "rejected", "provisional", "dropped", "dropped_unread", "repeated",
    "commands", "commands_refused",
)  # fmt: skip

OnAnswer = Callable[[Mapping[str, Any]], None]


class _Item(NamedTuple):
    """A last word: its record, what the journal calls it, the model, and which counter it is counted with."""

    record: dict[str, Any]
    outcome: Outcome
    bundle: str
    counted: str


class Reporter:
    """Turns events into records; listens to the uplink.

    A final answer is in the journal before it is said. When the process dies in between, the next start says it.

    Parameters
    ----------
    device, bundle, classes
        Identity of this run.
    journal
        Takes the finals.
    writer
        Takes the records.
    obey
        Called with each command; `ConfigurationError` refuses it.
    on_answer
        Called with each record of an answer, a provisional answer, a rejection, a drop or a loss, from whatever thread
        it happens in; it must not wait. What it raises is logged and counted.
    """

    def __init__(
        self,
        device: str,
        bundle: str,
        classes: tuple[str, ...],
        journal: Journal,
        writer: RecordWriter,
        obey: Callable[[Command], None],
        on_answer: OnAnswer | None = None,
    ) -> None:
        self._records = AnswerRecords(device, journal.boot)
        self._bundle = bundle
        self._classes = classes
        self._journal = journal
        self._writer = writer
        self._obey = obey
        self._on_answer = on_answer
        self.counters: Counter[str] = Counter()
        self.announce: Callable[[Answer | Unanswered], None] | None = None

    @property
    def _identity(self) -> dict[str, Any]:
        return {"device": self._records.device, "boot": self._journal.boot, "bundle": self._bundle}

    def ready(self, **details: Any) -> None:
        """Say that acquisition begins, and how the boot before ended; then what it may not have said."""
        start = self._journal.start
        after = {"after": start.after, "lost": start.lost, "may_be_missing": start.may_be_missing}
        self._writer.write({"type": "ready", **self._identity, **details, **after})
        finals = self._journal.to_repeat
        for final in finals:
            record = final.record(self._records.device)
            if final.outcome != "lost":
                # it may have been said with the flag or without: consumers know it by its ids
                record["flags"].append(REPEATED)
                self.counters["repeated"] += 1
            self._say(record, final.bundle)
        self._journal.said(finals)

    def operating_point(self, sequence: int, **details: Any) -> None:
        """Say that another operating point is in force from a spectrum on."""
        identity = {"device": self._records.device, "boot": self._journal.boot, "sequence": sequence}
        self._writer.write({"type": "operating_point", **identity, **details})

    def rejected(self, sequence: int, reason: str, flags: tuple[str, ...] = ()) -> None:
        """Say that a spectrum cannot be judged."""
        record = self._records.without_answer("rejected", sequence, reason, flags)
        self._conclude([_Item(record, "rejected", self._bundle, "rejected")], asked=False)

    def dropped_unread(self, sequence: int, reason: str, flags: tuple[str, ...] = ()) -> None:
        """Say that a spectrum was dropped before it was judged."""
        record = self._records.without_answer("dropped", sequence, reason, flags)
        self._conclude([_Item(record, "dropped", self._bundle, "dropped_unread")], asked=False)

    def local(self, sequence: int, answer: LocalAnswer, acquired: float, flags: tuple[str, ...] = ()) -> None:
        """Give a final answer that the device found alone; `acquired` is monotonic time."""
        record = self._records.local(sequence, answer, self._since(acquired), flags)
        self._conclude([_Item(record, "answered", self._bundle, "local")], asked=False)

    def answered(self, answers: Sequence[tuple[PendingRequest, Result]]) -> None:
        """Give final answers that came from the gateway, or the device's own where it has none."""
        self._conclude([self._of_gateway(*answer) for answer in answers], asked=True)

    def _of_gateway(self, request: PendingRequest, result: Result) -> _Item:
        latency_ms = self._latency(request)
        if result.error:
            own = self._records.own(request, latency_ms, "gateway_error", result.error)
            return _Item(own, "answered", request.bundle, "gateway_errors")
        same_model = request.bundle == self._bundle
        name = self._classes[result.label] if same_model else ""
        remarks = () if same_model else ("earlier_model",)
        record = self._records.of_gateway(request, result, name, latency_ms, remarks)
        return _Item(record, "answered", request.bundle, "gateway")

    def overdue(self, request: PendingRequest) -> None:
        """Give the device's own answer as provisional: the deadline has passed."""
        self.counters["provisional"] += 1
        self._say(self._records.provisional(request, self._latency(request)), request.bundle)

    def dropped(self, dropped: Dropped) -> None:
        """Give the device's own answer as final: the request was given up."""
        self.counters["dropped"] += 1
        request = dropped.request
        record = self._records.own(request, dropped.final.latency_ms, "dropped", dropped.reason)
        if not dropped.recorded:
            record["flags"].append(NOT_RECORDED)
        self._say(record, request.bundle)
        self._journal.said([dropped.final])

    def commanded(self, command: Command) -> str:
        """Obey a command, or count why not; returns the reason."""
        try:
            self._obey(command)
        except ConfigurationError as error:
            self.refused(str(error))
            return str(error)
        self.counters["commands"] += 1
        changes = msgspec.to_builtins(command)
        del changes["v"]
        self._writer.write({"type": "command", "device": self._records.device, "obeyed": True, **changes})
        return ""

    def refused(self, reason: str) -> None:
        """Count a command that was not obeyed."""
        self.counters["commands_refused"] += 1
        self._writer.write({"type": "command", "device": self._records.device, "obeyed": False, "reason": reason})

    def model(self, record: Mapping[str, Any]) -> None:
        """Say what becomes of the model."""
        self._writer.write(record)

    def summary(self, pending: int, **details: Mapping[str, int] | int | float) -> None:
        """Close the run: counts, and how many requests are still without a final answer."""
        counts = {name: self.counters[name] for name in COUNTED}
        self._writer.write({"type": "summary", **self._identity, **counts, "lost": pending, **details})

    def _conclude(self, items: Sequence[_Item], *, asked: bool) -> None:
        """Make records final in the journal, then say and count them, but for spectra that had a last word already."""
        finals = [Final.of_record(item.record, item.outcome, item.bundle) for item in items]
        concluded = self._journal.conclude(finals, asked=asked)
        for item, final in zip(items, finals, strict=True):
            if final.key in concluded.twice:
                continue
            self.counters[item.counted] += 1
            if not concluded.recorded:
                item.record["flags"].append(NOT_RECORDED)
            self._say(item.record, item.bundle)
        if concluded.recorded:
            self._journal.said([final for final in finals if final.key not in concluded.twice])

    def _say(self, record: dict[str, Any], bundle: str) -> None:
        self._writer.write(record)
        if self._on_answer is not None:
            try:
                self._on_answer(record)
            except Exception:
                self.counters["callback_errors"] += 1
                logger.exception("on_answer failed for spectrum %s of boot %s", record["sequence"], record["boot"])
        if self.announce is not None:
            self.announce(_message(record, bundle))

    def _latency(self, request: PendingRequest) -> float | None:
        # an earlier boot had another clock
        return self._since(request.acquired) if request.boot == self._journal.boot else None

    def _since(self, acquired: float) -> float:
        return round((self._journal.clock.monotonic() - acquired) * 1e3, 3)


def _message(record: Mapping[str, Any], bundle: str) -> Answer | Unanswered:
    if record["type"] not in ("answer", "provisional"):
        return Unanswered(
            device=record["device"],
            boot=record["boot"],
            sequence=record["sequence"],
            outcome=record["type"],
            reason=record["reason"][:MAX_TEXT],
            flags=tuple(record["flags"]),
        )
    return Answer(
        device=record["device"],
        boot=record["boot"],
        sequence=record["sequence"],
        bundle=bundle,
        label=record["label"],
        class_name=record["class"],
        probability=record["probability"],
        exit_index=record["exit"],
        final=record["final"],
        source=record["source"],
        flags=tuple(record["flags"]),
        known=record["known"],
    )
