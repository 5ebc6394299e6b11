"""The thread that looks after the model store, so that nobody who answers requests waits for a bundle."""

from __future__ import annotations

import logging
import threading

from gateway.logs import fields
from gateway.models import ModelStore
from gateway.monitoring import Metrics

_LOGGER = logging.getLogger(__name__)
DRAIN_S = 0.1
"""Pause between two looks while a bundle waits for its last requests."""


class StoreKeeper:
    """Looks at the store from time to time, and at once when a request wants a bundle that is not loaded.

    Parameters
    ----------
    store
        What to look after.
    metrics
        What is counted.
    rescan_s
        Pause between two looks, in seconds.
    """

    def __init__(self, store: ModelStore, metrics: Metrics, rescan_s: float) -> None:
        self._store = store
        self._metrics = metrics
        self._rescan_s = rescan_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="store-keeper", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End; a bundle that is being loaded may outlast the time."""
        self._stopping.set()
        self._store.wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def look(self) -> None:
        """Load and unload what has to be; log and count it."""
        scan = self._store.rescan()
        for model in scan.added:
            manifest = model.manifest
            self._metrics.models_loaded.labels(model.precision).inc()
            _LOGGER.info(
                "bundle served",
                extra=fields(
                    bundle=model.bundle_id,
                    name=manifest.name,
                    version=manifest.version,
                    deviation=f"{model.deviation:.1e}",
                    precision=model.precision,
                ),
            )
        for gone in scan.unloaded:
            manifest = gone.model.manifest
            self._metrics.models_unloaded.labels(gone.reason).inc()
            _LOGGER.info(
                "bundle unloaded",
                extra=fields(
                    bundle=manifest.bundle_id, name=manifest.name, version=manifest.version, reason=gone.reason
                ),
            )
        for bad in scan.bad:
            self._metrics.bad_bundles.inc()
            _LOGGER.error("bundle skipped", extra=fields(path=bad.path, error=bad.reason))
        self._metrics.model_bytes.set(self._store.memory_bytes)

    def _work(self) -> None:
        while True:
            self._store.wake.wait(DRAIN_S if self._store.leaving else self._rescan_s)
            self._store.wake.clear()
            if self._stopping.is_set():
                return
            try:
                self.look()
            except Exception:  # a store that cannot be listed for a while must not end the service
                self._metrics.errors.labels("upkeep").inc()
                _LOGGER.exception("the upkeep of the model store failed")
