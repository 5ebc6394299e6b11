"""What the service tells: answers, provisional answers, rejections and the summary, as records and as messages."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from device.classifier import LocalAnswer
from device.outbox import PendingRequest
from device.records import RecordWriter
from specnet.errors import ConfigurationError
from specnet.wire import Answer, Command, Result


class Reporter:
    """Turns events into records; listens to the uplink.

    Parameters
    ----------
    device, boot, bundle, classes
        Identity of this run.
    writer
        Takes the records.
    obey
        Called with each command; `ConfigurationError` refuses it.
    """

    def __init__(
        self,
        device: str,
        boot: int,
        bundle: str,
        classes: tuple[str, ...],
        writer: RecordWriter,
        obey: Callable[[Command], None],
    ) -> None:
        self._device = device
        self._boot = boot
        self._bundle = bundle
        self._classes = classes
        self._writer = writer
        self._obey = obey
        self.counters: Counter[str] = Counter()
        self.announce: Callable[[Answer], None] | None = None

    def ready(self, **details: Any) -> None:
        """Say that acquisition begins."""
        identity = {"device": self._device, "boot": self._boot, "bundle": self._bundle}
        self._writer.write({"type": "ready", **identity, **details})

    def operating_point(self, sequence: int, **details: Any) -> None:
        """Say that another operating point is in force from a spectrum on."""
        identity = {"device": self._device, "boot": self._boot, "sequence": sequence}
        self._writer.write({"type": "operating_point", **identity, **details})

    def rejected(self, sequence: int, reason: str) -> None:
        """Say that a spectrum cannot be judged."""
        self.counters["rejected"] += 1
        identity = {"device": self._device, "boot": self._boot, "sequence": sequence}
        self._writer.write({"type": "rejected", **identity, "reason": reason, "final": True})

    def local(self, sequence: int, answer: LocalAnswer, acquired: float, flags: list[str]) -> None:
        """Give a final answer that the device found alone; `acquired` is monotonic time."""
        self.counters["local"] += 1
        record = {
            "type": "answer",
            **self._answer_fields(
                sequence, answer.label, answer.class_name, answer.probability, answer.exit_index, answer.known
            ),
            **_provenance("device", final=True),
            "macs": answer.macs,
            "gateway_macs": 0,
            "bytes": 0,
            "t_local_us": round(answer.total_us, 1),
            "latency_ms": _since(acquired),
            "flags": flags,
        }
        self._publish(record, self._bundle)

    def answered(self, request: PendingRequest, result: Result) -> None:
        """Give the final answer that came from the gateway, or the device's own when there is none."""
        if result.error:
            self.counters["gateway_errors"] += 1
            self._final_local(request, "gateway_error", error=result.error)
            return
        self.counters["gateway"] += 1
        same_model = request.bundle == self._bundle
        name = self._classes[result.label] if same_model else ""
        changes = {
            **self._answer_fields(
                request.sequence, result.label, name, result.probability, result.exit_index, result.known
            ),
            **_provenance("gateway", final=True),
            "own_label": request.label,
            "own_class": request.class_name,
            "own_exit": request.exit_index,
            "gateway_macs": result.macs,
            "queue_ms": round(result.queue_ms, 3),
            "compute_ms": round(result.compute_ms, 3),
            "flags": [] if same_model else ["earlier_model"],
        }
        self._publish({**self._of_request("answer", request), **changes, "boot": request.boot}, request.bundle)

    def overdue(self, request: PendingRequest) -> None:
        """Give the device's own answer as provisional: the deadline has passed."""
        self.counters["provisional"] += 1
        self._publish(
            {**self._of_request("provisional", request), **_provenance("device", final=False)}, request.bundle
        )

    def dropped(self, request: PendingRequest, reason: str) -> None:
        """Give the device's own answer as final: the request was given up."""
        self.counters["dropped"] += 1
        self._final_local(request, "dropped", error=reason)

    def commanded(self, command: Command) -> None:
        """Obey a command, or count why not."""
        try:
            self._obey(command)
        except ConfigurationError as error:
            self.counters["commands_refused"] += 1
            self._writer.write({"type": "command", "device": self._device, "obeyed": False, "reason": str(error)})
            return
        self.counters["commands"] += 1
        changes = {"operating_point": command.operating_point, "audit_rate": command.audit_rate}
        self._writer.write({"type": "command", "device": self._device, "obeyed": True, **changes})

    def model(self, record: Mapping[str, Any]) -> None:
        """Say what becomes of the model."""
        self._writer.write(record)

    def summary(self, pending: int, **details: Mapping[str, int] | int | float) -> None:
        """Close the run: counts, and how many requests are still without a final answer."""
        counts = {
            name: self.counters[name]
            for name in ("local", "gateway", "gateway_errors", "rejected", "provisional", "dropped", "commands")
        }
        identity = {"device": self._device, "boot": self._boot, "bundle": self._bundle}
        self._writer.write({"type": "summary", **identity, **counts, "lost": pending, **details})

    def _final_local(self, request: PendingRequest, flag: str, error: str) -> None:
        record = {**self._of_request("answer", request), **_provenance("device", final=True)}
        self._publish({**record, "flags": [flag], "error": error}, request.bundle)

    def _of_request(self, kind: str, request: PendingRequest) -> dict[str, Any]:
        return {
            "type": kind,
            **self._answer_fields(
                request.sequence,
                request.label,
                request.class_name,
                request.probability,
                request.exit_index,
                request.known,
            ),
            "boot": request.boot,
            "macs": request.macs,
            "gateway_macs": 0,
            "bytes": request.payload_bytes,
            "t_local_us": round(request.local_us, 1),
            # an earlier boot had another clock
            "latency_ms": _since(request.acquired) if request.boot == self._boot else None,
            "flags": [],
        }

    def _answer_fields(
        self, sequence: int, label: int, class_name: str, probability: float, exit_index: int, known: bool
    ) -> dict[str, Any]:
        return {
            "device": self._device,
            "boot": self._boot,
            "sequence": sequence,
            "label": label,
            "class": class_name,
            "probability": round(min(probability, 1.0), 6),
            "exit": exit_index,
            "known": known,
        }

    def _publish(self, record: dict[str, Any], bundle: str) -> None:
        self._writer.write(record)
        if self.announce is None:
            return
        self.announce(
            Answer(
                device=self._device,
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
        )


def _provenance(source: str, *, final: bool) -> dict[str, Any]:
    return {"source": source, "final": final, "provisional": not final}


def _since(acquired: float) -> float:
    return round((time.monotonic() - acquired) * 1e3, 3)
