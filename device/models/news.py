"""What becomes of models, told in two places: a record of the service and a retained message."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal

from device.models.starting import OpenedModel
from specnet.wire import ModelState, encode
from specnet.wire.fields import MAX_TEXT
from specnet.wire.models import Stage

Event = Literal["fetching", "checking", "activated", "refused", "failed", "rolled_back", "confirmed"]
_RECORDED = frozenset({"checking", "activated", "refused", "failed", "rolled_back", "confirmed"})


class News:
    """Keeps the present state and publishes it when it changes, and again when a connection comes up.

    Parameters
    ----------
    device, boot
        Who.
    opened
        The model in use.
    record
        Takes records of type ``model``.
    publish
        Sends the retained message; False when that is not possible now.
    """

    def __init__(
        self,
        device: str,
        boot: int,
        opened: OpenedModel,
        record: Callable[[Mapping[str, Any]], None],
        publish: Callable[[bytes], bool],
    ) -> None:
        manifest = opened.bundle.manifest
        stage: Stage = "factory" if opened.record is None else "trial" if opened.on_trial else "active"
        self._own: dict[str, Any] = {
            "device": device,
            "boot": boot,
            # a bundle that never went through a release may be called anything
            "name": manifest.name[:MAX_TEXT],
            "version": max(0, manifest.version),
            "bundle": opened.bundle.bundle_id,
        }
        self._record = record
        self._publish = publish
        self._lock = threading.Lock()
        self._state = ModelState(**self._own, stage=stage)
        self._unsent = True
        self.counters: Counter[str] = Counter()
        if opened.rolled_back:
            label, _, reason = opened.rolled_back.partition(": ")
            self.tell("rolled_back", label, detail=reason)

    @property
    def state(self) -> ModelState:
        """The present state."""
        return self._state

    def tell(self, event: Event, candidate: str, *, progress: float = 0.0, detail: str = "") -> None:
        """Note what became of a candidate."""
        detail = detail[:MAX_TEXT]
        self.counters[event] += 1
        if event in _RECORDED:
            self._record({"type": "model", "event": event, "candidate": candidate, "detail": detail, **self._own})
        with self._lock:
            if event == "confirmed":
                self._state = ModelState(**self._own, stage="active")
            else:
                self._state = ModelState(
                    **self._own, stage=event, candidate=candidate[:MAX_TEXT], progress=progress, detail=detail
                )
            self._unsent = True
        self.send()

    def renew(self) -> None:
        """Publish again: the connection is new, and the broker may have lost what it kept."""
        with self._lock:
            self._unsent = True
        self.send()

    def send(self) -> None:
        """Publish what has not been published yet."""
        with self._lock:
            if self._unsent:
                self._unsent = not self._publish(encode(self._state))
