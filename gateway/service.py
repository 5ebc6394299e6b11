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
from gateway.config import GatewaySettings
from gateway.endpoint import MonitoringEndpoint
from gateway.engine import EngineSettings, create_engine
from gateway.keeping import StoreKeeper
from gateway.logs import fields
from gateway.models import ModelStore
from gateway.monitoring import Metrics, Watched
from gateway.own_certificates import soon_over
from gateway.residency import Room
from gateway.scheduling import Scheduler
from gateway.session import OffloadSession
from gateway.sinks.registry import create_recorder
from gateway.vitality import Vitality
from gateway.worker import BatchWorker
from specnet import __version__
from specnet.systemd import Notifier
from specnet.upkeep import PERIOD_S, Upkeep

_LOGGER = logging.getLogger(__name__)
STOP_TIMEOUT_S = 5.0
JOIN_TIMEOUT_S = 2.0
LEAVING_SHARE = 0.5
"""Part of the time for draining in which requests that were on their way are still taken."""


class GatewayService:
    """Serves from `start` to `stop`; also a context manager that does both.

    Parameters
    ----------
    settings
        Everything that can be configured.
    notifier
        Tells the service manager; systemd's, where it has started this process, by default.

    Raises
    ------
    ConfigurationError
        When store, state folder, engine, monitoring address or broker files cannot be used.
    """

    def __init__(self, settings: GatewaySettings, notifier: Notifier | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        engine = create_engine(EngineSettings.of(settings))
        self.answers = Answers(settings.answers, settings.answer_age_s)
        self.store = ModelStore.of(
            settings,
            engine,
            max_batch=settings.max_batch,
            room=Room(max_bytes=settings.max_model_bytes),
            in_use=self.answers.wants,
        )
        self.keeper = StoreKeeper(self.store, self.metrics, settings.rescan_s)
        self.scheduler = Scheduler(settings.max_queue)
        self.recorder = create_recorder(settings.sink, Path(settings.state_dir), settings.broker, self.metrics.registry)
        self.session = OffloadSession(
            settings,
            find_model=self.store.find,
            submit=self.scheduler.put,
            answers=self.answers,
            metrics=self.metrics,
            # unique, because a second client of the same name would throw the first one out
            client_id=f"specnet-gateway-{os.getpid()}-{secrets.token_hex(4)}",
            record=None if self.recorder is None else self.recorder.record,
        )
        self.worker = BatchWorker(
            engine,
            self.scheduler,
            self.metrics,
            self.session.reply,
            self.session.lose,
            self.session.mqtt.together,
            gateway=settings.name,
            max_batch=settings.max_batch,
            linger_s=settings.max_wait_ms / 1e3,
        )
        self._engine_name = engine.name
        self.metrics.watch(
            Watched(
                version=__version__,
                engine=engine.name,
                waiting=self.answers.waiting,
                connected=lambda: self.session.mqtt.connected,
                healthy=lambda: not self.problems(),
                bundles=lambda: self.store.models,
                session=self.session.mqtt.counters,
            )
        )
        self.vitality = Vitality(
            notifier or Notifier(),
            problems=self.problems,
            alive=lambda: self.worker.alive,
            under_way=lambda: self.answers.under_way,
            replies=lambda: self.session.replies,
        )
        self._upkeep = Upkeep((self.vitality.look,), min(PERIOD_S, self.vitality.interval_s / 4 or PERIOD_S))
        self._endpoint = MonitoringEndpoint(
            settings.monitoring.host, settings.monitoring.port, metrics=self.metrics.text, problems=self.problems
        )
        self._open = ExitStack()
        self._stopping = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def problems(self) -> list[str]:
        """Return why requests cannot be served now; empty when they can."""
        found = ["it is being stopped"] if self._stopping else []
        if not self.session.mqtt.connected:
            found.append(f"not connected to broker {self.settings.broker.host}:{self.settings.broker.port}")
        elif not self.session.subscribed:
            found.append("the broker has not granted the subscription")
        if not self.store.models:
            found.append(f"no bundle of store {self.settings.store!r} is served")
        if not self.worker.alive:
            found.append("the worker does not run")
        if not self.keeper.alive:
            found.append("nobody looks after the model store")
        return found

    def start(self) -> None:
        """Load the bundles, then begin to listen; an absent broker is waited for."""
        self.keeper.look()
        for trouble in soon_over(self.settings.broker):
            _LOGGER.warning("a certificate is over, or nearly", extra=fields(reason="certificate", detail=trouble))
        self._open.enter_context(self._endpoint)
        if self.recorder is not None:
            self.recorder.start()
        self.worker.start()
        self.keeper.start()
        self.session.start()
        self._upkeep.start()
        _LOGGER.info(
            "started", extra=fields(version=__version__, engine=self._engine_name, bundles=len(self.store.models))
        )

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
        """Look at the subscription from time to time until `stopping` is set."""
        while not stopping.wait(self.settings.rescan_s):
            try:
                self.session.tend()
            except Exception:  # what fails for a while must not end the service
                self.metrics.errors.labels("upkeep").inc()
                _LOGGER.exception("the upkeep failed")

    def stop(self) -> None:
        """Ask for nothing more, finish within `drain_s` what was taken, publish it, disconnect.

        What cannot be finished is left unacknowledged, for a replica or the device's next attempt.
        """
        drain_s = self.settings.drain_s
        deadline = time.monotonic() + drain_s
        self._stopping = True
        self.vitality.stopping(drain_s + JOIN_TIMEOUT_S + 2 * STOP_TIMEOUT_S)
        waiting = self.answers.under_way
        self.session.leave(LEAVING_SHARE * drain_s)
        self.session.close_intake()
        self.scheduler.close()
        given_up = []
        if not self.worker.join(max(0.0, deadline - time.monotonic())):
            given_up = self.scheduler.discard()
            self.session.give_up(given_up)
            self.worker.join(JOIN_TIMEOUT_S)  # the batch that is being computed
        self.session.stop(STOP_TIMEOUT_S)
        self.keeper.stop(JOIN_TIMEOUT_S)
        self._upkeep.stop()
        if self.recorder is not None:
            self.recorder.stop(deadline - time.monotonic())
        self._open.close()
        _LOGGER.info(
            "stopped", extra=fields(waiting=waiting, given_up=len(given_up), unfinished=self.answers.under_way)
        )
