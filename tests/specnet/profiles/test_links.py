"""Links: time on air of LoRa by hand and as published, messages that are cut, and the presets."""

from __future__ import annotations

import msgspec
import pytest

from specnet.errors import ProfileError
from specnet.profiles import LINK_PRESETS, LinkProfile, LoraModulation
from specnet.profiles.overhead import publish_bytes, request_properties_bytes, varint_bytes


def test_air_time_of_the_slowest_data_rate_by_hand() -> None:
    # SX1276 data sheet, section 4.1.1.7, PL = 51 + 13, SF12, 125 kHz, CR 4/5, CRC, explicit header, DE = 1:
    # symbol 2^12 / 125000 = 32.768 ms; preamble 8 + 4.25 = 12.25 symbols;
    # payload 8 + ceil((8 * 64 - 4 * 12 + 28 + 16) / (4 * (12 - 2))) * 5 = 8 + ceil(12.7) * 5 = 73 symbols;
    # (12.25 + 73) * 32.768 ms = 2793.472 ms
    assert LoraModulation(spreading_factor=12).air_time_s(51 + 13) == pytest.approx(2.793472, abs=1e-9)
    assert LINK_PRESETS["lorawan-dr0"].air_time_s(51) == pytest.approx(2.793472, abs=1e-9)


def test_air_time_of_a_published_example() -> None:
    # public worksheet after AN1200.13: 13 bytes at SF9, 125 kHz, 4/5, explicit header, no low data rate optimisation:
    # 28 payload symbols, 50.176 ms of preamble, 164.864 ms in all
    assert LoraModulation(spreading_factor=9).air_time_s(13) == pytest.approx(0.164864, abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "symbols"),
    [
        # SF7, PL = 20: ceil((160 - 28 + 28 + 16) / 28) = 7 groups of 5
        ({}, 12.25 + 8 + 7 * 5),
        # without CRC: ceil(160 / 28) = 6 groups
        ({"crc": False}, 12.25 + 8 + 6 * 5),
        # without header: ceil(156 / 28) = 6 groups
        ({"explicit_header": False}, 12.25 + 8 + 6 * 5),
        ({"coding_rate": 8}, 12.25 + 8 + 7 * 8),
        ({"preamble_symbols": 12}, 16.25 + 8 + 7 * 5),
    ],
)
def test_every_setting_of_the_modem_counts(changes: dict[str, object], symbols: float) -> None:
    modulation = LoraModulation(spreading_factor=7, **changes)
    assert modulation.air_time_s(20) == pytest.approx(symbols * 128 / 125_000)


@pytest.mark.parametrize(("factor", "optimised"), [(10, False), (11, True), (12, True)])
def test_long_symbols_are_optimised_for_low_data_rates(factor: int, optimised: bool) -> None:
    modulation = LoraModulation(spreading_factor=factor)
    assert (modulation.symbol_s > 0.016) is optimised
    groups = -(-(8 * 50 - 4 * factor + 44) // (4 * (factor - 2 * optimised)))
    assert modulation.air_time_s(50) == pytest.approx((20.25 + 5 * groups) * modulation.symbol_s)


def test_a_payload_without_data_has_a_preamble_and_eight_symbols_at_least() -> None:
    modulation = LoraModulation(spreading_factor=12, crc=False, explicit_header=False)
    assert modulation.air_time_s(0) == pytest.approx(20.25 * modulation.symbol_s)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"spreading_factor": 6}, "spreading_factor is from 7 to 12, got 6"),
        ({"spreading_factor": 13}, "spreading_factor is from 7 to 12, got 13"),
        ({"spreading_factor": 7, "bandwidth_hz": 100_000}, "bandwidth_hz is 125000 or 250000 or 500000, got 100000"),
        ({"spreading_factor": 7, "coding_rate": 4}, "coding_rate is from 5 to 8, got 4"),
        ({"spreading_factor": 7, "preamble_symbols": 5}, "preamble_symbols is from 6 to 65535, got 5"),
    ],
)
def test_a_modem_that_cannot_be_set_so(fields: dict[str, int], complaint: str) -> None:
    with pytest.raises(ProfileError, match=complaint):
        LoraModulation(**fields)


def test_a_payload_over_the_limit_is_cut_into_messages() -> None:
    link = LINK_PRESETS["lorawan-dr3"]
    assert [link.messages(n) for n in (0, 1, 115, 116, 230, 231)] == [1, 1, 1, 2, 2, 3]
    assert link.air_time_s(231) == pytest.approx(2 * link.air_time_s(115) + link.air_time_s(1))
    with pytest.raises(ProfileError, match="payload_bytes is 0 or more, got -1"):
        link.messages(-1)


def test_a_link_without_limit_takes_bits_by_its_rate() -> None:
    link = msgspec.structs.replace(LINK_PRESETS["nb-iot"], uplink_bits_s=8000.0, overhead_bytes=100)
    assert link.messages(10**6) == 1
    assert link.air_time_s(900) == pytest.approx(1.0)


def test_the_presets_are_those_of_the_contract() -> None:
    rates = [f"lorawan-dr{rate}" for rate in range(7)]
    assert list(LINK_PRESETS) == ["ethernet", "wifi", "lte-m", "nb-iot", *rates]
    assert all(link.name == name and link.source == "preset" for name, link in LINK_PRESETS.items())
    assert [LINK_PRESETS[name].max_payload_bytes for name in rates] == [51, 51, 51, 115, 222, 222, 222]
    for name in rates:
        link = LINK_PRESETS[name]
        assert (link.duty_cycle, link.overhead_bytes) == (0.01, 13)
        # an answer comes in the first window after 1 s or in the second after 2 s
        assert 1000 < link.round_trip_ms.p50 < link.round_trip_ms.p95
        assert link.round_trip_ms.p95 > 2000


def test_presets_are_slower_the_farther_they_reach() -> None:
    times = [link.air_time_s(50) for link in LINK_PRESETS.values()]
    assert times[:4] == sorted(times[:4])
    assert times[4:] == sorted(times[4:], reverse=True)
    assert all(isinstance(link, LinkProfile) for link in LINK_PRESETS.values())


def test_headers_are_counted_as_paho_sends_them() -> None:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.PUBLISH)
    properties.MessageExpiryInterval = 10
    properties.ResponseTopic = "specnet/v1/lab/node-1/result"
    properties.CorrelationData = b"node-1-1-1000"
    packed = properties.pack()
    assert request_properties_bytes("specnet/v1/lab/node-1/result", "node-1-1-1000") == len(packed) - 1
    # fixed header 1 + 2, topic 2 + 3, packet id 2, properties
    assert publish_bytes("a/b", len(packed) - 1, 1000) == 3 + 5 + 2 + len(packed)
    assert publish_bytes("a/b") == 2 + 5 + 2 + 1
    assert [varint_bytes(n) for n in (0, 127, 128, 16_383, 16_384, 2_097_152)] == [1, 1, 2, 2, 3, 4]
