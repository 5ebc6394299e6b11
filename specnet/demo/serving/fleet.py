"""Many devices in one process, each with a connection of its own: a load generator for brokers and gateways.

::

    python -m specnet.demo.serving.fleet minerals.specnet --port 1883 --devices 200 --seconds 10

Without ``--rate`` each device sends its next request when it has the answer to the last one. With it, requests come at
random moments (a Poisson process) from devices in turn, and a latency counts from the moment at which the request was
to be sent. JSON lines on stdout: ``ready``, then the figures.
"""

from __future__ import annotations

import argparse
import json
import random
import selectors
import sys
import time
from pathlib import Path

import msgspec

from specnet.demo.serving.client import Client
from specnet.demo.serving.load_figures import LoadFigures
from specnet.demo.serving.samples import read_samples
from specnet.errors import BrokerError
from specnet.wire import OffloadRequest, Result, Topics, decode, pack_request

CONNECT_TIMEOUT_S = 30.0
RESEND_S = 10.0
"""A request without an answer is sent again, as devices do."""
PAUSE_S = 0.05


class _Device:
    """One connection; at most one request is open unless a rate is given."""

    def __init__(self, name: str, fleet: _Fleet) -> None:
        self.name, self._fleet = name, fleet
        self.topics = Topics("bench", name)
        self.sequence = 0
        self.open: dict[int, tuple[int, float, float]] = {}
        self.client = Client(f"bench-{name}", self.topics.result, self._hear)

    def send(self, due: float) -> None:
        """Ask about the fleet's next sample; the latency counts from `due`, in seconds of `time.perf_counter`."""
        number = self._fleet.next_sample()
        self._publish(self.sequence, number)
        self.open[self.sequence] = number, due, time.perf_counter()
        self.sequence += 1

    def send_again(self, now: float) -> int:
        """Repeat what has no answer for long; how many these were."""
        late = [(sequence, *rest) for sequence, rest in self.open.items() if now - rest[2] > RESEND_S]
        for sequence, number, due, _ in late:
            self._publish(sequence, number)
            self.open[sequence] = number, due, now
        return len(late)

    def _publish(self, sequence: int, number: int) -> None:
        sample = self._fleet.samples[number]
        request = msgspec.structs.replace(sample, site="bench", device=self.name, sequence=sequence)
        topic = self.topics.offload(request.bundle, request.split)
        self.client.publish(topic, pack_request(request), self.topics.result, request.request_id.encode())

    def _hear(self, payload: bytes) -> None:
        result = decode(Result, payload)
        known = self.open.pop(result.sequence, None)
        if known is not None:
            self._fleet.answered(self, result, *known[:2])


class _Fleet:
    """All devices, in one thread."""

    def __init__(self, samples: list[OffloadRequest], port: int, n_devices: int, rate: float, seed: int) -> None:
        self.samples = samples
        self._rate, self._random = rate, random.Random(seed)
        self._next = 0
        self.figures = LoadFigures()
        self._counting = self._ending = False
        self.repeated = 0
        self._selector = selectors.DefaultSelector()
        self._devices = [_Device(f"device-{number}", self) for number in range(n_devices)]
        for device in self._devices:
            device.client.connect(port)
            self._selector.register(device.client, selectors.EVENT_READ, device)
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        while not all(device.client.subscribed for device in self._devices):
            self._turn(PAUSE_S)
            if time.monotonic() > deadline:
                raise BrokerError(f"not all of {n_devices} devices could subscribe within {CONNECT_TIMEOUT_S:g} s")

    def next_sample(self) -> int:
        """Choose the sample to ask about, by its number."""
        self._next += 1
        return self._next % len(self.samples)

    def answered(self, device: _Device, result: Result, number: int, due: float) -> None:
        """Count an answer, and let the device go on."""
        if self._counting and result.error:
            self.figures.failed += 1
        elif self._counting:
            took_ms = 1e3 * (time.perf_counter() - due)
            self.figures.add(number, result.label, took_ms, result.queue_ms, result.compute_ms)
        if not self._rate and not self._ending:
            device.send(time.perf_counter())

    def run(self, warm_up_s: float, seconds: float) -> float:
        """Send and receive; return how long answers were counted, in seconds."""
        began = time.perf_counter()
        due, turn = began, 0
        if not self._rate:
            for device in self._devices:
                device.send(began)
        looked = began
        while (now := time.perf_counter()) < began + warm_up_s + seconds:
            self._counting = now >= began + warm_up_s
            while self._rate and due <= now:
                self._devices[turn % len(self._devices)].send(due)
                due, turn = due + self._random.expovariate(self._rate), turn + 1
            if now - looked > 1.0:
                looked = now
                self.repeated += sum(device.send_again(now) for device in self._devices)
            self._turn(max(0.0, min(PAUSE_S, due - now)) if self._rate else PAUSE_S)
        counted = time.perf_counter() - began - warm_up_s
        self._counting, self._ending = False, True
        for device in self._devices:
            device.client.leave()
        return counted

    def _turn(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            if not key.data.client.read():
                raise BrokerError(f"the broker has ended the connection of {key.data.name}")
        for device in self._devices:
            device.client.write()


def main() -> int:
    """Run the load generator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--warm-up", type=float, default=3.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second of all devices together")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    fleet = _Fleet(read_samples(args.bundle), args.port, args.devices, args.rate, args.seed)
    sys.stdout.write(json.dumps({"type": "ready"}) + "\n")
    sys.stdout.flush()
    seconds = fleet.run(args.warm_up, args.seconds)
    sys.stdout.write(
        json.dumps({"type": "figures", **fleet.figures.to_dict(seconds), "repeated": fleet.repeated}) + "\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
