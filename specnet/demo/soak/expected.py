"""Requests about a bundle's own spectra, and what a gateway has to say of each: its own code, one at a time."""

from __future__ import annotations

from pathlib import Path

from gateway.decoding import decode_tasks
from gateway.engine import OnnxEngine
from gateway.intake import check_request
from gateway.models import prepare
from gateway.requests import sample_requests
from gateway.step import run_step
from gateway.work import Task
from specnet.bundle import read_bundle
from specnet.demo.soak.ledger import Said
from specnet.mqtt import Incoming
from specnet.wire import OffloadRequest

_NOTHING = Incoming(topic="", payload=b"", qos=1, retain=False)


def expected_answers(bundle_path: Path) -> tuple[list[OffloadRequest], list[Said]]:
    """Make one request for each self-test spectrum that is uncertain at the usual split point, and compute its answer.

    Raises
    ------
    BundleError
        When the bundle is damaged or has no self-test spectra.
    """
    bundle, engine = read_bundle(bundle_path), OnnxEngine()
    model = prepare(engine, bundle, bundle_path)
    requests = sample_requests(engine, model, bundle)
    works = [check_request(request, _NOTHING, {model.bundle_id: model}.get) for request in requests]
    tasks, refused = decode_tasks([Task.of(work) for work in works])
    for _, refusal in refused:
        raise refusal
    said = []
    for task in tasks:
        answered = []
        staying = [task]
        while staying:
            step = run_step(engine, staying)
            answered, staying = step.answered, step.staying
        [(_, answer)] = answered
        said.append(
            Said(answer.label, answer.exit_index, task.macs, answer.known, model.bundle_id, "", answer.probability)
        )
    return requests, said
