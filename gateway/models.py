"""The model store: ``<store>/<name>/<version>/*.specnet``.

Several versions are served at once. A bundle whose file was removed stays in service while devices in the field ask for
it; where memory is limited the least recently used one is unloaded, and loaded again when a request comes for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from gateway.catalogue import BadBundle, Catalogue, StoredBundle, reason_of
from gateway.config import GatewaySettings
from gateway.engine import Engine, check_bundle, warm_up
from gateway.engines.precision import FLOAT32
from gateway.residency import Displace, Resident, Room, estimated_bytes
from specnet.bundle import Bundle
from specnet.codec import Codec
from specnet.errors import BundleError, EngineMemoryError
from specnet.manifest import Manifest
from specnet.preprocessing import BoundPipeline

GRACE_S = 86_400.0


class UnloadedModel(Exception):
    """A request for a bundle that is in the store, but not in memory at present: it is worth sending again."""


@dataclass(frozen=True)
class ServedModel:
    """A bundle in service: what the gateway needs to know beside the engine's segments.

    `codecs` decode features, `preprocess` takes raw spectra on the axis of the training spectra, `signer` is the id of
    the key that has signed it, where that is asked for.
    """

    manifest: Manifest
    path: Path
    deviation: float
    codecs: Mapping[str, Codec]
    preprocess: BoundPipeline
    precision: str = FLOAT32
    signer: str = ""

    @property
    def bundle_id(self) -> str:
        """Hash over the content."""
        return self.manifest.bundle_id

    @property
    def memory_bytes(self) -> int:
        """Estimated memory."""
        return estimated_bytes(self.manifest)


@dataclass(frozen=True)
class Unloaded:
    """A bundle that was unloaded, and why: ``removed``, ``memory`` or ``trust``."""

    model: ServedModel
    reason: str


@dataclass(frozen=True)
class Scan:
    """What a scan changed: bundles that are served now, files that were found bad, bundles that are served no more."""

    added: tuple[ServedModel, ...]
    bad: tuple[BadBundle, ...]
    unloaded: tuple[Unloaded, ...] = ()


class ModelStore:
    """Loads and checks the bundles of a folder; a bad one is skipped and never displaces a good one.

    A bundle is loaded when its file is first seen, newest versions of a name first, as far as there is room; later when
    a request comes for it. What has to make room goes only when the other one has passed its checks, so for a moment
    both are in memory. One that leaves takes no more requests, and is unloaded when those under way are done.

    One thread scans; any thread looks up.

    Parameters
    ----------
    root
        The store's folder.
    engine
        Runs the self-tests, and the requests later.
    max_batch
        Largest batch to warm the engine up with.
    trust_dir
        Keys, one of which must have signed a bundle; None for no signatures.
    room
        What there is room for.
    grace_s
        How long a bundle whose file was removed is served without a request, in seconds.
    in_use
        Whether requests for a bundle are under way.
    clock
        Monotonic seconds.

    Raises
    ------
    ConfigurationError
        When a folder is not there or nobody is trusted; `SignatureError` when a key cannot be used.
    """

    def __init__(
        self,
        root: Path | str,
        engine: Engine,
        *,
        max_batch: int = 1,
        trust_dir: Path | None = None,
        room: Room | None = None,
        grace_s: float = GRACE_S,
        in_use: Callable[[str], bool] = lambda bundle_id: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = Path(root)
        self.wake = threading.Event()
        """Set when somebody wants a bundle that is not loaded."""
        self._catalogue = Catalogue(self.root, trust_dir)
        self._engine = engine
        self._max_batch = max_batch
        self._room = room or Room()
        self._grace_s = grace_s
        self._in_use = in_use
        self._clock = clock
        # for what the scanning thread and those that look up share
        self._lock = threading.Lock()
        self._models: dict[str, ServedModel] = {}
        self._stored: Mapping[str, StoredBundle] = {}
        # in the order in which they were first asked for, so that each has its turn
        self._wanted: dict[str, None] = {}
        self._used: dict[str, float] = {}
        # the scanning thread's own
        self._stays_until: dict[str, float] = {}
        self._removed: dict[str, float] = {}
        self._leaving: dict[str, Unloaded] = {}
        self._considered: set[str] = set()

    @classmethod
    def of(
        cls,
        settings: GatewaySettings,
        engine: Engine,
        *,
        max_batch: int = 1,
        room: Room | None = None,
        in_use: Callable[[str], bool] = lambda bundle_id: False,
    ) -> Self:
        """Open the store of a gateway's settings; without `room` all of it is loaded, to look at it."""
        return cls(
            settings.store,
            engine,
            max_batch=max_batch,
            trust_dir=Path(settings.trust_dir) if settings.trust_dir else None,
            room=room,
            grace_s=settings.model_grace_s,
            in_use=in_use,
        )

    # ------------------------------------------------------------------ any thread

    @property
    def models(self) -> list[ServedModel]:
        """All bundles in service, by name and version."""
        with self._lock:
            served = list(self._models.values())
        return sorted(served, key=lambda model: (model.manifest.name, model.manifest.version))

    @property
    def memory_bytes(self) -> int:
        """Estimated memory of the bundles in service."""
        return sum(model.memory_bytes for model in self.models)

    @property
    def leaving(self) -> bool:
        """Whether a bundle waits for its last requests; then scan soon again."""
        return bool(self._leaving)

    def get(self, bundle_id: str) -> ServedModel | None:
        """Return the served bundle of this id, or None."""
        return self._models.get(bundle_id)

    def find(self, bundle_id: str) -> ServedModel | None:
        """Return the bundle that a request is for, or None when the store has none of this id.

        Raises
        ------
        UnloadedModel
            When it has to be loaded first, which the scanning thread is told to do.
        """
        with self._lock:
            model = self._models.get(bundle_id)
            if model is not None:
                self._used[bundle_id] = self._clock()
                return model
            if bundle_id not in self._stored:
                return None
            if bundle_id not in self._wanted:
                self._wanted[bundle_id] = None
                self.wake.set()
        raise UnloadedModel(f"bundle {bundle_id} is being loaded")

    # ------------------------------------------------------------------ the scanning thread

    def rescan(self) -> Scan:
        """Load what is new or wanted, and unload what has been removed or has to make room.

        Raises
        ------
        SignatureError, ConfigurationError
            When a trusted key cannot be used any more, or the folder of keys is gone; everything is then as it was.
        """
        bad = self._catalogue.look()
        self._publish_catalogue()
        self._retire_removed()
        unloaded = self._unload_drained()
        added: list[ServedModel] = []
        for stored, displace in list(self._candidates()):
            try:
                model = self._load(stored, displace)
            # a damaged graph can fail in a library in ways that have no common base
            except Exception as error:
                bad.append(BadBundle(stored.path, reason_of(error)))
                self._give_up(stored, error)
            else:
                if model is not None:
                    added.append(model)
        unloaded += self._unload_drained()
        return Scan(tuple(added), tuple(bad), tuple(unloaded))

    def _publish_catalogue(self) -> None:
        stored = self._catalogue.bundles
        self._considered &= set(stored)
        with self._lock:
            self._stored = stored
            self._wanted = {bundle_id: None for bundle_id in self._wanted if bundle_id in stored}
            self._used = {bundle_id: used for bundle_id, used in self._used.items() if bundle_id in self._models}

    def _candidates(self) -> Iterator[tuple[StoredBundle, Displace]]:
        """Give what to load, with what it may displace: what requests wait for, then what is new."""
        with self._lock:
            wanted = list(self._wanted)
        for bundle_id in wanted:
            self._considered.add(bundle_id)
            yield self._stored[bundle_id], Displace.ANY
        newest = self._newest()
        new = [stored for stored in self._stored.values() if stored.bundle_id not in self._considered]
        for stored in sorted(new, key=lambda s: (s.bundle_id not in newest, -s.version, s.name, s.bundle_id)):
            self._considered.add(stored.bundle_id)
            yield stored, Displace.OLDER if stored.bundle_id in newest else Displace.NOTHING

    def _newest(self) -> set[str]:
        """Ids of the highest version of each name, among what is stored and what is served."""
        highest: dict[str, tuple[int, str]] = {}
        served = [(m.manifest.name, m.manifest.version, m.bundle_id) for m in self.models]
        stored = [(s.name, s.version, s.bundle_id) for s in self._stored.values()]
        for name, version, bundle_id in served + stored:
            highest[name] = max(highest.get(name, (0, "")), (version, bundle_id))
        return {bundle_id for _, bundle_id in highest.values()}

    def _load(self, stored: StoredBundle, displace: Displace) -> ServedModel | None:
        """Load a bundle unless it is there, or there is no room."""
        if stored.bundle_id in self._models:
            return None
        if not self._room.holds(stored.size_bytes):
            raise BundleError(
                f"{stored.path} takes about {stored.size_bytes} bytes, max_model_bytes is {self._room.max_bytes}"
            )
        victims = self._room.make(stored.size_bytes, self._residents(), displace, self._clock())
        if victims is None:
            return None
        back = self._leaving.pop(stored.bundle_id, None)
        if back is None:
            bundle = self._catalogue.read(stored)
            model = replace(prepare(self._engine, bundle, stored.path, self._max_batch), signer=stored.signer)
        else:
            model = replace(back.model, signer=stored.signer)
        self._now_served(model, self._room.stay_s if displace is Displace.ANY else 0.0)
        for victim in victims:
            self._retire(victim.bundle_id, "memory")
        return None if back else model

    def _now_served(self, model: ServedModel, stay_s: float) -> None:
        bundle_id, now = model.bundle_id, self._clock()
        with self._lock:
            self._wanted.pop(bundle_id, None)
            self._models[bundle_id] = model
            self._used[bundle_id] = now
            self._stays_until[bundle_id] = now + stay_s

    def _residents(self) -> list[Resident]:
        newest = self._newest()
        with self._lock:
            return [
                Resident(key, model.memory_bytes, key in newest, self._used[key], self._stays_until[key])
                for key, model in self._models.items()
            ]

    def _give_up(self, stored: StoredBundle, error: Exception) -> None:
        # that there is no memory now says nothing of the bundle; the next request for it tries again
        if not isinstance(error, EngineMemoryError):
            self._catalogue.reject(stored)
        self._publish_catalogue()
        with self._lock:
            self._wanted.pop(stored.bundle_id, None)

    def _retire_removed(self) -> None:
        now = self._clock()
        for model in self.models:
            bundle_id = model.bundle_id
            stored = self._stored.get(bundle_id)
            # it may have been signed anew since it was loaded
            if not self._catalogue.trusts(model.signer if stored is None else stored.signer):
                self._retire(bundle_id, "trust")
            elif stored is not None:
                self._removed.pop(bundle_id, None)
            elif now - max(self._removed.setdefault(bundle_id, now), self._used[bundle_id]) >= self._grace_s:
                self._retire(bundle_id, "removed")

    def _retire(self, bundle_id: str, reason: str) -> None:
        """Hand a bundle out no more; it is unloaded when no request for it is under way."""
        with self._lock:
            self._leaving[bundle_id] = Unloaded(self._models.pop(bundle_id), reason)
        self._removed.pop(bundle_id, None)
        del self._stays_until[bundle_id]

    def _unload_drained(self) -> list[Unloaded]:
        drained = [unloaded for bundle_id, unloaded in self._leaving.items() if not self._in_use(bundle_id)]
        for unloaded in drained:
            del self._leaving[unloaded.model.bundle_id]
            self._engine.unload(unloaded.model.bundle_id)
        return drained


def prepare(engine: Engine, bundle: Bundle, path: Path, max_batch: int = 1) -> ServedModel:
    """Load a bundle into an engine and check it there; when it fails the engine has forgotten it.

    Raises
    ------
    BundleError
        When it does not load or its self-test fails; `ModelError` when its weights do not fit its architecture.
    EngineMemoryError
        When there is no memory for it.
    """
    try:
        engine.load(bundle)
        deviation = check_bundle(engine, bundle)
        warm_up(engine, bundle, max_batch)
    except BaseException:
        engine.unload(bundle.bundle_id)
        raise
    preprocess = bundle.pipeline.bind(bundle.source_axis)
    precision = engine.precision(bundle.bundle_id)
    return ServedModel(bundle.manifest, path, deviation, bundle.codecs, preprocess, precision)
