"""An amqtt broker in a process of its own: ``python amqtt_process.py PORT``.

For demonstrations on machines without mosquitto only: it speaks MQTT 3.1.1 and loses messages under load.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig

LOOPBACK = "127.0.0.1"


async def serve(port: int) -> None:
    """Serve anonymous clients on the loopback interface until SIGTERM."""
    configuration = BrokerConfig(
        listeners={"default": ListenerConfig(bind=f"{LOOPBACK}:{port}")},
        plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    )
    broker = Broker(configuration)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await broker.start()
    await stopping.wait()
    await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    asyncio.run(serve(int(sys.argv[1])))
