from __future__ import annotations

import msgspec
import pytest
from support_tuned import deployment, few_points

from specnet.placement import LinkFigures, Placement, Prediction
from specnet.profiles import LINK_PRESETS
from specnet.tuning.deployment import SLOWER, placements_of
from specnet.tuning.latency import result_air_ms


def test_every_point_has_what_was_predicted_and_the_link_it_was_tuned_for() -> None:
    points = few_points()
    made = deployment(points, slower=points[3])
    placements = placements_of(made)
    assert set(placements) == set(made.operating_points) == {"chosen", "thrifty", "local", "slow-link"}
    link = LINK_PRESETS["nb-iot"]
    for name, placement in placements.items():
        point, expected = made.operating_points[name], placement.predicted
        assert expected is not None
        assert (placement.split, placement.codec) == (point.split, point.codec)
        assert (expected.accuracy, expected.p95_ms) == (point.estimate, point.p95_ms)
        assert (expected.request_bytes, expected.mean_bytes) == (point.bytes_per_spectrum, point.mean_bytes)
        assert (expected.energy_mj, expected.offload_share) == (point.energy_mj, point.offload_share)
        slower = SLOWER if name == "slow-link" else 1.0
        assert expected.link.round_trip_ms == pytest.approx(slower * link.round_trip_ms.p95)
        assert expected.link.uplink_bits_s == pytest.approx(link.uplink_bits_s / slower)
    [one] = [placements["chosen"].predicted]
    assert one is not None
    bits = 8e3 * (one.request_bytes + link.overhead_bytes)
    assert one.trip_ms == pytest.approx(link.round_trip_ms.p95 + result_air_ms(link) + bits / link.uplink_bits_s)


def test_over_lora_the_rate_is_what_the_air_time_makes_of_a_request() -> None:
    lora = LINK_PRESETS["lorawan-dr3"]
    points = [msgspec.structs.replace(point, bytes_per_spectrum=100.0 * bool(point.codec)) for point in few_points()]
    placements = placements_of(deployment(points, link=lora))
    expected = placements["thrifty"].predicted
    assert expected is not None
    assert expected.trip_ms == pytest.approx(lora.round_trip_ms.p95 + 1e3 * lora.air_time_s(100))


def test_placements_of_before_are_read_and_written_as_before() -> None:
    old = b'{"split":1,"codec":"int8"}'
    placement = msgspec.json.decode(old, type=Placement)
    assert placement == Placement(1, "int8")
    assert msgspec.json.encode(placement) == old


GOOD = Prediction(
    accuracy=0.9,
    offload_share=0.3,
    p95_ms=10.0,
    request_bytes=100.0,
    mean_bytes=30.0,
    energy_mj=1.0,
    link=LinkFigures("wifi", 5.0, 1e6, 100),
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("accuracy",), 1.5),
        (("offload_share",), -0.1),
        (("request_bytes",), -1.0),
        (("energy_mj",), 1e300),
        (("p95_ms",), "soon"),
        (("link", "uplink_bits_s"), 0.0),
        (("link", "round_trip_ms"), -5.0),
        (("link", "unknown"), 1),
    ],
)
def test_predictions_out_of_range_are_refused(path: tuple[str, ...], value: object) -> None:
    document = msgspec.to_builtins(Placement(1, "int8", GOOD))
    assert msgspec.convert(document, Placement) == Placement(1, "int8", GOOD)
    place = document["predicted"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(document, Placement)
