"""Many devices in one process that ask until they have their answers, whatever becomes of gateways and broker.

::

    python -m specnet.demo.soak.fleet minerals.specnet --port 1883 --requests 100000

A request without an answer is sent again after some seconds, and at once after a new connection, byte for byte. Some
are sent twice from the beginning: most of these are computed by two gateways, whose answers are compared. JSON lines on
stdout: ``ready``, ``progress`` every second, and the figures. The run is over when every request has an answer, or when
none has come for so long that the others count as lost.
"""

from __future__ import annotations

import argparse
import json
import random
import selectors
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from specnet.demo.serving.client import Client
from specnet.demo.soak.expected import expected_answers
from specnet.demo.soak.ledger import BOOT, Ledger, Said
from specnet.errors import BrokerError
from specnet.mqtt.backoff import BackOff
from specnet.wire import OffloadRequest, Result, Topics, decode, pack_request

SITE = "soak"
CONNECT_TIMEOUT_S = 60.0
RECONNECT_S = (0.1, 2.0)
TURN_S = 0.05
TEND_S = 0.1
TELL_S = 1.0
AFTERWARDS_S = 2.0
"""How long to listen for further answers when every request has one."""


@dataclass(slots=True)
class _Open:
    """A request without an answer; moments are monotonic seconds."""

    topic: str
    payload: bytes
    correlation: bytes
    asked: float
    sent: float


class _Device:
    """One connection, made again whenever it breaks."""

    def __init__(self, number: int, name: str, fleet: _Fleet, seed: int) -> None:
        self._number, self._fleet = number, fleet
        self._topics = Topics(SITE, name)
        self._name = name
        self._open: dict[int, _Open] = {}
        self._pauses = BackOff(*RECONNECT_S, random.Random(f"{seed} {name}"))
        self._connect_at = self._connected_at = 0.0
        self._up = False
        self.client = Client(f"{SITE}-{name}", self._topics.result, self._hear)

    def tend(self, now: float) -> bool:
        """Connect when it is time to, and send again what waits; whether there is a new connection."""
        if not self.client.connected:
            if now < self._connect_at:
                return False
            try:
                self.client.connect(self._fleet.port)
            except OSError:
                self._connect_at = now + self._pauses.after(0.0)
                return False
            self._connected_at = now
            return True
        if self.client.subscribed:
            # what was under way has gone with the old connection
            self._send_again(now, 0.0 if not self._up else self._fleet.resend_s)
            self._up = True
            self._fill(now)
        return False

    def lose(self, now: float) -> None:
        """Take note that the connection is over."""
        self._up = False
        self._connect_at = now + self._pauses.after(now - self._connected_at)

    def _fill(self, now: float) -> None:
        while self._fleet.asking and len(self._open) < self._fleet.open_each:
            sequence = self._fleet.ledger.ask(self._number)
            if sequence is None:
                return
            sample = self._fleet.samples[self._fleet.ledger.sample(self._number, sequence)]
            request = msgspec.structs.replace(sample, site=SITE, device=self._name, boot=BOOT, sequence=sequence)
            topic = self._topics.offload(request.bundle, request.split)
            asked = _Open(topic, pack_request(request), request.request_id.encode(), now, now)
            self._open[sequence] = asked
            self._publish(asked)
            if self._fleet.wants_twice():
                self._publish(asked)

    def _send_again(self, now: float, after_s: float) -> None:
        for asked in self._open.values():
            if now - asked.sent >= after_s:
                asked.sent = now
                self._fleet.repeated += 1
                self._publish(asked)

    def _publish(self, asked: _Open) -> None:
        self.client.publish(asked.topic, asked.payload, self._topics.result, asked.correlation)

    def _hear(self, payload: bytes) -> None:
        result, now = decode(Result, payload), time.monotonic()
        if self._fleet.ledger.take(self._number, result):
            self._fleet.note_answer(result, now, now - self._open.pop(result.sequence).asked)
            self._fill(now)


class _Fleet:
    """All devices, in one thread."""

    def __init__(self, args: argparse.Namespace, samples: list[OffloadRequest], expected: list[Said]) -> None:
        names = [f"device-{number}" for number in range(args.devices)]
        self.samples, self.ledger = samples, Ledger(names, expected, args.requests)
        self.port, self.open_each, self.resend_s = args.port, args.open, args.resend_s
        self._patience_s, self._twice_share = args.patience_s, args.twice
        self._random = random.Random(args.seed)
        self._sent_twice = 0
        self.asking = False
        self.repeated = self.broken_connections = 0
        self.by: Counter[str] = Counter()
        self._longest_s = 0.0
        self._heard = self._told = self._tended = 0.0
        self._selector = selectors.DefaultSelector()
        self._devices = [_Device(number, name, self, args.seed) for number, name in enumerate(names)]

    def connect(self) -> None:
        """Connect and subscribe with all devices; `BrokerError` when that takes too long."""
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        while not all(device.client.subscribed for device in self._devices):
            self._turn()
            if time.monotonic() > deadline:
                raise BrokerError(f"not all of {len(self._devices)} devices could subscribe in {CONNECT_TIMEOUT_S:g} s")

    def run(self) -> dict[str, Any]:
        """Ask until every request has its answer, or none comes any more."""
        self.asking = True
        began = self._heard = time.monotonic()
        while not self.ledger.complete and self._quiet_s <= self._patience_s:
            self._turn()
            self._tell()
        seconds = self._heard - began
        until = time.monotonic() + AFTERWARDS_S
        while time.monotonic() < until:
            self._turn()
        for device in self._devices:
            device.client.leave()
        return {
            **self.ledger.to_dict(),
            "seconds": round(seconds, 3),
            "sent_twice": self._sent_twice,
            "repeated_requests": self.repeated,
            "broken_connections": self.broken_connections,
            "longest_wait_s": round(self._longest_s, 3),
            "by": dict(sorted(self.by.items())),
        }

    def note_answer(self, result: Result, now: float, waited_s: float) -> None:
        """Count the first answer of a request."""
        self._heard = now
        self.by[result.gateway] += 1
        self._longest_s = max(self._longest_s, waited_s)

    def wants_twice(self) -> bool:
        """Draw whether a new request is sent twice, and count it."""
        twice: bool = self._random.random() < self._twice_share
        self._sent_twice += twice
        return twice

    @property
    def _quiet_s(self) -> float:
        return time.monotonic() - self._heard

    def _turn(self) -> None:
        for key, _ in self._selector.select(TURN_S):
            device: _Device = key.data
            if not device.client.read():
                # before another socket gets the same number
                self._selector.unregister(key.fileobj)
                self.broken_connections += 1
                device.lose(time.monotonic())
        now = time.monotonic()
        if now - self._tended >= TEND_S:
            self._tended = now
            for device in self._devices:
                if device.tend(now):
                    self._selector.register(device.client, selectors.EVENT_READ, device)
        for device in self._devices:
            device.client.write()

    def _tell(self) -> None:
        if time.monotonic() - self._told >= TELL_S:
            self._told = time.monotonic()
            _say({"type": "progress", "so_far": self.ledger.answered, "quiet_s": round(self._quiet_s, 3)})


def _say(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the fleet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--open", type=int, default=1, help="requests that a device has open at a time")
    parser.add_argument("--resend-s", type=float, default=3.0)
    parser.add_argument("--twice", type=float, default=0.0, help="share of requests that are sent twice at once")
    parser.add_argument("--patience-s", type=float, default=60.0, help="without any answer, until the others are lost")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    fleet = _Fleet(args, *expected_answers(args.bundle))
    fleet.connect()
    _say({"type": "ready"})
    _say({"type": "figures", **fleet.run()})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
