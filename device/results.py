"""Whether a result belongs to a request of this device."""

from __future__ import annotations

import threading
from collections import OrderedDict

from device.outbox import PendingRequest
from specnet.wire import Result

MAX_AUDITS = 256


class ResultChecker:
    """Judges results: a broker may bring results of other devices, of other models, late and twice.

    Parameters
    ----------
    device
        Own name.
    bundle, n_classes
        The model in use; requests of an earlier one may still be pending.
    """

    def __init__(self, device: str, bundle: str, n_classes: int) -> None:
        self._device = device
        self._bundle = bundle
        self._n_classes = n_classes
        self._audits: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._lock = threading.Lock()

    def expect_audit(self, key: tuple[int, int], label: int) -> None:
        """Remember the local answer of an audit sample, so that its result is known; the oldest are forgotten."""
        with self._lock:
            self._audits[key] = label
            if len(self._audits) > MAX_AUDITS:
                self._audits.popitem(last=False)

    def judge(self, result: Result, request: PendingRequest | None) -> str:
        """Give the name under which a result counts.

        Returns
        -------
        str
            ``answered`` for the final answer to a pending request; ``foreign`` for another device or another model;
            ``impossible`` for a class that the model does not have; ``repeated`` when nothing is pending;
            ``audit_agreed``, ``audit_disagreed`` or ``audit_failed`` for an audit sample.
        """
        if result.device != self._device:
            return "foreign"
        if request is None:
            return self._judge_audit(result)
        if result.bundle != request.bundle:
            return "foreign"
        if request.bundle == self._bundle and not result.error and result.label >= self._n_classes:
            return "impossible"
        return "answered"

    def _judge_audit(self, result: Result) -> str:
        with self._lock:
            label = self._audits.pop((result.boot, result.sequence), None)
        if label is None:
            return "repeated"
        if result.error:
            return "audit_failed"
        return "audit_agreed" if label == result.label else "audit_disagreed"
