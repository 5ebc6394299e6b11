"""A whole `GatewayProfile` of this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from gateway.config import GatewaySettings
from gateway.engine import Engine, EngineSettings, create_engine
from gateway.load import LoadTest
from gateway.models import ModelStore, ServedModel
from gateway.requests import prepared_vectors, sample_requests
from specnet.bundle import Bundle, read_bundle
from specnet.errors import ConfigurationError
from specnet.profiles import GatewayProfile, Load, Quantiles
from specnet.profiles.fields import check_text, now

WARM_UP = 10
CALLS = 200
REST_S = 0.02
"""Usual pause before each single call and request: requests of sensors do not come in a loop that keeps the caches
warm, and the pause doubles what small segments take."""
BATCHES = (8, 64)
MOST_S = 20.0
"""A batch that is slow is called less often than `CALLS` times, but at least `FEWEST` times."""
FEWEST = 10


def measure_gateway(
    settings: GatewaySettings,
    wanted: str,
    shares: Sequence[float],
    n_requests: int,
    *,
    seed: int = 0,
    rest_s: float = REST_S,
    progress: Callable[[str], None] = lambda text: None,
) -> GatewayProfile:
    """Time the segments of a bundle in the engine that would serve it, and what load does to requests.

    Parameters
    ----------
    settings
        Store, engine and batches, as for serving.
    wanted
        Id of a bundle of the store, or its name: then the highest version.
    shares
        Loads, as shares of the capacity that is measured first.
    n_requests
        Requests for each load.
    seed
        Of the moments at which requests come.
    rest_s
        Pause before each single call and request, in seconds.
    progress
        Told what is being done.

    Raises
    ------
    ConfigurationError
        When store or engine cannot be used, or the bundle is not there.
    BundleIntegrityError
        When the bundle has no self-test vectors; `ModelError` when a request cannot be computed.
    ProfileError
        When the gateway's name is none that a profile may have.
    """
    check_text("name", settings.name)
    progress("loading")
    engine = create_engine(EngineSettings.of(settings))
    model = _find(ModelStore.of(settings, engine, max_batch=settings.max_batch), wanted)
    bundle = read_bundle(model.path)
    singles = _segments(engine, bundle, 1, rest_s, progress)
    sizes = [size for size in BATCHES if size <= settings.max_batch]
    batches = [_segments(engine, bundle, size, 0.0, progress) for size in sizes]
    requests = sample_requests(engine, model, bundle)
    test = LoadTest(engine, model, requests, settings)
    handling = test.alone(CALLS, rest_s, lambda done: progress(f"requests, one by one: {done}"))
    loads: list[Load] = []
    if shares:
        progress("capacity")
        capacity = max(test.capacity(n_requests) for _ in range(2))
        rng = np.random.default_rng(seed)
        for share in sorted(shares):
            progress(f"load {share:.0%} of {capacity:.0f} requests/s")
            loads.append(test.under_load(share, capacity, n_requests, rng))
    return GatewayProfile(
        name=settings.name,
        created=now(),
        bundle=bundle.bundle_id,
        engine=engine.name if settings.threads == 1 else f"{engine.name}, {settings.threads} threads",
        max_batch=settings.max_batch,
        segments_us=singles,
        handling_us=Quantiles.of(handling),
        batch_us={str(size): times for size, times in zip(BATCHES, batches, strict=False)},
        loads=tuple(sorted(loads, key=lambda load: load.requests_s)),
    )


def _find(store: ModelStore, wanted: str) -> ServedModel:
    bad = store.rescan().bad
    by_id = store.get(wanted)
    if by_id is not None:
        return by_id
    # in ascending order of their versions
    named = [model for model in store.models if model.manifest.name == wanted]
    if named:
        return named[-1]
    found = [f"{model.manifest.name} ({model.bundle_id})" for model in store.models]
    reasons = "".join(f"; not usable: {broken.reason}" for broken in bad)
    raise ConfigurationError(
        f"store {str(store.root)!r} has no bundle {wanted[:80]!r}; it has {', '.join(found) or 'none'}{reasons}"
    )


def _segments(
    engine: Engine, bundle: Bundle, size: int, rest_s: float, progress: Callable[[str], None]
) -> dict[str, Quantiles]:
    """Microseconds of each segment from 1 on, for batches of self-test spectra."""
    vectors = prepared_vectors(bundle)
    times: dict[str, list[float]] = {str(index): [] for index in range(1, len(bundle.manifest.segments))}
    end = time.perf_counter() + MOST_S
    for number in range(WARM_UP + CALLS):
        if number >= WARM_UP + FEWEST and time.perf_counter() > end:
            break
        if number % FEWEST == 0:
            progress(f"segments, batch {size}: {number} of {WARM_UP + CALLS}")
        features = vectors[np.arange(number * size, (number + 1) * size) % len(vectors)]
        for index, samples in times.items():
            time.sleep(rest_s)
            before = time.perf_counter()
            output = engine.run(bundle.bundle_id, int(index), features)
            if number >= WARM_UP:
                samples.append((time.perf_counter() - before) * 1e6)
            features = features if output.features is None else output.features
    return {index: Quantiles.of(samples) for index, samples in times.items()}
