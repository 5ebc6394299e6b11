"""Giving out a model: a small retained announcement, and parts for devices that ask for them.

The broker holds nothing but the announcement. Parts are published one for each request, on the topic of the device
that asked, so that a device's own pace bounds what is under way.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from gateway.logs import RateLimitedLog
from specnet.bundle import Bundle
from specnet.errors import ConfigurationError, SignatureError, SpecnetError, WireError
from specnet.files import read_bounded
from specnet.mqtt import Incoming
from specnet.signing import MAX_SIGNATURE_BYTES, TrustedKeys, check_bundle_bytes, decode_signature, read_limited
from specnet.wire import (
    MAX_PART_REQUEST_BYTES,
    ModelAnnouncement,
    ModelState,
    Part,
    PartRequest,
    Topics,
    decode,
    encode,
    model_request_filter,
    model_state_filter,
    parse_model_request_topic,
    site_model_topic,
)

_LOGGER = logging.getLogger(__name__)
PART_BYTES = 65_536
PART_EXPIRY_S = 60
MAX_STATE_BYTES = 8192
MAX_DEVICES = 10_000


class Session(Protocol):
    """What a publisher needs of an MQTT session."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, expiry_s: int | None = None) -> bool:
        """Hand a message over; False when that is not possible now."""

    def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        """Subscribe."""


@dataclass(frozen=True)
class PublishedModel:
    """A bundle in memory with its announcement."""

    data: bytes
    bundle: Bundle
    announcement: ModelAnnouncement


def prepare_model(
    bundle: Path, signature: Path, *, trust: Path | None = None, url: str = "", part_bytes: int = PART_BYTES
) -> PublishedModel:
    """Read a bundle and its signature, and make the announcement.

    Parameters
    ----------
    bundle, signature
        The files.
    trust
        Public keys to verify the signature with, as devices will; None checks only that it is of this bundle.
    url
        Where devices may fetch the same file over HTTP(S).
    part_bytes
        Longest part to give out.

    Raises
    ------
    BundleError
        When the bundle is damaged; `SignatureError` when the signature is of another one or not trusted.
    ConfigurationError
        When the address or the length of parts is over its limit.
    """
    document = read_bounded(signature, MAX_SIGNATURE_BYTES, "signature", SignatureError)
    claim = decode_signature(document, f"signature {signature}")
    if trust is not None:
        TrustedKeys(trust).verify(claim)
    data = read_limited(bundle)
    parsed = check_bundle_bytes(data, claim, str(bundle))
    try:
        announcement = ModelAnnouncement(
            name=claim.name,
            version=claim.version,
            size=claim.size,
            sha256=claim.sha256,
            part_bytes=part_bytes,
            signature=document,
            url=url,
        )
    except ValueError as error:
        raise ConfigurationError(f"the model cannot be announced: {error}") from error
    return PublishedModel(data, parsed, announcement)


class BundlePublisher:
    """Announces one model to a site or a device and answers requests for parts.

    `handle` runs in the session's thread and never waits: what cannot be sent now, the device asks for again.

    Parameters
    ----------
    model
        What to give out.
    site, device
        To whom it is announced; without a device, to all of the site.
    """

    def __init__(self, model: PublishedModel, site: str, device: str | None = None) -> None:
        self._session: Session | None = None
        self._model = model
        self._site = site
        self._topic = site_model_topic(site) if device is None else Topics(site, device).model
        self._log = RateLimitedLog(_LOGGER)
        self._lock = threading.Lock()
        self._counters: Counter[str] = Counter()
        self._states: dict[str, ModelState] = {}

    def attach(self, session: Session) -> None:
        """Work with a session, which is not started yet, and whose messages go to `handle`."""
        self._session = session
        session.subscribe(model_request_filter(self._site))
        session.subscribe(model_state_filter(self._site))

    @property
    def counters(self) -> Mapping[str, int]:
        """Requests, parts and bytes given out, what was refused and what could not be sent."""
        with self._lock:
            return MappingProxyType(dict(self._counters))

    @property
    def states(self) -> Mapping[str, ModelState]:
        """What devices say of their models, by device."""
        with self._lock:
            return MappingProxyType(dict(self._states))

    def announce(self) -> bool:
        """Publish the announcement, retained; called after each connect. False when that is not possible now."""
        return self._publish(self._topic, encode(self._model.announcement), retain=True)

    def withdraw(self) -> bool:
        """Take the announcement back; devices that have the model keep it."""
        return self._publish(self._topic, b"", retain=True)

    def handle(self, incoming: Incoming) -> None:
        """Take a message; those of other topics are none of a publisher's."""
        try:
            if incoming.topic.endswith("/model/state"):
                self._note_state(incoming)
            elif incoming.topic.endswith("/model/get"):
                self._answer(incoming)
        except SpecnetError as error:
            self._count("refused")
            self._log.warning("a message was refused", reason="refused", topic=incoming.topic, error=error)

    def _answer(self, incoming: Incoming) -> None:
        topics = parse_model_request_topic(incoming.topic)
        if topics.site != self._site:
            raise WireError(f"site is {topics.site!r}, served is {self._site!r}")
        request = decode(PartRequest, incoming.payload, MAX_PART_REQUEST_BYTES)
        if request.sha256 != self._model.announcement.sha256:
            self._count("of_other_models")  # another publisher's
            return
        self._count("requests")
        part = self._part(request)
        # a part that waits longer is asked for again
        sent = self._publish(topics.model_part, encode(part), expiry_s=PART_EXPIRY_S)
        with self._lock:
            self._counters["parts" if sent else "congested"] += 1
            self._counters["bytes"] += len(part.data) if sent else 0

    def _part(self, request: PartRequest) -> Part:
        announcement = self._model.announcement
        if request.length > announcement.part_bytes or request.offset + request.length > announcement.size:
            error = f"parts have at most {announcement.part_bytes} bytes, the file {announcement.size}"
            return Part(sha256=request.sha256, offset=request.offset, error=error)
        data = self._model.data[request.offset : request.offset + request.length]
        return Part(sha256=request.sha256, offset=request.offset, data=data, checksum=zlib.crc32(data))

    def _note_state(self, incoming: Incoming) -> None:
        state = decode(ModelState, incoming.payload, MAX_STATE_BYTES)
        if incoming.topic != Topics(self._site, state.device).model_state:
            raise WireError(f"device {state.device!r} speaks on the topic of another one")
        with self._lock:
            if state.device in self._states or len(self._states) < MAX_DEVICES:
                self._states[state.device] = state

    def _publish(self, topic: str, payload: bytes, *, retain: bool = False, expiry_s: int | None = None) -> bool:
        session = self._session
        return session is not None and session.publish(topic, payload, retain=retain, expiry_s=expiry_s)

    def _count(self, what: str) -> None:
        with self._lock:
            self._counters[what] += 1
