"""The gateway as a service: store, engine, queue, worker, MQTT session and monitoring, put together."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from gateway.answers import Answers
from gateway.batching import RequestQueue
from gateway.config import GatewaySettings
from gateway.endpoint import MonitoringEndpoint
from gateway.engine import EngineSettings, create_engine
from gateway.logs import fields
from gateway.models import ModelStore
from gateway.monitoring import Metrics
from gateway.session import OffloadSession
from gateway.sinks.registry import create_recorder
from gateway.worker import BatchWorker

_LOGGER = logging.getLogger(__name__)
STOP_TIMEOUT_S = 5.0
JOIN_TIMEOUT_S = 2.0


class GatewayService:
    """Serves from `start` to `stop`; also a context manager that does both.

    Parameters
    ----------
    settings
        Everything that can be configured.

    Raises
    ------
    ConfigurationError
        When store, state folder, engine, monitoring address or broker files cannot be used.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        engine = create_engine(EngineSettings(device=settings.device, engine=settings.engine, threads=settings.threads))
        self.store = ModelStore(settings.store, engine, max_batch=settings.max_batch)
        self.queue = RequestQueue(settings.max_queue)
        answers = Answers(settings.answers, settings.answer_age_s)
        self.recorder = create_recorder(settings.sink, Path(settings.state_dir), settings.broker, self.metrics.registry)
        self.session = OffloadSession(
            settings,
            find_model=self.store.get,
            submit=self.queue.put,
            answers=answers,
            metrics=self.metrics,
            # unique, because a second client of the same name would throw the first one out
            client_id=f"specnet-gateway-{os.getpid()}-{secrets.token_hex(4)}",
            record=None if self.recorder is None else self.recorder.record,
        )
        self.worker = BatchWorker(
            engine,
            self.queue,
            self.metrics,
            self.session.reply,
            gateway=settings.name,
            max_batch=settings.max_batch,
            linger_s=settings.max_wait_ms / 1e3,
        )
        self.metrics.watch(
            queue_depth=self.queue.__len__,
            connected=lambda: self.session.mqtt.connected,
            bundles=lambda: len(self.store.models),
            session=self.session.mqtt.counters,
        )
        self._engine_name = engine.name
        self._endpoint = MonitoringEndpoint(
            settings.monitoring.host, settings.monitoring.port, metrics=self.metrics.text, problems=self.problems
        )
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def problems(self) -> list[str]:
        """Return why requests cannot be served now; empty when they can."""
        found = []
        if not self.session.mqtt.connected:
            found.append(f"not connected to broker {self.settings.broker.host}:{self.settings.broker.port}")
        elif not self.session.subscribed:
            found.append("the broker has not granted the subscription")
        if not self.store.models:
            found.append(f"no bundle of store {self.settings.store!r} is served")
        if not self.worker.alive:
            found.append("the worker does not run")
        return found

    def start(self) -> None:
        """Load the bundles, then begin to listen; an absent broker is waited for."""
        self.scan()
        self._open.enter_context(self._endpoint)
        if self.recorder is not None:
            self.recorder.start()
        self.worker.start()
        self.session.start()
        _LOGGER.info("started", extra=fields(engine=self._engine_name, bundles=len(self.store.models)))

    def ready(self) -> dict[str, Any]:
        """Describe the running service, for whoever started it."""
        bundles = [
            {"id": model.bundle_id, "name": model.manifest.name, "version": model.manifest.version}
            for model in self.store.models
        ]
        return {
            "type": "ready",
            "bundles": bundles,
            "engine": self._engine_name,
            "metrics_port": self._endpoint.port,
            "pid": os.getpid(),
        }

    def run(self, stopping: threading.Event) -> None:
        """Look at the store and the subscription from time to time until `stopping` is set."""
        while not stopping.wait(self.settings.rescan_s):
            try:
                self.session.tend()
                self.scan()
            except Exception:  # a store that cannot be listed for a while must not end the service
                self.metrics.errors.labels("upkeep").inc()
                _LOGGER.exception("the upkeep failed")

    def scan(self) -> None:
        """Serve what is new in the store; log and count what is bad."""
        scan = self.store.rescan()
        for model in scan.added:
            manifest = model.manifest
            _LOGGER.info(
                "bundle served",
                extra=fields(
                    bundle=model.bundle_id,
                    name=manifest.name,
                    version=manifest.version,
                    deviation=f"{model.deviation:.1e}",
                ),
            )
        for bad in scan.bad:
            self.metrics.bad_bundles.inc()
            _LOGGER.error("bundle skipped", extra=fields(path=bad.path, error=bad.reason))

    def stop(self) -> None:
        """Take nothing more, finish what waits within `drain_s`, publish it, disconnect."""
        deadline = time.monotonic() + self.settings.drain_s
        self.session.close_intake()
        self.queue.close()
        waiting = len(self.queue)
        if not self.worker.join(max(0.0, deadline - time.monotonic())):
            self.session.give_up(self.queue.discard())
            self.worker.join(JOIN_TIMEOUT_S)  # the batch that is being computed
        self.session.stop(STOP_TIMEOUT_S)
        if self.recorder is not None:
            self.recorder.stop(deadline - time.monotonic())
        self._open.close()
        _LOGGER.info("stopped", extra=fields(waited_for=waiting))
