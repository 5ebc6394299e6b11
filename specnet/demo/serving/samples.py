"""Requests that load generators send: what devices would send of a bundle's own self-test spectra."""

from __future__ import annotations

from pathlib import Path

from gateway.engine import OnnxEngine
from gateway.models import prepare
from gateway.requests import sample_requests
from specnet.bundle import read_bundle
from specnet.wire import OffloadRequest


def read_samples(bundle_path: Path) -> list[OffloadRequest]:
    """Make one request for each self-test spectrum that is uncertain at the usual split point.

    Raises
    ------
    BundleError
        When the bundle is damaged or has no self-test spectra.
    """
    bundle, engine = read_bundle(bundle_path), OnnxEngine()
    model = prepare(engine, bundle, bundle_path)
    return sample_requests(engine, model, bundle)
