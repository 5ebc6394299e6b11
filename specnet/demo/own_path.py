"""What broker, MQTT clients and proxy take on this machine where the link takes nothing."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event

import msgspec

from specnet.demo.broker import Broker
from specnet.demo.shaped_link import ShapedLink
from specnet.errors import BrokerError
from specnet.mqtt import BrokerSettings, Incoming, MqttSession
from specnet.profiles import LINK_PRESETS, Quantiles

TRIPS = 100
PAUSE_S = 0.02
TIMEOUT_S = 20.0
PAYLOAD_BYTES = 200
ASKING, ANSWERING = "specnet/v1/site/device/result", "specnet/v1/site/device/offload/0123456789abcdef/1"


def own_path(folder: Path, n: int = TRIPS) -> Quantiles:
    """Send requests from one client to another and wait for each answer, as device and gateway do; milliseconds.

    It is measured before a deployment runs, and without it: a link profile says what a link takes, and the rest of the
    way is this machine's.

    Parameters
    ----------
    folder
        Of the broker's log.
    n
        Round trips.

    Raises
    ------
    BrokerError
        When mosquitto is not installed, or no answer comes.
    """
    link = msgspec.structs.replace(
        LINK_PRESETS["ethernet"], round_trip_ms=Quantiles.constant(0.0), uplink_bits_s=1e12, downlink_bits_s=1e12
    )
    arrived = Event()
    times: list[float] = []
    with Broker("mosquitto", folder=folder) as broker, ShapedLink(link, broker.host, broker.port) as shaped:

        def answer(request: Incoming) -> None:
            far.publish(request.response_topic or "", bytes(PAYLOAD_BYTES), correlation=request.correlation)

        near = MqttSession(
            BrokerSettings(host=shaped.host, port=shaped.port), "near", on_message=lambda _: arrived.set()
        )
        far = MqttSession(BrokerSettings(host=broker.host, port=broker.port), "far", on_message=answer)
        near.subscribe(ASKING)
        far.subscribe(ANSWERING)
        near.start()
        far.start()
        try:
            deadline = time.monotonic() + TIMEOUT_S
            while not (near.counters["subscribed"] and far.counters["subscribed"]):
                if time.monotonic() > deadline:
                    raise BrokerError(f"no subscription within {TIMEOUT_S:g} s")
                time.sleep(0.01)
            for number in range(n):
                arrived.clear()
                before = time.perf_counter()
                near.publish(ANSWERING, bytes(PAYLOAD_BYTES), response_topic=ASKING, correlation=str(number).encode())
                if not arrived.wait(TIMEOUT_S):
                    raise BrokerError(f"no answer within {TIMEOUT_S:g} s")
                times.append(1e3 * (time.perf_counter() - before))
                time.sleep(PAUSE_S)
        finally:
            near.stop(3.0)
            far.stop(3.0)
    return Quantiles.of(times[n // 10 :])
