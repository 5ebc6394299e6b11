"""What the engine does alone: the same requests in a loop, decoded beforehand, without queue or network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from gateway.decoding import decode_tasks
from gateway.engine import OnnxEngine
from gateway.intake import check_request
from gateway.models import prepare
from gateway.requests import sample_requests
from gateway.step import run_step
from gateway.work import Task
from specnet.bundle import read_bundle
from specnet.mqtt import Incoming


def measure_bare(bundle_path: Path, seconds: float, batches: tuple[int, ...] = (1, 8, 64)) -> list[dict[str, Any]]:
    """Measure spectra a second for several batch sizes, early exits included.

    Parameters
    ----------
    bundle_path
        The bundle; requests are made of its self-test spectra.
    seconds
        How long for each batch size.
    batches
        Spectra computed together.

    Returns
    -------
    list of dict
        ``batch``, ``spectra_s``.
    """
    bundle, engine = read_bundle(bundle_path), OnnxEngine()
    model = prepare(engine, bundle, bundle_path)
    nothing = Incoming(topic="", payload=b"", qos=1, retain=False)
    requests = sample_requests(engine, model, bundle)
    works = [check_request(request, nothing, {model.bundle_id: model}.get) for request in requests]
    decoded, _ = decode_tasks([Task.of(work) for work in works])
    found = []
    for batch in batches:
        _loop(engine, decoded, batch, 0.1 * seconds)
        found.append({"batch": batch, "spectra_s": round(_loop(engine, decoded, batch, seconds), 1)})
    return found


def _loop(engine: OnnxEngine, decoded: list[Task], batch: int, seconds: float) -> float:
    done, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        chosen = (decoded[number % len(decoded)] for number in range(done, done + batch))
        tasks = [Task(one.work, one.segment, one.features, one.state) for one in chosen]
        while tasks:
            tasks = run_step(engine, tasks).staying
        done += batch
    return done / took
