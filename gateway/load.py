"""Queue and batch worker of this process under load, without a broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from gateway.batching import RequestQueue, Work
from gateway.config import GatewaySettings
from gateway.engine import Engine
from gateway.intake import check_request
from gateway.models import ServedModel
from gateway.monitoring import Metrics
from gateway.worker import BatchWorker
from specnet.errors import ModelError
from specnet.mqtt import Incoming
from specnet.profiles import Load, Quantiles
from specnet.wire import OffloadRequest, Result

JOIN_TIMEOUT_S = 600.0
WARM_UP_SHARE = 0.1
"""Share of the requests that come first and are not counted: they find an empty queue."""


class LoadTest:
    """Feeds requests to the real queue and worker.

    Features are decoded in the feeding thread, as the gateway's own intake does in the thread of its MQTT session.

    Parameters
    ----------
    engine, model
        What computes; the engine has loaded the model.
    requests
        What comes, in turn.
    settings
        Largest batch, and how long to wait for it to fill up.
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

        def feed(queue: RequestQueue) -> None:
            for number in range(n):
                queue.put(self._work(number))

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

        def feed(queue: RequestQueue) -> None:
            began = time.monotonic()
            for number, moment in enumerate(moments):
                pause = began + moment - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                queue.put(replace(self._work(number), arrived=began + moment))

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

    def _serve(self, n: int, results: list[Result], feed: Callable[[RequestQueue], None]) -> float:
        """Run a worker on what `feed` puts into a queue, `n` requests; give their mean number in a batch."""
        # nothing is shed: the wait is what is measured
        queue, metrics = RequestQueue(n), Metrics()
        worker = BatchWorker(
            self._engine,
            queue,
            metrics,
            lambda work, result: results.append(result),
            gateway="profile",
            max_batch=self._settings.max_batch,
            linger_s=self._settings.max_wait_ms / 1e3,
        )
        worker.start()
        try:
            feed(queue)
            queue.close()
        except BaseException:
            queue.discard()
            raise
        finally:
            ended = worker.join(JOIN_TIMEOUT_S)
        if not ended:
            raise ModelError(f"the worker has not come to an end within {JOIN_TIMEOUT_S:g} s")
        if failed := [result.error for result in results if result.error]:
            raise ModelError(f"{len(failed)} of {len(results)} requests failed: {failed[0]}")
        value = metrics.registry.get_sample_value
        batches, requests = value("specnet_gateway_batch_size_count"), value("specnet_gateway_batch_size_sum")
        return requests / batches if batches and requests else 1.0

    def _work(self, number: int) -> Work:
        request = self._requests[number % len(self._requests)]
        numbered = msgspec.structs.replace(request, sequence=number)
        incoming = Incoming(topic="", payload=b"", qos=1, retain=False)
        return check_request(numbered, incoming, lambda bundle_id: self._model)
