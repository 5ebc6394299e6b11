"""The course of a soak test: broker, replicas and devices as processes, and what becomes of the requests."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specnet.demo.broker import Broker
from specnet.demo.children import Child, ChildError
from specnet.demo.gateway_child import add_bundle
from specnet.demo.serving.comparison import BROKER
from specnet.demo.soak.chaos import Chaos
from specnet.demo.soak.growth import Sample, folder_bytes, resident_bytes
from specnet.demo.soak.ledger import BROKEN
from specnet.demo.soak.replica import READY_TIMEOUT_S, Replica

TURN_S = 0.05
CALM_S = 20.0
"""Nothing is struck any more when no request was answered for so long: what has no answer then has time to get one."""
PATIENCE_S = 60.0
"""Without any answer for so long, what is open is lost."""
FLEET_SILENCE_S = 60.0
LAST_WORD_S = 10.0


@dataclass(frozen=True)
class SoakCourse:
    """How many, how long, how badly.

    Parameters
    ----------
    n_requests
        Until so many have an answer.
    n_devices, open_each
        Connections, and requests that each has open at a time.
    n_replicas
        Gateways that share the requests. The first one is never struck, so that its memory can be followed.
    kill_every_s, broker_every_s
        Mean times between two strikes of replicas, and of the broker, in seconds.
    resend_s
        A request without an answer is sent again after so many seconds.
    twice
        Share of requests that are sent twice at once: where the broker gives them to two gateways, both have to say the
        same.
    seed
        Of what goes wrong, and when.
    """

    n_requests: int
    n_devices: int = 200
    open_each: int = 1
    n_replicas: int = 3
    kill_every_s: float = 10.0
    broker_every_s: float = 60.0
    resend_s: float = 3.0
    twice: float = 0.05
    seed: int = 0


@dataclass(frozen=True)
class Soak:
    """What came of it.

    Parameters
    ----------
    figures
        What the devices found; see `specnet.demo.soak.ledger.Ledger.to_dict`.
    struck
        What went wrong how often.
    samples
        Memory and disk over time.
    """

    figures: dict[str, Any]
    struck: Counter[str]
    samples: tuple[Sample, ...]

    @property
    def passed(self) -> bool:
        """Whether every request was answered, rightly, and the same each time."""
        return not any(self.figures[kind] for kind in ("lost", "not_asked", *BROKEN))


def run_soak(
    bundle: Path,
    folder: Path,
    course: SoakCourse,
    *,
    told: Callable[[int, Counter[str]], None] = lambda n, struck: None,
) -> Soak:
    """Run a soak test; `told` hears from time to time how many requests are answered and what has gone wrong so far.

    Raises
    ------
    ChildError
        When a process fails that was not to.
    BrokerError
        When mosquitto is not installed.
    """
    folder.mkdir()
    store = folder / "store"
    with ExitStack() as running:
        broker = running.enter_context(Broker(folder=folder / "broker", extra_configuration=BROKER))
        add_bundle(bundle, store, folder, READY_TIMEOUT_S)
        replicas = [Replica(f"replica-{number}", store, broker, folder) for number in range(course.n_replicas)]
        for replica in replicas:
            running.callback(replica.close)
            replica.start()
        for replica in replicas:
            replica.wait_ready()
        fleet = running.enter_context(Child("fleet", _words(bundle, broker, course), folder))
        fleet.expect("type", READY_TIMEOUT_S)
        chaos = Chaos(replicas[1:], broker, course.kill_every_s, course.broker_every_s, course.seed)
        figures, samples = _Run(fleet, replicas, chaos, told).until_answered()
        if not broker.running:
            broker.start()
        for replica in replicas:
            replica.end()
    return Soak(figures, chaos.struck, tuple(samples))


def _words(bundle: Path, broker: Broker, course: SoakCourse) -> list[str]:
    return [
        *("specnet.demo.soak.fleet", str(bundle), "--port", str(broker.port)),
        *("--requests", str(course.n_requests), "--devices", str(course.n_devices), "--open", str(course.open_each)),
        *("--resend-s", str(course.resend_s), "--twice", str(course.twice)),
        *("--patience-s", str(PATIENCE_S), "--seed", str(course.seed)),
    ]


class _Run:
    """From the first request to the last answer."""

    def __init__(
        self, fleet: Child, replicas: list[Replica], chaos: Chaos, told: Callable[[int, Counter[str]], None]
    ) -> None:
        self._fleet, self._replicas, self._chaos, self._told = fleet, replicas, chaos, told
        self._answered, self._quiet_s = 0, 0.0
        self._samples: list[Sample] = []

    def until_answered(self) -> tuple[dict[str, Any], list[Sample]]:
        """Let things go wrong until the devices have what they want, or give up."""
        began = heard = time.monotonic()
        self._chaos.begin(began)
        while True:
            records = self._fleet.records(TURN_S)
            now = time.monotonic()
            for record in records:
                if record["type"] == "figures":
                    return record, self._samples
                self._answered, self._quiet_s = record["so_far"], record["quiet_s"]
            if records:
                heard = now
                self._sample(now - began)
            elif not self._fleet.alive:
                # its last word may still be on its way here
                return self._fleet.expect("examples", LAST_WORD_S), self._samples
            elif now - heard > FLEET_SILENCE_S:
                raise ChildError(f"the devices have said nothing for {FLEET_SILENCE_S:g} s")
            self._replicas[0].tend(now)
            self._chaos.tend(now, strike=self._quiet_s < CALM_S)

    def _sample(self, seconds: float) -> None:
        steady = self._replicas[0].pid
        assert steady is not None
        disk = sum(folder_bytes(replica.folder) for replica in self._replicas)
        self._samples.append(
            Sample(seconds, self._answered, resident_bytes(steady), resident_bytes(self._fleet.pid), disk)
        )
        self._told(self._answered, self._chaos.struck)
