"""A link over real TCP: only lower bounds are strict, because a machine may always be busier than one thinks."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest
from support_broker import settings_for, wait_until

from specnet.demo.broker import Broker
from specnet.demo.framing import MqttFramer
from specnet.demo.shaped_link import ShapedLink
from specnet.demo.shaping import Shaper
from specnet.mqtt import Incoming, MqttSession
from specnet.profiles import LINK_PRESETS, LinkProfile, Quantiles

GENEROUS_S = 20.0


def link(**changes: object) -> LinkProfile:
    plain = {"round_trip_ms": Quantiles.constant(0.0), "loss": 0.0, "overhead_bytes": 0, "retry_s": 1.0}
    return msgspec.structs.replace(LINK_PRESETS["ethernet"], **{**plain, **changes})


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                while data := client.recv(65_536):
                    client.sendall(data)
                client.shutdown(socket.SHUT_WR)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def exchange(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:

        def send() -> None:
            with contextlib.suppress(OSError):
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)

        threading.Thread(target=send, daemon=True).start()
        received = bytearray()
        while piece := client.recv(65_536):
            received += piece
        return bytes(received)


def test_a_rate_is_kept_over_many_bytes(echo):
    data = bytes(range(256)) * 600
    profile = link(uplink_bits_s=2e6, downlink_bits_s=1e8)
    with ShapedLink(profile, "127.0.0.1", echo, framing="chunks") as shaped:
        before = time.monotonic()
        assert exchange(shaped.port, data) == data
        took = time.monotonic() - before
    least = 8 * len(data) / 2e6
    assert least <= took < least + GENEROUS_S


def test_connections_share_the_rate(echo):
    data = bytes(40_000)
    with ShapedLink(link(uplink_bits_s=2e6), "127.0.0.1", echo, framing="chunks") as shaped:
        before = time.monotonic()
        threads = [threading.Thread(target=exchange, args=(shaped.port, data)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - before
        assert shaped.accepted == 3
    assert 3 * 8 * len(data) / 2e6 <= took < GENEROUS_S


def test_a_delay_is_on_both_ways_and_does_not_add_up(echo):
    profile = link(round_trip_ms=Quantiles.constant(300.0))
    with ShapedLink(profile, "127.0.0.1", echo, framing="chunks") as shaped:
        before = time.monotonic()
        assert len(exchange(shaped.port, bytes(140_000))) == 140_000  # a hundred pieces
        took = time.monotonic() - before
    assert 0.3 <= took < 10.0


def test_a_loss_holds_up_what_is_behind_it(echo):
    with ShapedLink(link(loss=0.3, retry_s=0.05), "127.0.0.1", echo, framing="chunks") as shaped:
        before = time.monotonic()
        data = bytes(range(250)) * 560
        assert exchange(shaped.port, data) == data
        took = time.monotonic() - before
        assert shaped.shaper.lost > 10
    assert 0.05 <= took < GENEROUS_S


def test_stalled_and_cut(echo):
    with ShapedLink(link(), "127.0.0.1", echo, framing="chunks") as shaped:
        with socket.create_connection(("127.0.0.1", shaped.port), timeout=10) as client:
            shaped.stall()
            client.sendall(b"held")
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.recv(4)
            shaped.resume()
            client.settimeout(10)
            assert client.recv(4) == b"held"
            shaped.cut()
            assert client.recv(4) == b""
        assert exchange(shaped.port, b"again") == b"again"
        port = shaped.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)


def test_another_profile_in_the_middle_and_a_packet_that_is_cut(echo):
    with ShapedLink(link(), "127.0.0.1", echo, framing="chunks") as shaped:
        with socket.create_connection(("127.0.0.1", shaped.port), timeout=GENEROUS_S) as client:
            client.sendall(b"fast")
            assert client.recv(10) == b"fast"
            shaped.reshape(link(round_trip_ms=Quantiles.constant(400.0)))
            began = time.monotonic()
            client.sendall(b"slow")
            assert client.recv(10) == b"slow"
            assert time.monotonic() - began >= 0.4
            shaped.reshape(link())
            shaped.cut_packet()
            client.sendall(b"12345678")
            got = b""
            with contextlib.suppress(ConnectionError):
                while data := client.recv(10):
                    got += data
            assert b"1234".startswith(got), "the second half of the packet came through"
        assert exchange(shaped.port, b"again") == b"again", "only one connection was cut"


def test_a_server_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with ShapedLink(link(), "127.0.0.1", port, framing="chunks") as shaped:
        assert exchange(shaped.port, b"") == b""
        assert shaped.accepted == 0


def test_requests_over_a_real_broker_are_charged_as_the_profile_says():
    profile = LINK_PRESETS["ethernet"]
    got = []
    with Broker() as broker, ShapedLink(profile, broker.host, broker.port) as shaped:
        settings = settings_for(broker)

        def answer(request: Incoming) -> None:
            far.publish(request.response_topic or "", b"1", correlation=request.correlation)

        near = MqttSession(msgspec.structs.replace(settings, port=shaped.port), "near", on_message=got.append)
        far = MqttSession(settings, "far", on_message=answer)
        near.subscribe("specnet/v1/a/b/result")
        far.subscribe("specnet/v1/a/b/offload/#")
        with contextlib.ExitStack() as running:
            for session in (near, far):
                session.start()
                running.callback(session.stop, 3.0)
            wait_until(lambda: near.counters["subscribed"] and far.counters["subscribed"], "subscriptions")
            for number in range(20):
                near.publish(
                    "specnet/v1/a/b/offload/x/1",
                    bytes(100 + number),
                    response_topic="specnet/v1/a/b/result",
                    correlation=b"b-1-%d" % number,
                )
            wait_until(lambda: len(got) == 20, "all results")
    counted = shaped.shaper
    assert counted.messages["up"]["offload"] == counted.messages["down"]["result"] == 20
    assert counted.bytes["up"]["offload"] == sum(100 + n + profile.overhead_bytes for n in range(20))
    assert counted.bytes["up"]["control"] > 0


def publish(correlation: bytes = b"c", payload: bytes = b"payload") -> bytes:
    properties = b"\x08\x00\x01r\x09" + len(correlation).to_bytes(2, "big") + correlation
    body = b"\x00\x05topic\x00\x01" + bytes([len(properties)]) + properties + payload
    return bytes([0x32, len(body)]) + body


def test_packets_are_cut_wherever_the_stream_is():
    stream = publish() + b"\xc0\x00" + publish(b"other", bytes(60))
    framer = MqttFramer()
    frames = [frame for place in range(len(stream)) for frame in framer.feed(stream[place : place + 1])]
    assert [frame.payload_bytes for frame in frames] == [7, None, 60]
    assert [frame.correlation for frame in frames] == [b"c", b"", b"other"]
    assert frames[0].asks
    assert b"".join(frame.data for frame in frames) == stream
    assert list(MqttFramer().feed(stream)) == frames
    with pytest.raises(ValueError, match="no MQTT"):
        list(MqttFramer().feed(b"\xff\xff\xff\xff\xff\xff"))


def test_a_result_has_the_other_half_of_the_draw():
    profile = link(round_trip_ms=LINK_PRESETS["nb-iot"].round_trip_ms)
    shaper = Shaper(profile, seed=1)
    [up] = MqttFramer().feed(publish(b"c"))
    [other] = MqttFramer().feed(publish(b"d"))
    there, back = shaper.leaves_at("up", up, 0.0), shaper.leaves_at("down", up, 100.0) - 100.0
    assert there == pytest.approx(back, abs=1e-4)
    assert shaper.leaves_at("up", other, 200.0) - 200.0 != pytest.approx(there, abs=1e-3)


def test_an_air_time_is_the_profiles_and_a_duty_cycle_is_kept():
    profile = LINK_PRESETS["lorawan-dr5"]
    shaper = Shaper(profile)
    [frame] = MqttFramer().feed(publish(payload=bytes(50)))
    air = profile.air_time_s(50)
    assert shaper.air_time_s("up", frame) == air
    shaper.leaves_at("up", frame, 0.0)
    assert shaper.leaves_at("up", frame, 0.0) >= air / profile.duty_cycle + air
