"""What goes wrong, and when: random moments from a seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from specnet.demo.broker import Broker
from specnet.demo.soak.replica import Replica

DRAIN_SHARE = 0.25
"""Part of the replicas that are asked to end (SIGTERM) rather than killed."""
PAUSE_S = (0.1, 2.0)
"""How long whoever was struck stays away."""


class Chaos:
    """Strikes replicas and the broker, and puts both right again.

    The moments are a Poisson process for the replicas and another one for the broker. Which replica it is, and how it
    ends, comes from the seed too; what it is doing just then does not.

    Parameters
    ----------
    replicas
        Those that may be struck.
    broker
        Killed (SIGKILL) and started on the same port.
    kill_every_s, broker_every_s
        Mean times between two strikes, in seconds.
    seed
        Of all of that.
    """

    def __init__(
        self, replicas: Sequence[Replica], broker: Broker, kill_every_s: float, broker_every_s: float, seed: int
    ) -> None:
        self._replicas, self._broker = replicas, broker
        self._rates = 1 / kill_every_s, 1 / broker_every_s
        self._random = random.Random(seed)
        self._next_replica = self._next_broker = self._broker_back = 0.0
        self.struck: Counter[str] = Counter()

    def begin(self, now: float) -> None:
        """Draw the first moments, from now on."""
        self._next_replica, self._next_broker = (now + self._random.expovariate(rate) for rate in self._rates)

    def tend(self, now: float, *, strike: bool = True) -> None:
        """Put right what has been away for long enough, and strike when it is time to.

        Raises
        ------
        ChildError
            When a replica does what it was not asked to.
        BrokerError
            When the broker does not start again.
        """
        for replica in self._replicas:
            replica.tend(now)
        if not self._broker.running and now >= self._broker_back:
            self._broker.start()
        if strike and now >= self._next_replica:
            self._next_replica = now + self._random.expovariate(self._rates[0])
            self._strike_replica(now)
        if strike and now >= self._next_broker and self._broker.running:
            self._next_broker = now + self._random.expovariate(self._rates[1])
            self._broker.kill()
            self._broker_back = now + self._random.uniform(*PAUSE_S)
            self.struck["broker restarts"] += 1

    def _strike_replica(self, now: float) -> None:
        there = [replica for replica in self._replicas if replica.up]
        if not there:
            return
        victim, pause_s = self._random.choice(there), self._random.uniform(*PAUSE_S)
        if self._random.random() < DRAIN_SHARE and victim.ready:
            victim.drain(now, pause_s)
            self.struck["drains"] += 1
        else:
            victim.kill(now, pause_s)
            self.struck["kills"] += 1
