"""A TCP proxy that is as slow and as lossy as a link profile says, between a device and its broker."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from specnet.demo.framing import ChunkFramer, Frame, Framer, MqttFramer
from specnet.demo.shaping import Shaper, Way
from specnet.profiles import LinkProfile

LOOPBACK = "127.0.0.1"
BUFFER_BYTES = 1 << 16
MOST_HELD_BYTES = 1 << 20
"""Bytes on their way in one direction of a connection, beyond which the sender is held up as TCP would."""
CONNECT_TIMEOUT_S = 10.0
JOIN_TIMEOUT_S = 5.0
FRAMERS: dict[str, Callable[[], Framer]] = {"mqtt": MqttFramer, "chunks": ChunkFramer}


class ShapedLink:
    """A link in front of a TCP server; a context manager that serves any number of connections.

    See `Shaper` for what a link does. Every frame gets the moment at which it is through, from when it came and what
    is in front of it, and waits for that moment: what a wait takes too long, the next one makes up for, so that rates
    are right in the long run also on a busy machine, and a single frame is late by what the scheduler makes it.

    Parameters
    ----------
    link
        The profile.
    host, port
        The server.
    framing
        ``"mqtt"`` charges MQTT packets; ``"chunks"`` charges pieces of 1400 bytes of whatever it is, TLS also.
    seed
        Of delays and losses.
    """

    host = LOOPBACK

    def __init__(
        self, link: LinkProfile, host: str, port: int, *, framing: Literal["mqtt", "chunks"] = "mqtt", seed: int = 0
    ) -> None:
        self._seed = seed
        self.shaper = Shaper(link, seed)
        self._cuts = threading.Event()
        self._server_address = host, port
        self._framer = FRAMERS[framing]
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._last_traffic = time.monotonic()
        self.accepted = 0
        self._listener = socket.create_server((LOOPBACK, 0))
        self._thread = threading.Thread(target=self._accept, name="shaped-link", daemon=True)

    @property
    def port(self) -> int:
        """Where to connect instead of to the server."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def quiet_s(self) -> float:
        """Seconds since something came or went; 0 while something is on its way."""
        with self._lock:
            busy = any(connection.busy for connection in self._connections)
            return 0.0 if busy else time.monotonic() - self._last_traffic

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # shutdown wakes accept, which close alone does not
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(JOIN_TIMEOUT_S)
        self.resume()
        self.cut()

    def cut(self) -> None:
        """End all connections at once; what is on its way is lost. New ones are accepted."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.end()
        for connection in connections:
            connection.join(JOIN_TIMEOUT_S)

    def stall(self) -> None:
        """Let nothing through from here on, without ending connections, until `resume`."""
        self._flowing.clear()

    def resume(self) -> None:
        """Go on after `stall`: what was held is through at once, what comes then is shaped."""
        self._flowing.set()

    def reshape(self, link: LinkProfile) -> None:
        """Be another link for what comes from here on."""
        self.shaper = Shaper(link, self._seed)

    def cut_packet(self) -> None:
        """Let half of the next packet towards the server through, and end its connection."""
        self._cuts.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._server_address, timeout=CONNECT_TIMEOUT_S)
            except OSError:
                near.close()
                continue
            self.accepted += 1
            connection = _Connection(self, near, far)
            with self._lock:
                self._connections.add(connection)
            connection.start()

    def _release_time(self, way: Way, frame: Frame) -> float:
        now = time.monotonic()
        self._last_traffic = now
        return self.shaper.leaves_at(way, frame, now)

    def _passed(self) -> None:
        self._last_traffic = time.monotonic()
        self._flowing.wait()

    def _ended(self, connection: _Connection) -> None:
        with self._lock:
            self._connections.discard(connection)


class _Connection:
    """Two sockets and the two pipes between them."""

    def __init__(self, link: ShapedLink, near: socket.socket, far: socket.socket) -> None:
        self._link = link
        self._sockets = near, far
        for one in self._sockets:
            one.settimeout(None)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pipes = _Pipe(link, "up", near, far, self.end), _Pipe(link, "down", far, near, self.end)

    @property
    def busy(self) -> bool:
        """Whether something is on its way."""
        return any(pipe.held_bytes for pipe in self._pipes)

    def start(self) -> None:
        for pipe in self._pipes:
            pipe.start()
        threading.Thread(target=self._tend, name="shaped-connection", daemon=True).start()

    def end(self) -> None:
        for pipe in self._pipes:
            pipe.end()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def join(self, timeout: float | None = None) -> None:
        for pipe in self._pipes:
            pipe.join(timeout)

    def _tend(self) -> None:
        self.join()
        for one in self._sockets:
            one.close()
        self._link._ended(self)


class _Pipe:
    """One direction: a thread that reads and stamps, one that waits and writes."""

    def __init__(
        self, link: ShapedLink, way: Way, source: socket.socket, sink: socket.socket, end: Callable[[], None]
    ) -> None:
        self._link, self._way, self._source, self._sink, self._end = link, way, source, sink, end
        self._framer = link._framer()
        self._changed = threading.Condition()
        self._frames: deque[tuple[float, bytes]] = deque()
        self._closed = self._ended = False
        self._latest = 0.0
        self.held_bytes = 0
        self._threads = [
            threading.Thread(target=work, name=f"shaped-{way}-{work.__name__.strip('_')}", daemon=True)
            for work in (self._read, self._write)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self, timeout: float | None = None) -> None:
        for thread in self._threads:
            thread.join(timeout)

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _read(self) -> None:
        try:
            while data := self._source.recv(BUFFER_BYTES):
                for frame in self._framer.feed(data):
                    self._hold(frame)
        except (OSError, ValueError):
            self._end()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _hold(self, frame: Frame) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.held_bytes < MOST_HELD_BYTES or self._ended)
            # in order, whatever the delays drawn
            self._latest = max(self._latest, self._link._release_time(self._way, frame))
            self._frames.append((self._latest, frame.data))
            self.held_bytes += len(frame.data)
            self._changed.notify_all()

    def _write(self) -> None:
        try:
            while (data := self._next()) is not None:
                self._link._passed()
                if self._way == "up" and len(data) > 1 and self._link._cuts.is_set():
                    self._link._cuts.clear()
                    self._sink.sendall(data[: len(data) // 2])
                    self._end()
                    return
                self._sink.sendall(data)
                with self._changed:
                    self.held_bytes -= len(data)
                    self._changed.notify_all()
            if not self._ended:
                # the other direction may go on
                self._sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._end()

    def _next(self) -> bytes | None:
        """Wait for the moment at which the next frame is through; None at the end."""
        with self._changed:
            while not self._ended:
                if self._frames:
                    left = self._frames[0][0] - time.monotonic()
                    if left <= 0:
                        return self._frames.popleft()[1]
                    self._changed.wait(left)
                elif self._closed:
                    return None
                else:
                    self._changed.wait()
            return None
