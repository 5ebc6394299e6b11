"""Scheduler and batch worker of this process under load, without a broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from gateway.config import GatewaySettings
from gateway.engine import Engine
from gateway.intake import check_request, read_request
from gateway.models import ServedModel
from gateway.monitoring import Metrics
from gateway.scheduling import Scheduler
from gateway.work import Work
from gateway.worker import BatchWorker
from specnet.errors import ModelError
from specnet.mqtt import Incoming
from specnet.profiles import Load, Quantiles
from specnet.wire import OffloadRequest, Result, Topics, encode, pack_request

JOIN_TIMEOUT_S = 600.0
ANSWER_TIMEOUT_S = 60.0
WARM_UP = 10
WARM_UP_SHARE = 0.1
"""Share of the requests that come first and are not counted: they find an empty queue."""


class LoadTest:
    """Feeds requests to the real scheduler and worker.

    Features are decoded in the feeding thread, as the gateway's own intake does in the thread of its MQTT session.

    Parameters
    ----------
    engine, model
        What computes; the engine has loaded the model.
    requests
        What comes, in turn.
    settings
        Name, largest batch, and how long to wait for it to fill up.
    """

    def __init__(
        self, engine: Engine, model: ServedModel, requests: Sequence[OffloadRequest], settings: GatewaySettings
    ) -> None:
        self._engine = engine
        self._model = model
        self._requests = requests
        self._settings = settings

    def capacity(self, n: int) -> float:
        """Measure the most requests a second: `n` of them come as fast as they can be taken in."""
        results: list[Result] = []

        def feed(scheduler: Scheduler) -> None:
            for number in range(n):
                scheduler.put(self._work(number))

        began = time.perf_counter()
        self._serve(n, results, feed)
        return len(results) / (time.perf_counter() - began)

    def under_load(self, share: float, capacity: float, n: int, rng: np.random.Generator) -> Load:
        """Let `n` requests come at random moments (a Poisson process), at a share of the capacity in requests a second.

        A request waits from the moment at which it was to come, even when this process was too busy to take it in.

        Raises
        ------
        ModelError
            When a request cannot be computed, or the worker does not come to an end.
        """
        moments = np.cumsum(rng.exponential(1 / (share * capacity), n))
        results: list[Result] = []

        def feed(scheduler: Scheduler) -> None:
            began = time.monotonic()
            for number, moment in enumerate(moments):
                pause = began + moment - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                scheduler.put(replace(self._work(number), arrived=began + moment))

        mean_batch = self._serve(n, results, feed)
        steady = sorted(results, key=lambda result: result.sequence)[round(WARM_UP_SHARE * n) :]
        rate = float(n / moments[-1])
        return Load(
            requests_s=rate,
            utilisation=rate / capacity,
            queue_ms=Quantiles.of([result.queue_ms for result in steady]),
            compute_ms=Quantiles.of([result.compute_ms for result in steady]),
            mean_batch=mean_batch,
        )

    def alone(self, n: int, rest_s: float, progress: Callable[[int], None] = lambda done: None) -> list[float]:
        """Measure microseconds from a message's bytes to those of its result, less those of the segments.

        That is decoding, scheduler and worker's thread, exit policy and encoding, for one request at a time.

        Parameters
        ----------
        n
            Requests, after a warm-up.
        rest_s
            Pause before each: between the requests of slow instruments caches go cold and processors to sleep.
        progress
            Told how many are done.

        Raises
        ------
        ModelError
            When a request cannot be computed, or no answer comes.
        """
        metrics, answered = Metrics(), threading.Event()
        found: list[float] = []

        def feed(scheduler: Scheduler) -> None:
            for number in range(WARM_UP + n):
                incoming = _message(self._numbered(number))
                answered.clear()
                computed = _segment_seconds(metrics)
                time.sleep(rest_s)
                before = time.perf_counter()
                scheduler.put(check_request(read_request(incoming), incoming, lambda bundle_id: self._model))
                if not answered.wait(ANSWER_TIMEOUT_S):
                    raise ModelError(f"no answer within {ANSWER_TIMEOUT_S:g} s")
                took = time.perf_counter() - before
                found.append(1e6 * (took - (_segment_seconds(metrics) - computed)))
                progress(number + 1)

        def reply(result: Result) -> None:
            encode(result)
            answered.set()

        self._serve(WARM_UP + n, [], feed, metrics, reply)
        return found[WARM_UP:]

    def _serve(
        self,
        n: int,
        results: list[Result],
        feed: Callable[[Scheduler], None],
        metrics: Metrics | None = None,
        reply: Callable[[Result], None] = lambda result: None,
    ) -> float:
        """Run a worker on what `feed` puts into a scheduler, `n` requests; give their mean number in a batch."""
        # nothing is shed: the wait is what is measured
        scheduler, metrics = Scheduler(n), metrics or Metrics()

        def done(work: Work, result: Result) -> None:
            results.append(result)
            reply(result)

        worker = BatchWorker(
            self._engine,
            scheduler,
            metrics,
            done,
            gateway=self._settings.name,
            max_batch=self._settings.max_batch,
            linger_s=self._settings.max_wait_ms / 1e3,
        )
        worker.start()
        try:
            feed(scheduler)
            scheduler.close()
        except BaseException:
            scheduler.discard()
            raise
        finally:
            ended = worker.join(JOIN_TIMEOUT_S)
        if not ended:
            raise ModelError(f"the worker has not come to an end within {JOIN_TIMEOUT_S:g} s")
        if failed := [result.error for result in results if result.error]:
            raise ModelError(f"{len(failed)} of {len(results)} requests failed: {failed[0]}")
        value, first = metrics.registry.get_sample_value, {"segment": str(self._requests[0].split + 1)}
        batches, requests = (value(f"specnet_gateway_batch_size_{part}", first) for part in ("count", "sum"))
        return requests / batches if batches and requests else 1.0

    def _work(self, number: int) -> Work:
        incoming = Incoming(topic="", payload=b"", qos=1, retain=False)
        return check_request(self._numbered(number), incoming, lambda bundle_id: self._model)

    def _numbered(self, number: int) -> OffloadRequest:
        return msgspec.structs.replace(self._requests[number % len(self._requests)], sequence=number)


def _message(request: OffloadRequest) -> Incoming:
    topic = Topics(request.site, request.device).offload(request.bundle, request.split)
    return Incoming(topic=topic, payload=pack_request(request), qos=1, retain=False)


def _segment_seconds(metrics: Metrics) -> float:
    """Seconds in segments so far; the worker counts them before it replies."""
    return sum(
        sample.value
        for metric in metrics.segment_seconds.collect()
        for sample in metric.samples
        if sample.name.endswith("_sum")
    )
