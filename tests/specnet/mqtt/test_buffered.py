"""Reading a socket in large pieces, while paho asks for small ones."""

from __future__ import annotations

import socket

import pytest
from support_broker import Broker, connected_session

from specnet.mqtt.buffered import BUFFER_BYTES, BufferedSocket


@pytest.fixture
def ends() -> tuple[BufferedSocket, socket.socket]:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        yield BufferedSocket(here), there


def test_small_pieces_come_out_of_one_call(ends: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, there = ends
    there.sendall(b"abcdef")
    assert (buffered.recv(1), buffered.pending()) == (b"a", 5)
    # what comes later is not read before the rest is taken
    there.sendall(b"ghi")
    assert buffered.recv(3) == b"bcd"
    assert buffered.recv(100) == b"ef"
    assert buffered.pending() == 0
    assert buffered.recv(2) == b"gh"


def test_an_empty_and_a_closed_connection_are_what_they_were(ends: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, there = ends
    with pytest.raises(BlockingIOError):
        buffered.recv(1)
    there.sendall(b"x")
    there.close()
    assert [buffered.recv(1), buffered.recv(1)] == [b"x", b""]


def test_more_than_the_buffer_can_be_asked_for(ends: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, there = ends
    there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * BUFFER_BYTES)
    there.setblocking(False)
    sent = there.send(bytes(BUFFER_BYTES + 1000))
    found = bytearray()
    while len(found) < sent:
        found += buffered.recv(2 * BUFFER_BYTES)
    assert len(found) == sent


def test_everything_else_is_the_sockets_own(ends: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, _ = ends
    assert buffered.fileno() > 0
    assert buffered.gettimeout() == 0.0


def test_sessions_have_it(broker: Broker) -> None:
    """It hangs on a method of paho that is private."""
    session = connected_session(broker, "buffered")
    try:
        connection = session._supervisor.connection
        assert isinstance(connection._client.socket(), BufferedSocket)
    finally:
        session.stop()
