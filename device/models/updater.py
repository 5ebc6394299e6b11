"""Updates over the network: an announcement is verified, the model fetched, checked and activated, in one thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from device.config import DeviceConfiguration
from device.models.http_source import HttpSource
from device.models.installing import Installer
from device.models.mqtt_source import PartSource
from device.models.news import News
from device.models.pace import FetchInterruptedError, Pace
from device.models.partial import PartialFile
from device.models.starting import OpenedModel
from device.models.store import ModelStore, RefusedModelError
from specnet.errors import BundleError, ModelStoreError, SignatureError, SpecnetError, WireError
from specnet.mqtt import Incoming
from specnet.signing import has_keys, require_library
from specnet.wire import MAX_ANNOUNCEMENT_BYTES, ModelAnnouncement, Topics, decode

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 5.0
MAX_PAUSE_S = 6 * 3600.0
PROGRESS_STEP = 0.1
BETWEEN_S = 1.0


@dataclass(frozen=True)
class _Task:
    """An announcement as it came."""

    topic: str
    payload: bytes


class ModelUpdater:
    """Obeys announcements; one thread does everything that takes time.

    Parameters
    ----------
    configuration
        Trust, limits and instrument of the device.
    store
        Its models.
    opened
        The model in use.
    publish
        Sends a payload to a topic, False when that is not possible now.
    news
        Told what becomes of updates.
    first_pause_s
        Pause after the first failure that may pass, in seconds; it doubles up to six hours.
    """

    def __init__(
        self,
        configuration: DeviceConfiguration,
        store: ModelStore,
        opened: OpenedModel,
        publish: Callable[[str, bytes], bool],
        news: News,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        settings = configuration.models
        self._settings = settings
        self._topics: Topics = configuration.topics
        self._store = store
        self._opened = opened
        self._name = settings.name or opened.bundle.manifest.name
        self._news = news
        self._first_pause_s = first_pause_s
        self._installer = Installer(configuration, store)
        self._parts = PartSource(lambda payload: publish(self._topics.model_request, payload), settings.part_bytes)
        self._http = HttpSource(settings.ca_file)
        self._wake = threading.Condition()
        self._announced: dict[str, bytes] = {}
        self._done: dict[str, bytes] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="models", daemon=True)

    @staticmethod
    def wanted(configuration: DeviceConfiguration) -> bool:
        """Whether updates over the network are to be had: somebody must be trusted, and signatures be verifiable.

        A node whose software lacks the library says so and goes on without: spectra matter more than updates.
        """
        settings = configuration.models
        if not settings.remote or not settings.trust_dir or not has_keys(settings.trust_dir):
            return False
        try:
            require_library()
        except SignatureError as error:
            logger.error("no updates over the network, though models.trust_dir has keys: %s", error)
            return False
        return True

    @property
    def counters(self) -> Mapping[str, int]:
        """Parts and bytes that were asked for, came, were late or damaged."""
        return MappingProxyType({**self._parts.counters, **self._http.counters})

    @property
    def routes(self) -> dict[str, Callable[[Incoming], None]]:
        """Topics to subscribe to, and who takes their messages; none of them waits."""
        return {
            self._topics.model: self._take_announcement,
            self._topics.site_model: self._take_announcement,
            self._topics.model_part: lambda incoming: self._parts.receive(incoming.payload),
        }

    def start(self) -> None:
        """Begin to listen to announcements."""
        self._thread.start()

    def stop(self, timeout: float = 2.0) -> None:
        """End; what was fetched so far is on disk. A check that runs is not waited for."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    # ---- in the session's thread

    def _take_announcement(self, incoming: Incoming) -> None:
        with self._wake:
            if len(incoming.payload) > MAX_ANNOUNCEMENT_BYTES:
                logger.warning("an announcement of %d bytes is ignored", len(incoming.payload))
            elif self._announced.get(incoming.topic) != incoming.payload:
                # an empty payload takes an announcement back
                self._announced[incoming.topic] = incoming.payload
                self._wake.notify_all()

    # ---- in the updater's own thread

    def _work(self) -> None:
        pause = self._first_pause_s
        while not self._stopping:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._next() is not None)
                task = self._next()
            if task is None:
                continue
            try:
                finished = self._obey(task)
            except Exception:
                logger.exception("unexpected error with an announced model")
                finished = False
            if finished:
                pause = self._first_pause_s
                self._done[task.topic] = task.payload
                # whoever floods the topic gets one verification now and then
                self._rest(BETWEEN_S, task)
            elif self._superseded(task):
                pause = self._first_pause_s
            else:
                self._rest(pause, task)
                pause = min(2 * pause, MAX_PAUSE_S)

    def _rest(self, seconds: float, task: _Task) -> None:
        with self._wake:
            if task.payload == self._done.get(task.topic):
                self._wake.wait_for(lambda: self._stopping, seconds)
            else:
                self._wake.wait_for(lambda: self._stopping or self._next() != task, seconds)

    def _next(self) -> _Task | None:
        """Announcement to obey; one for this device goes before one for the site. The lock is held."""
        for topic in (self._topics.model, self._topics.site_model):
            payload = self._announced.get(topic)
            if payload:
                # finished with: one for the site must not come into effect for that
                return None if payload == self._done.get(topic) else _Task(topic, payload)
        return None

    def _superseded(self, task: _Task) -> bool:
        with self._wake:
            return self._stopping or self._next() != task

    def _obey(self, task: _Task) -> bool:
        """Try an announcement; False when it may succeed another time."""
        label, sha256 = "", ""
        try:
            announcement = decode(ModelAnnouncement, task.payload, MAX_ANNOUNCEMENT_BYTES)
            label, sha256 = f"{announcement.name}/{announcement.version}", announcement.sha256
            if self._is_in_use(announcement):
                return True
            self._check(announcement)
        except (WireError, BundleError, RefusedModelError) as error:
            self._news.tell("refused", label, detail=str(error))
            return True
        except ModelStoreError as error:
            self._news.tell("failed", label, detail=str(error))
            return False
        try:
            self._update(announcement, task, label)
        except FetchInterruptedError:
            return False
        except BundleError as error:
            self._store.refuse(label, sha256, str(error))
            self._news.tell("refused", label, detail=str(error))
            return True
        except (SpecnetError, OSError) as error:
            self._news.tell("failed", label, detail=str(error))
            return False
        return True

    def _is_in_use(self, announcement: ModelAnnouncement) -> bool:
        active = self._store.state.active
        if active is not None:
            return active.sha256 == announcement.sha256
        manifest = self._opened.bundle.manifest
        return (manifest.name, manifest.version) == (announcement.name, announcement.version)

    def _check(self, announcement: ModelAnnouncement) -> None:
        """Find out, before anything is fetched, whether a trusted signer vouches for what is announced."""
        if announcement.name != self._name:
            raise RefusedModelError(
                f"announced is model {announcement.name}, this device takes updates of {self._name}"
            )
        if announcement.size > self._settings.max_bytes:
            raise RefusedModelError(f"the bundle has {announcement.size} bytes, models.max_bytes is less")
        self._store.check_acceptable(announcement.name, announcement.version, announcement.sha256)
        claim = self._installer.checker.verify_signature(announcement.signature)
        signed = (claim.name, claim.version, claim.size, claim.sha256)
        announced = (announcement.name, announcement.version, announcement.size, announcement.sha256)
        if signed != announced:
            raise BundleError(f"the signature is for {signed}, announced is {announced}")

    def _update(self, announcement: ModelAnnouncement, task: _Task, label: str) -> None:
        record = next((r for r in self._store.installed() if r.sha256 == announcement.sha256), None)
        if record is None:
            self._installer.check_room(2 * announcement.size)
            with PartialFile(self._store.root, announcement.sha256, announcement.size) as partial:
                path = self._fetch(partial, announcement, task, label)
                self._news.tell("checking", label, progress=1.0)
                record = self._installer.install_file(path, announcement.signature)
                partial.discard()
        self._store.activate(record)
        self._news.tell("activated", label, progress=1.0)

    def _fetch(self, partial: PartialFile, announcement: ModelAnnouncement, task: _Task, label: str) -> Path:
        told = -1.0

        def interrupted() -> bool:
            nonlocal told
            progress = partial.received / partial.size
            if progress >= told + PROGRESS_STEP:
                told = progress
                self._news.tell("fetching", label, progress=progress)
            return self._superseded(task)

        pace = Pace(self._settings.rate_bytes_s, interrupted)
        if announcement.url and announcement.url.startswith(self._settings.url_prefixes):
            self._http.fetch(partial, announcement.url, pace)
        else:
            self._parts.fetch(partial, announcement.sha256, announcement.part_bytes, pace)
        try:
            return partial.finish()
        except BundleError as error:
            # not the bundle's fault but that of the way: what was signed may come yet
            raise ModelStoreError(str(error)) from error
