"""Links that were not measured: standards and data sheets where they say something, typical figures elsewhere.

Peak rates of a standard are seldom reached, and delays and losses depend on the place: measure yours with
``specnet-device ping``.
"""

from __future__ import annotations

from typing import Any

from specnet.profiles.link import LinkProfile
from specnet.profiles.lora import LoraModulation
from specnet.profiles.overhead import (
    ETHERNET_BYTES,
    TCP_IP_BYTES,
    WIFI_BYTES,
    publish_bytes,
    request_properties_bytes,
)
from specnet.profiles.quantiles import Quantiles

WRITTEN_DOWN = "2025-01-01T00:00:00+00:00"

# a request of a device with names of usual length; without TLS, which adds 22 bytes
_MQTT_BYTES = publish_bytes(
    "specnet/v1/lab/node-1/offload/0123456789abcdef/1",
    request_properties_bytes("specnet/v1/lab/node-1/result", "node-1-1-1000"),
    payload_bytes=1000,
)

_ETHERNET = {
    # 100BASE-TX (IEEE 802.3u), full duplex
    "uplink_bits_s": 100e6,
    "downlink_bits_s": 100e6,
    # typical figures of a switched network with a broker on it
    "round_trip_ms": Quantiles((0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.1, 1.5, 3.0)),
    "loss": 0.0,
    "overhead_bytes": _MQTT_BYTES + TCP_IP_BYTES + ETHERNET_BYTES,
    # a 100BASE-TX transceiver is always on: its power is part of the board's own
    "transmit_watts": 0.0,
    "retry_s": 2.0,
}

_WIFI = {
    # IEEE 802.11n, 20 MHz, one stream, MCS 4 has 39 Mbit/s; about half of it is left to TCP: a typical figure
    "uplink_bits_s": 20e6,
    "downlink_bits_s": 20e6,
    # typical figures with a client that is awake
    "round_trip_ms": Quantiles((1.5, 1.8, 2.0, 2.5, 3.5, 6.0, 15.0, 30.0, 100.0)),
    "loss": 0.001,
    "overhead_bytes": _MQTT_BYTES + TCP_IP_BYTES + WIFI_BYTES,
    # Espressif's ESP32 data sheet: 180 mA at 3.3 V while sending 802.11n MCS 7 at 14 dBm
    "transmit_watts": 0.594,
    "retry_s": 2.0,
}

_LTE_M = {
    # LTE Cat-M1, half duplex, peak rates of 3GPP Release 13
    "uplink_bits_s": 375e3,
    "downlink_bits_s": 300e3,
    # typical figures of a connected modem; after a pause it has to connect again, which the last values stand for
    "round_trip_ms": Quantiles((70.0, 80.0, 90.0, 110.0, 150.0, 220.0, 400.0, 700.0, 2000.0)),
    "loss": 0.005,
    "overhead_bytes": _MQTT_BYTES + TCP_IP_BYTES,
    # a typical figure of a modem that sends at 23 dBm; 3GPP TS 36.101, power class 3, says only what the antenna gets
    "transmit_watts": 1.2,
    "retry_s": 5.0,
}

_NB_IOT = {
    # LTE Cat-NB1, several tones, peak rates of 3GPP Release 13
    "uplink_bits_s": 62.5e3,
    "downlink_bits_s": 26e3,
    # 1.6 s in good coverage to 10 s at its edge, the aim of 3GPP TR 45.820; what lies between is a typical figure
    "round_trip_ms": Quantiles((800.0, 1000.0, 1200.0, 1400.0, 1600.0, 2500.0, 5000.0, 7500.0, 10_000.0)),
    "loss": 0.01,
    "overhead_bytes": _MQTT_BYTES + TCP_IP_BYTES,
    # China Mobile's modem M5311: 167 mA while sending one tone at 23 dBm; 3.6 V is a typical supply
    "transmit_watts": 0.6,
    "retry_s": 20.0,
}

# LoRaWAN Regional Parameters, EU863-870: spreading factor, bandwidth, indicative bit rate, largest application payload
# where a repeater may stand in between
_LORAWAN = (
    (12, 125_000, 250, 51),
    (11, 125_000, 440, 51),
    (10, 125_000, 980, 51),
    (9, 125_000, 1760, 115),
    (8, 125_000, 3125, 222),
    (7, 125_000, 5470, 222),
    (7, 250_000, 11_000, 222),
)
# LoRaWAN 1.0.x specification, section 4: MHDR 1, FHDR 7, FPort 1, MIC 4
_LORAWAN_MAC_BYTES = 13
# LoRaWAN Regional Parameters: RECEIVE_DELAY1 and RECEIVE_DELAY2; the second window is at DR0 in Europe
_WINDOWS_S = (1.0, 2.0)
# a result that says class and probability and nothing more
_ANSWER_BYTES = 20
# LoRaWAN 1.0.x: an acknowledgement is given up 1 to 3 s after the second window
_ACK_TIMEOUT_S = 2.0


def _lorawan(data_rate: int) -> dict[str, Any]:
    spreading_factor, bandwidth, rate, payload = _LORAWAN[data_rate]
    modulation = LoraModulation(spreading_factor=spreading_factor, bandwidth_hz=bandwidth)
    answer = _ANSWER_BYTES + _LORAWAN_MAC_BYTES
    # downlinks of LoRaWAN have no checksum of the physical layer
    same_rate = LoraModulation(spreading_factor=spreading_factor, bandwidth_hz=bandwidth, crc=False)
    slowest_rate = LoraModulation(spreading_factor=_LORAWAN[0][0], bandwidth_hz=_LORAWAN[0][1], crc=False)
    first = _WINDOWS_S[0] + same_rate.air_time_s(answer)
    second = _WINDOWS_S[1] + slowest_rate.air_time_s(answer)
    return {
        "lora": modulation,
        "uplink_bits_s": float(rate),
        "downlink_bits_s": float(rate),
        # nine answers of ten in the first window: a typical figure
        "round_trip_ms": Quantiles((1e3 * first,) * 7 + (1e3 * second,) * 2),
        # a typical figure in a town; unconfirmed uplinks are sent once
        "loss": 0.05,
        "overhead_bytes": _LORAWAN_MAC_BYTES,
        "max_payload_bytes": payload,
        # ETSI EN 300 220, 868.0 to 868.6 MHz
        "duty_cycle": 0.01,
        # SX1276 data sheet, table of power consumption: 29 mA at 3.3 V while sending at 13 dBm
        "transmit_watts": 0.0957,
        "retry_s": _WINDOWS_S[1] + _ACK_TIMEOUT_S,
    }


def _preset(name: str, fields: dict[str, Any]) -> LinkProfile:
    unlimited = {"max_payload_bytes": 0, "duty_cycle": 1.0}
    return LinkProfile(name=name, created=WRITTEN_DOWN, source="preset", **{**unlimited, **fields})


LINK_PRESETS: dict[str, LinkProfile] = {
    name: _preset(name, fields)
    for name, fields in {
        "ethernet": _ETHERNET,
        "wifi": _WIFI,
        "lte-m": _LTE_M,
        "nb-iot": _NB_IOT,
        **{f"lorawan-dr{data_rate}": _lorawan(data_rate) for data_rate in range(len(_LORAWAN))},
    }.items()
}
"""Links by name."""
