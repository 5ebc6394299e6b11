"""Requests to the gateway out of local answers."""

from __future__ import annotations

from device.classifier import LocalAnswer
from device.outbox import PendingRequest
from specnet.bundle import Bundle
from specnet.handover import encode_handover
from specnet.wire import OffloadRequest, Provisional, Topics, pack_request


class RequestMaker:
    """Encodes features with the codec of the operating point, else the one that the bundle names for the split point.

    A raw spectrum can be sent only by a spectrometer with the axis of the training spectra; another one sends what it
    has preprocessed, as float16.

    Parameters
    ----------
    topics, boot
        Who asks.
    bundle
        The model.
    deadline_s
        How long the device waits before it gives out its own answer.
    max_bytes
        Largest payload.
    """

    def __init__(self, topics: Topics, boot: int, bundle: Bundle, deadline_s: float, max_bytes: int) -> None:
        self._topics = topics
        self._boot = boot
        self._bundle, self._manifest = bundle, bundle.manifest
        self._deadline_ms = max(1, round(deadline_s * 1000))
        self._max_bytes = max_bytes

    def make(
        self,
        sequence: int,
        answer: LocalAnswer,
        acquired: float,
        flags: tuple[str, ...] = (),
        *,
        audit: bool = False,
    ) -> tuple[PendingRequest, str, bytes]:
        """Make a request: what is to be remembered, topic and payload.

        The split point is the exit that the device stopped at: the last one that it runs, or an earlier one when a
        confident answer is audited.

        Raises
        ------
        CodecError
            When the features cannot be encoded.
        MessageTooLargeError
            When the payload is over the limit.
        """
        assert answer.features is not None
        split, bundle_id = answer.exit_index, self._manifest.bundle_id
        request = OffloadRequest(
            site=self._topics.site,
            device=self._topics.device,
            boot=self._boot,
            sequence=sequence,
            bundle=bundle_id,
            split=split,
            features=encode_handover(
                self._bundle, split, answer.features, raw=answer.raw, active=answer.active, codec=answer.codec
            ),
            state=self._manifest.state_layout.encode(answer.state),
            packed_state=True,
            provisional=Provisional(
                label=answer.label, probability=answer.probability, exit_index=answer.exit_index, known=answer.known
            ),
            audit=audit,
            deadline_ms=0 if audit else self._deadline_ms,
        )
        payload = pack_request(request, self._max_bytes)
        pending = PendingRequest(
            boot=self._boot,
            sequence=sequence,
            bundle=bundle_id,
            label=answer.label,
            class_name=answer.class_name,
            probability=answer.probability,
            exit_index=answer.exit_index,
            macs=answer.macs,
            local_us=answer.total_us,
            payload_bytes=len(payload),
            acquired=acquired,
            known=answer.known,
            audit=audit,
            flags=flags,
        )
        return pending, self._topics.offload(bundle_id, split), payload
