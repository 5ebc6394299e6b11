"""The thread that takes batches from the scheduler, runs one segment on each and hands the results on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from gateway.decoding import decode_tasks
from gateway.engine import Engine
from gateway.engines.memory import BatchLimits
from gateway.logs import RateLimitedLog, fields
from gateway.monitoring import Metrics
from gateway.scheduling import Group, Scheduler
from gateway.step import Answer, run_step
from gateway.work import Task, Work
from specnet.errors import EngineMemoryError
from specnet.wire import Result
from specnet.wire.messages import MAX_TEXT

_LOGGER = logging.getLogger(__name__)


class BatchWorker:
    """Computes until the scheduler is closed and empty.

    A batch that fails is tried again in halves, so that a batch that is too large for the memory gets smaller, and one
    bad request does not take the others along; a request that fails alone is answered with the error. What was too
    large for the memory is not tried again for a while; a request for which there is none even alone is shed, because
    an error would be its device's last word and memory may be free by the time it asks again, here or elsewhere.

    Parameters
    ----------
    engine, scheduler, metrics
        What runs the segments, where requests come from, what is counted.
    reply
        Called in the worker's thread with each request and its result.
    give_up
        Told of requests that will get no answer from here, and why: ``internal``, an error in the worker itself, or
        ``memory``.
    together
        Around the replies of one batch, so that they can leave together.
    gateway
        Name to put into the results.
    max_batch
        Most requests of a batch.
    linger_s
        How long to wait for a batch to fill up, in seconds.
    """

    def __init__(
        self,
        engine: Engine,
        scheduler: Scheduler,
        metrics: Metrics,
        reply: Callable[[Work, Result], None],
        give_up: Callable[[list[Work], str], None] = lambda works, reason: None,
        together: Callable[[], AbstractContextManager[None]] = nullcontext,
        *,
        gateway: str,
        max_batch: int,
        linger_s: float = 0.0,
    ) -> None:
        self._engine = engine
        self._scheduler = scheduler
        self._metrics = metrics
        self._reply, self._give_up, self._together = reply, give_up, together
        self._gateway = gateway
        self._max_batch = max_batch
        self._linger_s = linger_s
        self._limits = BatchLimits()
        self._log = RateLimitedLog(_LOGGER)
        self._thread = threading.Thread(target=self._work, name="batch-worker", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end after the scheduler was closed; False when it has not within `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while batch := self._scheduler.take(self._max_batch, self._linger_s):
            try:
                self._run(batch)
            except Exception:  # the thread outlives whatever is wrong with one batch
                self._metrics.errors.labels("internal").inc()
                _LOGGER.exception("a batch was lost", extra=fields(requests=len(batch)))
                # nobody else knows of them any more: their devices send them again
                self._give_up([task.work for task in batch if not task.waits and not task.answered], "internal")

    def _run(self, batch: list[Task]) -> None:
        """Decode what has just come, and run a segment; what stays goes back before any answer is handed on."""
        batch, refused = decode_tasks(batch)
        for task, refusal in refused:
            self._fail(task, refusal.reason, str(refusal))
        self._run_within_limits(batch)

    def _run_within_limits(self, batch: list[Task]) -> None:
        while batch:
            size = self._limits.allowed(_group_of(batch), len(batch))
            self._run_segment(batch[:size])
            batch = batch[size:]

    def _run_segment(self, batch: list[Task]) -> None:
        began, segment = time.monotonic(), batch[0].segment
        self._metrics.batch_size.labels(segment).observe(len(batch))
        for task in batch:
            if not task.begun:
                self._metrics.queue_seconds.observe(began - task.work.arrived)
        try:
            step = run_step(self._engine, batch)
        except Exception as error:  # an engine can fail in ways of its own (out of memory, a broken driver)
            self._try_again(batch, error)
            return
        self._metrics.segment_seconds.labels(segment).observe(step.seconds)
        self._scheduler.resume(step.staying)
        with self._together():
            for task, answer in step.answered:
                task.answered = True
                self._metrics.results.labels(task.work.model.bundle_id, answer.exit_index).inc()
                self._deliver(task.work, self._result(task, answer))

    def _try_again(self, batch: list[Task], error: Exception) -> None:
        if isinstance(error, EngineMemoryError):
            self._limits.failed(_group_of(batch), len(batch))
        if len(batch) == 1 and isinstance(error, EngineMemoryError):
            self._log.warning("a request has no memory", reason="memory", request=batch[0].work.request_id, error=error)
            batch[0].answered = True
            self._give_up([batch[0].work], "memory")
            return
        if len(batch) == 1:
            self._fail(batch[0], "compute", f"the gateway could not compute it: {error}")
            return
        self._metrics.retries.inc()
        self._log.warning("a batch failed", reason="batch", requests=len(batch), error=error)
        middle = len(batch) // 2
        self._run_within_limits(batch[:middle])
        self._run_within_limits(batch[middle:])

    def _fail(self, task: Task, reason: str, error: str) -> None:
        self._metrics.errors.labels(reason).inc()
        key = task.work.key
        self._log.warning(
            "a request failed",
            reason=reason,
            request=task.work.request_id,
            site=key.site,
            device=key.device,
            bundle=key.bundle,
            error=error,
        )
        task.answered = True
        self._deliver(task.work, self._result(task, None, error[:MAX_TEXT]))

    def _result(self, task: Task, answer: Answer | None, error: str = "") -> Result:
        work = task.work
        compute_ms = 1e3 * task.compute_s
        # what is not computing is waiting, before the first segment and between two of them
        queue_ms = max(0.0, 1e3 * (time.monotonic() - work.arrived) - compute_ms)
        return Result(
            device=work.key.device,
            boot=work.key.boot,
            sequence=work.key.sequence,
            bundle=work.key.bundle,
            label=0 if answer is None else answer.label,
            probability=0.0 if answer is None else answer.probability,
            exit_index=0 if answer is None else answer.exit_index,
            known=answer is None or answer.known,
            macs=task.macs,
            error=error,
            queue_ms=queue_ms,
            compute_ms=compute_ms,
            gateway=self._gateway,
        )

    def _deliver(self, work: Work, result: Result) -> None:
        try:
            self._reply(work, result)
        except Exception:
            self._metrics.errors.labels("internal").inc()
            _LOGGER.exception("a result could not be handed on", extra=fields(request=work.request_id))


def _group_of(batch: list[Task]) -> Group:
    return batch[0].work.model.bundle_id, batch[0].segment
