"""Requests as devices would send them, made from a bundle's self-test vectors."""

from __future__ import annotations

import numpy as np

from gateway.engine import Engine, Float32
from gateway.models import ServedModel
from specnet.bundle import Bundle
from specnet.errors import BundleIntegrityError
from specnet.handover import encode_handover
from specnet.wire import OffloadRequest, Provisional

USUAL_SPLIT = 1
"""Where a device splits unless it is told otherwise; a bundle of one stage can only be split at 0."""


def prepared_vectors(bundle: Bundle) -> Float32:
    """Self-test spectra ``(n, points, 1)`` as segment 1 takes them; `BundleIntegrityError` when there are none."""
    intensity = bundle.selftest().get("intensity")
    if intensity is None or intensity.ndim != 2 or not len(intensity):
        raise BundleIntegrityError(f"bundle {bundle.bundle_id} has no self-test spectra")
    return bundle.pipeline.bind(bundle.source_axis)(intensity)[..., np.newaxis]


def sample_requests(engine: Engine, model: ServedModel, bundle: Bundle) -> list[OffloadRequest]:
    """Make one request for each self-test spectrum that is uncertain at the split; for every one when none is.

    Parameters
    ----------
    engine
        Has loaded the bundle; it does the device's share here.
    model, bundle
        What the requests are for.

    Raises
    ------
    BundleIntegrityError
        When the bundle has no self-test spectra; `CodecError` when their features cannot be encoded.
    """
    manifest = model.manifest
    split, policy = min(USUAL_SPLIT, manifest.n_stages - 1), manifest.policy
    features, raw = prepared_vectors(bundle), bundle.selftest()["intensity"]
    state = policy.initial_state(len(features), len(manifest.classes))
    for index in range(split + 1):
        output = engine.run(model.bundle_id, index, features)
        decision = policy.decide(index, output.logits, state)
        state = decision.state
        features = features if output.features is None else output.features
    uncertain = np.flatnonzero(~decision.leave)
    rows = uncertain if uncertain.size else np.arange(len(features))
    labels = decision.probabilities.argmax(axis=1)
    return [
        OffloadRequest(
            site="profile",
            device="profile",
            boot=1,
            sequence=int(row),
            bundle=model.bundle_id,
            split=split,
            features=encode_handover(
                bundle,
                split,
                features[row],
                raw=raw[row],
                active=None if output.depth is None else output.depth[row] > 0,
            ),
            state=manifest.state_layout.encode(state[row]),
            packed_state=True,
            provisional=Provisional(
                label=int(labels[row]),
                probability=min(1.0, float(decision.probabilities[row, labels[row]])),
                exit_index=split,
            ),
        )
        for row in rows
    ]
