"""What a request takes at a gateway that has nothing else to do, apart from its segments."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from gateway.batching import RequestQueue, Work
from gateway.config import GatewaySettings
from gateway.engine import Engine, Float32
from gateway.intake import check_request, read_request
from gateway.models import ServedModel
from gateway.monitoring import Metrics
from gateway.worker import BatchWorker
from specnet.bundle import Bundle
from specnet.errors import ModelError
from specnet.mqtt import Incoming
from specnet.runtime import SegmentOutput
from specnet.wire import OffloadRequest, Result, Topics, encode, pack_request

TIMEOUT_S = 60.0
WARM_UP = 10


class _Timed:
    """An engine that adds up the seconds of its segments."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self._engine = engine
        self.seconds = 0.0

    def load(self, bundle: Bundle) -> None:
        """Load a bundle."""
        self._engine.load(bundle)

    def unload(self, bundle_id: str) -> None:
        """Forget a bundle."""
        self._engine.unload(bundle_id)

    def run(self, bundle_id: str, segment_index: int, features: Float32) -> SegmentOutput:
        """Run a segment."""
        before = time.perf_counter()
        try:
            return self._engine.run(bundle_id, segment_index, features)
        finally:
            self.seconds += time.perf_counter() - before


def handling_us(
    engine: Engine,
    model: ServedModel,
    requests: Sequence[OffloadRequest],
    settings: GatewaySettings,
    n: int,
    rest_s: float,
    progress: Callable[[int], None] = lambda done: None,
) -> list[float]:
    """Measure microseconds from a message's bytes to those of its result, less those of the segments.

    That is decoding, the queue and its thread, the exit policy and encoding, for one request at a time.

    Parameters
    ----------
    engine, model
        What computes; the engine has loaded the model.
    requests
        What comes, in turn.
    settings
        Name and batches of the gateway.
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
    timed, queue, answered = _Timed(engine), RequestQueue(1), threading.Event()
    results: list[Result] = []

    def reply(work: Work, result: Result) -> None:
        results.append(result)
        encode(result)
        answered.set()

    worker = BatchWorker(
        timed, queue, Metrics(), reply, gateway=settings.name, max_batch=settings.max_batch,
        linger_s=settings.max_wait_ms / 1e3,
    )  # fmt: skip
    worker.start()
    found = []
    try:
        for number in range(WARM_UP + n):
            incoming = _message(requests[number % len(requests)], number)
            answered.clear()
            timed.seconds = 0.0
            time.sleep(rest_s)
            before = time.perf_counter()
            queue.put(check_request(read_request(incoming), incoming, lambda bundle_id: model))
            if not answered.wait(TIMEOUT_S):
                raise ModelError(f"no answer within {TIMEOUT_S:g} s")
            found.append(1e6 * (time.perf_counter() - before - timed.seconds))
            progress(number + 1)
    finally:
        queue.close()
        worker.join(TIMEOUT_S)
    if failed := [result.error for result in results if result.error]:
        raise ModelError(f"{len(failed)} of {len(results)} requests failed: {failed[0]}")
    return found[WARM_UP:]


def _message(request: OffloadRequest, number: int) -> Incoming:
    numbered = msgspec.structs.replace(request, sequence=number)
    topic = Topics(request.site, request.device).offload(request.bundle, request.split)
    return Incoming(topic=topic, payload=pack_request(numbered), qos=1, retain=False)
