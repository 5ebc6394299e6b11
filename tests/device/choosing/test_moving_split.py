from __future__ import annotations

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from support_points import PLACEMENTS, with_points

from device.choosing.settings import ChoosingSettings
from device.choosing.steering import decision_table
from device.choosing.table import deepest_split
from device.classifier import LocalAnswer, LocalClassifier
from device.config import DeviceConfiguration
from device.offloading import RequestMaker
from device.spectrometers.axis import PixelAxis
from specnet.bundle import Bundle
from specnet.errors import ConfigurationError
from specnet.exits import NEVER
from specnet.handover import codecs_in_use, usual_split
from specnet.placement import Placement
from specnet.wire import Topics, parse_offload_topic, unpack_request

FILES = {"device": "n", "bundle": "b", "state_dir": "s"}


@pytest.fixture(scope="module")
def tuned(bundle: Bundle) -> Bundle:
    """The fixture, with points of which nothing leaves before its split."""
    placements = PLACEMENTS | {"chosen": Placement(1, "float16", PLACEMENTS["chosen"].predicted)}
    manifest = with_points(bundle.manifest, placements)
    closed = msgspec.structs.replace(manifest.policy, thresholds=(NEVER, NEVER, NEVER, -1.0))
    points = dict.fromkeys(manifest.operating_points, closed)
    manifest = msgspec.structs.replace(manifest, operating_points=points, policy=closed)
    return Bundle(manifest, bundle.axis, bundle.source_axis, bundle.pipeline, bundle.files)


def classifier(bundle: Bundle, deepest: int | None = 3) -> LocalClassifier:
    axis = bundle.source_axis
    pixels = PixelAxis(axis, np.arange(axis.n_points))
    return LocalClassifier(bundle, pixels, usual_split(bundle.manifest, "default"), deepest=deepest)


def judged(local: LocalClassifier, counts: NDArray[np.uint16]) -> LocalAnswer:
    answer = local.classify(counts)
    assert isinstance(answer, LocalAnswer)
    return answer


def test_a_point_brings_its_split_and_codec_and_requests_keep_theirs(
    tuned: Bundle, intensity: NDArray[np.uint16]
) -> None:
    local, maker = classifier(tuned), RequestMaker(Topics("lab", "n"), 1, tuned, 2.0, 1 << 18)
    found = {}
    for name in ("chosen", "slow-link", "local", "default"):
        local.use_operating_point(name)
        found[name] = judged(local, intensity[0])
    assert {name: (one.exit_index, one.codec, one.confident) for name, one in found.items()} == {
        "chosen": (1, "float16", False),
        "slow-link": (2, "int8", False),
        "local": (3, "", True),
        "default": (1, "float16", False),
    }
    # made now, at another point than the answers
    for name in ("chosen", "slow-link"):
        _, topic, payload = maker.make(0, found[name], 0.0)
        request = unpack_request(payload, parse_offload_topic(topic))
        assert (request.split, request.features.codec) == (PLACEMENTS[name].split, found[name].codec)


def test_what_is_handed_over_is_what_an_uncertain_spectrum_would_have_been(
    tuned: Bundle, bundle: Bundle, intensity: NDArray[np.uint16]
) -> None:
    uncertain = judged(classifier(tuned), intensity[0])
    local = classifier(with_manifest_of(tuned, bundle))
    handed = local.hand_over(intensity[0], 1, "float16")
    assert isinstance(handed, LocalAnswer)
    assert (handed.exit_index, handed.codec, handed.confident) == (1, "float16", False)
    np.testing.assert_array_equal(handed.state, uncertain.state)
    assert handed.features is not None
    assert uncertain.features is not None
    np.testing.assert_array_equal(handed.features, uncertain.features)


def with_manifest_of(tuned: Bundle, bundle: Bundle) -> Bundle:
    """The points of the one with the thresholds of the other."""
    manifest = with_points(bundle.manifest, dict(tuned.manifest.placements))
    return Bundle(manifest, bundle.axis, bundle.source_axis, bundle.pipeline, bundle.files)


def test_a_split_that_is_given_stays_whatever_the_point(tuned: Bundle, intensity: NDArray[np.uint16]) -> None:
    local = classifier(tuned, None)
    local.use_operating_point("local")
    answer = judged(local, intensity[0])
    assert (answer.exit_index, answer.codec) == (1, "")


def test_segments_are_made_ready_as_far_as_memory_goes(tuned: Bundle) -> None:
    manifest = tuned.manifest
    sizes = [manifest.files[segment.file].size for segment in manifest.segments]
    assert deepest_split(manifest, sum(sizes)) == 3
    assert deepest_split(manifest, sum(sizes) - 1) == 2
    assert deepest_split(manifest, 1) == 0
    local = classifier(tuned, 2)
    with pytest.raises(ConfigurationError, match="local needs segments 0 to 3, ready are 0 to 2"):
        local.check_operating_point("local")
    local.use_operating_point("slow-link")


def test_a_birth_names_the_codecs_of_all_points(tuned: Bundle) -> None:
    assert codecs_in_use(tuned.manifest, (0, 1, 2)) == ("float16", "int8")
    assert codecs_in_use(tuned.manifest, (2,)) == ("int8",)


def test_choosing_and_a_given_split_contradict_each_other(tuned: Bundle) -> None:
    with pytest.raises(ConfigurationError, match="leave out split, got 1"):
        DeviceConfiguration(**FILES, operating_point="auto", split=1)
    with pytest.raises(ConfigurationError, match="leave out split, got 1"):
        decision_table(DeviceConfiguration(**FILES, split=1), tuned.manifest)
    choosing = DeviceConfiguration(**FILES, operating_point="auto")
    assert (choosing.split_of(tuned.manifest), choosing.deepest_of(tuned.manifest)) == (1, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window_s": 10.0, "probe_s": 5.0}, r"choosing\.probe_s is from 0\.05 to 3\.33333333333333, got 5\.0"),
        ({"dwell_s": 50.0, "dwell_max_s": 20.0}, r"choosing\.dwell_max_s is from 50 to 604800, got 20\.0"),
        ({"daily_joules": 5.0}, r"daily_joules needs choosing\.device_profile"),
        ({"patience_ms": float("nan")}, r"choosing\.patience_ms is from 0 to 86400000, got nan"),
    ],
)
def test_settings_name_what_is_wrong(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ChoosingSettings(**changes)  # type: ignore[arg-type]
