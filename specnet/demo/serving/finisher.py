"""What every server of the comparison computes: the deep segments of a batch of requests, early exits included."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.decoding import decode_tasks
from gateway.engine import OnnxEngine
from gateway.intake import check_request
from gateway.models import prepare
from gateway.step import run_step
from gateway.work import Task, Work
from specnet.bundle import read_bundle
from specnet.mqtt import Incoming
from specnet.wire import OffloadTopic, unpack_request

_NOTHING = Incoming(topic="", payload=b"", qos=1, retain=False)


class Finisher:
    """One bundle in ONNX Runtime on one thread, as the gateway has it.

    Parameters
    ----------
    bundle_path
        The bundle.

    Raises
    ------
    BundleError
        When it is damaged.
    """

    def __init__(self, bundle_path: Path) -> None:
        bundle = read_bundle(bundle_path)
        self._engine = OnnxEngine()
        self._model = prepare(self._engine, bundle, bundle_path)

    def read(self, payload: bytes, split: int) -> Work:
        """Decode a request as it would come over MQTT; errors as `specnet.wire.unpack_request`."""
        topic = OffloadTopic(site="bench", device="device", bundle=self._model.bundle_id, split=split)
        return check_request(unpack_request(payload, topic), _NOTHING, {self._model.bundle_id: self._model}.get)

    def answer(self, works: Sequence[Work]) -> list[dict[str, Any]]:
        """Label and milliseconds of computing for each request; all are of one split point."""
        tasks, refused = decode_tasks([Task.of(work) for work in works])
        for _, refusal in refused:
            raise refusal
        found: dict[int, dict[str, Any]] = {}
        while tasks:
            step = run_step(self._engine, tasks)
            found.update(
                (id(task.work), {"label": answer.label, "compute_ms": 1e3 * task.compute_s})
                for task, answer in step.answered
            )
            tasks = step.staying
        return [found[id(work)] for work in works]
