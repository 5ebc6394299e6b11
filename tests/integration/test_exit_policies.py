"""Every exit policy on the whole path: device, request as bytes, gateway; the answer is that of the whole network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support_bundle import CLASSES, N_POINTS, make_bundle, spectra
from support_gateway import answers_of, decoded

from device.classifier import LocalAnswer, LocalClassifier
from device.offloading import RequestMaker
from device.spectrometers.axis import PixelAxis
from gateway.engine import OnnxEngine
from gateway.intake import RefusedRequest, check_request
from gateway.models import prepare
from specnet.bundle import parse_bundle, read_bundle, write_bundle
from specnet.errors import BundleError, BundleIntegrityError
from specnet.exits import COMBINERS, REJECT_SCORES, SCORES, ExitPolicy
from specnet.manifest import MANIFEST
from specnet.mqtt import Incoming
from specnet.runtime import Predictor
from specnet.stored_zip import stored_zip
from specnet.wire import Answer, Provisional, Result, Topics, decode, encode, parse_offload_topic, unpack_request

PARAMETERS = {
    "geometric": ((0.0, 1.0), (0.5, 0.8), (0.7, 0.6), (1.0, 0.3)),
    "schedule": ((3.0, 2.0, 0.0, -2.5), (3.0, 1.0, 0.5, -2.5), (2.0, 1.0, 0.5, -2.0), (1.0,) * 4),
    "joint_gate": ((2.0, 2.0, 1.0, 0.5, -3.0),) * 4,
    "gate": ((3.0, 1.0, 1.0, 0.0, -3.2), (3.0, 1.0, 1.0, 0.5, -3.4), (2.0, 1.0, 1.0, 0.5, -2.6), (1.0,) * 5),
}
THRESHOLDS = {"product": (0.97, 0.97, 0.97, 0.0)}
"""Of combiners that are surer than others."""
USUAL_THRESHOLDS = (0.72, 0.66, 0.6, 0.0)
BIASES = ((0.2, -0.1, -0.1), (-0.3, 0.2, 0.1), (0.1, 0.1, -0.2), (0.0, -0.2, 0.2))
"""Of classes, at the exits of additive policies."""
REJECT_THRESHOLDS = {"improbability": 0.2, "energy": -1.6}
POLICIES = [
    ExitPolicy(
        temperatures=(1.0, 1.2, 0.9, 1.0),
        thresholds=THRESHOLDS.get(combiner, USUAL_THRESHOLDS),
        combiner=combiner,
        combiner_parameters=PARAMETERS.get(combiner, ()),
        score=score,
        score_parameters=PARAMETERS.get(score, ()),
        additive=additive,
        reject=reject,
        reject_threshold=REJECT_THRESHOLDS[reject],
        biases=BIASES if additive else (),
    )
    for combiner in COMBINERS
    for score in SCORES
    for additive, reject in zip((False, True), REJECT_SCORES, strict=True)
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: f"{p.combiner}-{p.score}{'-additive' * p.additive}")
def test_device_and_gateway_give_the_answers_of_the_whole_network(policy: ExitPolicy, tmp_path: Path) -> None:
    path = tmp_path / "hand.specnet"
    make_bundle(path, policy=policy)
    bundle, engine, measured = read_bundle(path), OnnxEngine(), spectra(40)
    model = prepare(engine, bundle, path)
    expected = Predictor(bundle).predict(measured)
    assert 0 < int(expected.known.sum()) < 40, "some should be known and some not"
    pixels = PixelAxis(bundle.source_axis, np.arange(N_POINTS))
    for split in range(3):
        device = LocalClassifier(bundle, pixels, split)
        maker = RequestMaker(Topics("lab", "probe-1"), 1, bundle, 5.0, 262_144)
        offloaded = agreeing = 0
        for row, spectrum in enumerate(measured):
            answer = device.classify(spectrum)
            assert isinstance(answer, LocalAnswer)
            found = answer.label, answer.exit_index, answer.known
            if not answer.confident:
                pending, topic, payload = maker.make(row, answer, 0.0)
                request = unpack_request(payload, parse_offload_topic(topic))
                assert request.provisional is not None
                assert pending.known == request.provisional.known == answer.known
                exact = msgspec.structs.replace(
                    request, state=answer.state.astype("<f4").tobytes(), packed_state=False, checksum=None
                )
                packed = check_request(request, Incoming(topic, payload, 1, False), {model.bundle_id: model}.get)
                [(_, near)] = answers_of(engine, [packed])
                agreeing += near.label == expected.labels[row]
                layout = bundle.manifest.state_layout
                np.testing.assert_array_equal(decoded(packed)[0].state, layout.decode(layout.encode(answer.state)))
                work = check_request(exact, Incoming("", payload, 1, False), {model.bundle_id: model}.get)
                [(_, final)] = answers_of(engine, [work])
                found = final.label, final.exit_index, final.known
                offloaded += 1
            assert found == (expected.labels[row], expected.exit_index[row], expected.known[row])
        assert agreeing >= 0.75 * offloaded > 0  # a packed state is rounded, which may turn a close decision


def test_a_state_of_another_policy_and_an_absurd_one_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "hand.specnet"
    make_bundle(path, policy=POLICIES[-1])
    bundle, engine = read_bundle(path), OnnxEngine()
    model = prepare(engine, bundle, path)
    answer = LocalClassifier(bundle, PixelAxis(bundle.source_axis, np.arange(N_POINTS)), 0).classify(spectra(40)[3])
    assert isinstance(answer, LocalAnswer)
    _, topic, payload = RequestMaker(Topics("lab", "probe-1"), 1, bundle, 5.0, 262_144).make(0, answer, 0.0)
    request = unpack_request(payload, parse_offload_topic(topic))
    size = POLICIES[-1].state_size(len(CLASSES))
    np.testing.assert_allclose(request.state_array(bundle.manifest.state_layout), answer.state, atol=2.5)
    request = msgspec.structs.replace(request, state=b"", packed_state=False, checksum=None)
    for state, message in (
        (np.zeros(size - 1), f"has {size - 1} numbers"),
        (np.full(size, 2e30), "at most 1e\\+30"),
        (np.full(size, np.nan), "finite: False"),
    ):
        changed = msgspec.structs.replace(request, state=state.astype("<f4").tobytes())
        with pytest.raises(RefusedRequest, match=message) as refusal:
            decoded(check_request(changed, Incoming("", b"", 1, False), {model.bundle_id: model}.get))
        assert refusal.value.reason == "state"


def test_a_bundle_of_an_older_release_is_read(tmp_path: Path) -> None:
    """Its manifest lacks the fields that came later, and its id was made without them."""
    make_bundle(tmp_path / "new.specnet", policy=ExitPolicy(temperatures=(1.0,) * 4, thresholds=(0.5,) * 4))
    bundle = read_bundle(tmp_path / "new.specnet")
    document = msgspec.to_builtins(bundle.manifest) | {"bundle_id": ""}
    kept = ("temperatures", "thresholds", "combiner", "score")
    document["policy"] = {name: getattr(bundle.manifest.policy, name) for name in kept}
    document["bundle_id"] = hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()[:16]
    entries = [(MANIFEST, msgspec.json.encode(document)), *sorted(bundle.files.items())]
    old = parse_bundle(b"".join(stored_zip(entries)))
    assert old.manifest.policy == bundle.manifest.policy
    assert old.bundle_id == document["bundle_id"] != bundle.bundle_id
    document["policy"]["score"] = "margin"
    entries[0] = (MANIFEST, msgspec.json.encode(document))
    with pytest.raises(BundleIntegrityError, match="content gives id"):
        parse_bundle(b"".join(stored_zip(entries)))


def test_operating_points_of_different_states_make_no_bundle(tmp_path: Path) -> None:
    """A device may work at one point and the gateway at another, with the state of the first."""
    make_bundle(tmp_path / "one.specnet")
    manifest = read_bundle(tmp_path / "one.specnet").manifest
    gated = msgspec.structs.replace(manifest.policy, score="patience")
    document = msgspec.structs.replace(manifest, operating_points={"fast": gated})

    with pytest.raises(BundleError, match=r"share one state, these have \[3, 5\] numbers"):
        write_bundle(tmp_path / "two.specnet", document, dict(read_bundle(tmp_path / "one.specnet").files))


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (Result(device="probe-1", boot=1, sequence=2, bundle="b"), Result),
        (
            Answer(
                device="probe-1",
                boot=1,
                sequence=2,
                bundle="b",
                label=0,
                class_name="quartz",
                probability=0.5,
                exit_index=0,
                final=True,
                source="device",
            ),
            Answer,
        ),
    ],
)
def test_messages_of_an_older_sender_are_known_answers(message: Result | Answer, kind: type[Result | Answer]) -> None:
    fields = msgspec.msgpack.decode(encode(message))
    assert fields.pop("known") is True
    assert decode(kind, msgspec.msgpack.encode(fields)).known
    assert not decode(kind, msgspec.msgpack.encode(fields | {"known": False})).known
    assert msgspec.convert({"label": 0, "probability": 0.5, "exit_index": 0}, Provisional).known
