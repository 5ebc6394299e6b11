"""Whether a result belongs to a request of this device."""

from __future__ import annotations

from device.outbox import PendingRequest
from specnet.wire import Result


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
            return "repeated"
        if result.bundle != request.bundle:
            return "foreign"
        if request.audit:
            return _judge_audit(result, request)
        if request.bundle == self._bundle and not result.error and result.label >= self._n_classes:
            return "impossible"
        return "answered"


def _judge_audit(result: Result, request: PendingRequest) -> str:
    if result.error:
        return "audit_failed"
    return "audit_agreed" if request.label == result.label else "audit_disagreed"
