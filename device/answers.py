"""Records of answers: one dictionary each, as it is written to stdout and given to callbacks."""

from __future__ import annotations

from typing import Any

from device.classifier import LocalAnswer
from device.outbox import PendingRequest
from specnet.wire import Result


class AnswerRecords:
    """Makes records of one device in one boot.

    Parameters
    ----------
    device, boot
        Whose.
    """

    def __init__(self, device: str, boot: int) -> None:
        self.device = device
        self._boot = boot

    def without_answer(self, kind: str, sequence: int, reason: str, flags: tuple[str, ...] = ()) -> dict[str, Any]:
        """Say that a spectrum gets no answer; `kind` is ``rejected`` or ``dropped``."""
        identity = {"device": self.device, "boot": self._boot, "sequence": sequence}
        return {"type": kind, **identity, "reason": reason, "flags": list(flags), "final": True}

    def local(self, sequence: int, answer: LocalAnswer, latency_ms: float, flags: tuple[str, ...]) -> dict[str, Any]:
        """Give a final answer that the device found alone."""
        return {
            "type": "answer",
            **self._fields(
                sequence, answer.label, answer.class_name, answer.probability, answer.exit_index, answer.known
            ),
            **_provenance("device", final=True),
            "macs": answer.macs,
            "gateway_macs": 0,
            "bytes": 0,
            "t_local_us": round(answer.total_us, 1),
            "latency_ms": latency_ms,
            "flags": list(flags),
        }

    def of_gateway(
        self, request: PendingRequest, result: Result, class_name: str, latency_ms: float | None, flags: tuple[str, ...]
    ) -> dict[str, Any]:
        """Give a final answer that the gateway found."""
        return {
            **self._of_request("answer", request, latency_ms),
            **self._fields(
                request.sequence, result.label, class_name, result.probability, result.exit_index, result.known
            ),
            **_provenance("gateway", final=True),
            "own_label": request.label,
            "own_class": request.class_name,
            "own_exit": request.exit_index,
            "gateway_macs": result.macs,
            "queue_ms": round(result.queue_ms, 3),
            "compute_ms": round(result.compute_ms, 3),
            "flags": [*request.flags, *flags],
            "boot": request.boot,
        }

    def own(self, request: PendingRequest, latency_ms: float | None, flag: str, error: str) -> dict[str, Any]:
        """Give the device's final answer to what it had asked the gateway."""
        record = {**self._of_request("answer", request, latency_ms), **_provenance("device", final=True)}
        return {**record, "flags": [*request.flags, flag], "error": error}

    def provisional(self, request: PendingRequest, latency_ms: float | None) -> dict[str, Any]:
        """Give the device's own answer until the gateway's comes."""
        return {**self._of_request("provisional", request, latency_ms), **_provenance("device", final=False)}

    def _of_request(self, kind: str, request: PendingRequest, latency_ms: float | None) -> dict[str, Any]:
        own = (request.label, request.class_name, request.probability, request.exit_index, request.known)
        return {
            "type": kind,
            **self._fields(request.sequence, *own),
            "boot": request.boot,
            "macs": request.macs,
            "gateway_macs": 0,
            "bytes": request.payload_bytes,
            "t_local_us": round(request.local_us, 1),
            "latency_ms": latency_ms,
            "flags": list(request.flags),
        }

    def _fields(
        self, sequence: int, label: int, class_name: str, probability: float, exit_index: int, known: bool
    ) -> dict[str, Any]:
        return {
            "device": self.device,
            "boot": self._boot,
            "sequence": sequence,
            "label": label,
            "class": class_name,
            "probability": round(min(probability, 1.0), 6),
            "exit": exit_index,
            "known": known,
        }


def _provenance(source: str, *, final: bool) -> dict[str, Any]:
    return {"source": source, "final": final, "provisional": not final}
