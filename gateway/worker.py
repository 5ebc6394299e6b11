"""The thread that takes batches from the queue, finishes them and hands the results on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from gateway.batching import RequestQueue, Work
from gateway.engine import Engine
from gateway.finishing import Answer, finish
from gateway.logs import RateLimitedLog, fields
from gateway.monitoring import Metrics
from specnet.wire import Result
from specnet.wire.messages import MAX_TEXT

_LOGGER = logging.getLogger(__name__)


class BatchWorker:
    """Computes until the queue is closed and empty.

    A batch that fails is tried again request by request, so that one bad request cannot take the others along; a
    request that fails alone is answered with the error.

    Parameters
    ----------
    engine, queue, metrics
        What runs the segments, where requests come from, what is counted.
    reply
        Called in the worker's thread with each request and its result.
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
        queue: RequestQueue,
        metrics: Metrics,
        reply: Callable[[Work, Result], None],
        *,
        gateway: str,
        max_batch: int,
        linger_s: float = 0.0,
    ) -> None:
        self._engine = engine
        self._queue = queue
        self._metrics = metrics
        self._reply = reply
        self._gateway = gateway
        self._max_batch = max_batch
        self._linger_s = linger_s
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
        """Wait for the thread to end after the queue was closed; False when it has not within `timeout_s` seconds."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while batch := self._queue.take(self._max_batch, self._linger_s):
            try:
                self._finish(batch)
            except Exception:  # the thread outlives whatever is wrong with one batch
                self._metrics.errors.labels("internal").inc()
                _LOGGER.exception("a batch was lost", extra=fields(requests=len(batch)))

    def _finish(self, batch: Sequence[Work]) -> None:
        self._metrics.batch_size.observe(len(batch))
        began = time.monotonic()
        for work in batch:
            self._metrics.queue_seconds.observe(began - work.arrived)
        open_requests, error = self._attempt(batch, began)
        if error is None:
            return
        self._log.warning("a batch failed", reason="batch", requests=len(batch), error=error)
        for work in open_requests:
            _, error = self._attempt([work], began)
            if error is not None:
                self._fail(work, error, began)

    def _attempt(self, batch: Sequence[Work], began: float) -> tuple[list[Work], Exception | None]:
        """Finish a batch; return the requests without an answer and what stopped them."""
        unanswered = {work.key: work for work in batch}
        answers = finish(self._engine, batch, self._observe)
        while True:
            try:
                # only the computation is guarded here: an error of `reply` is no reason to compute again
                work, answer = next(answers)
            except StopIteration:
                return list(unanswered.values()), None
            except Exception as error:  # an engine can fail in ways of its own (out of memory, a broken driver)
                return list(unanswered.values()), error
            del unanswered[work.key]
            self._metrics.results.labels(work.model.bundle_id, answer.exit_index).inc()
            self._deliver(work, self._result(work, answer, began))

    def _observe(self, segment: int, seconds: float) -> None:
        self._metrics.segment_seconds.labels(segment).observe(seconds)

    def _fail(self, work: Work, error: Exception, began: float) -> None:
        self._metrics.errors.labels("compute").inc()
        self._log.warning("a request failed", reason="compute", request=work.request_id, error=error)
        text = f"the gateway could not compute it: {error}"[:MAX_TEXT]
        self._deliver(
            work,
            Result(
                device=work.key.device,
                boot=work.key.boot,
                sequence=work.key.sequence,
                bundle=work.key.bundle,
                queue_ms=1e3 * max(0.0, began - work.arrived),
                gateway=self._gateway,
                error=text,
            ),
        )

    def _result(self, work: Work, answer: Answer, began: float) -> Result:
        return Result(
            device=work.key.device,
            boot=work.key.boot,
            sequence=work.key.sequence,
            bundle=work.key.bundle,
            label=answer.label,
            probability=answer.probability,
            exit_index=answer.exit_index,
            macs=answer.macs,
            known=answer.known,
            queue_ms=1e3 * max(0.0, began - work.arrived),
            compute_ms=1e3 * answer.compute_s,
            gateway=self._gateway,
        )

    def _deliver(self, work: Work, result: Result) -> None:
        try:
            self._reply(work, result)
        except Exception:
            self._metrics.errors.labels("internal").inc()
            _LOGGER.exception("a result could not be handed on", extra=fields(request=work.request_id))
