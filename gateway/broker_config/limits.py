"""How much may wait at the broker, and how large a message may be: what follows from the plan, with its reason.

mosquitto's own defaults drop messages of QoS 1 in silence when 1,000 wait for one client. Nothing is lost for good,
because devices send again until their result has come, but a burst turns into seconds of waiting.

There is no ``message_size_limit``: mosquitto 2.0 answers a larger payload with a reason that MQTT 5 does not allow in
that place, upon which paho gives up the connection; ``max_packet_size`` says the same beforehand.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.broker_config.plan import BrokerPlan

COPIES = 2
"""A device sends a request a second time before the first copy expires at the broker."""
CLIENT_WINDOW = 100
"""What specnet's clients have under way towards a broker at most (`specnet.mqtt`)."""
LEAST_QUEUE = 10_000
LEAST_LARGE = 16
"""So many of the largest payloads always fit into a queue."""
PACKET_OVERHEAD_BYTES = 4096
SPARE_CONNECTIONS = 64


class Option(NamedTuple):
    """A line of the configuration, and why it is there."""

    name: str
    value: object
    why: str


def limits(plan: BrokerPlan) -> list[Option]:
    """Limits of the whole broker."""
    queue = max(LEAST_QUEUE, COPIES * plan.room_for * _under_way(plan))
    queue_bytes = max(queue * plan.request_bytes, LEAST_LARGE * plan.payload_bytes)
    return [
        Option(
            "max_queued_messages",
            queue,
            f"For each client. A gateway that is busy has {plan.room_for} devices x {_under_way(plan)} requests and "
            f"audit samples waiting, each perhaps {COPIES} times; at least {LEAST_QUEUE}. Beyond it messages are "
            "dropped in silence.",
        ),
        Option(
            "max_queued_bytes",
            queue_bytes,
            f"For each client: as many of {plan.request_bytes} bytes, or {LEAST_LARGE} of the largest. "
            "Bounds the memory.",
        ),
        Option(
            "max_inflight_messages",
            CLIENT_WINDOW,
            "What specnet's clients keep under way; a gateway of MQTT 5 says itself how much it takes.",
        ),
        Option(
            "max_packet_size",
            packet_bytes(plan),
            f"The largest payload, {plan.payload_bytes} bytes, with topic and properties. A client of MQTT 5 is told, "
            "and whoever sends more is disconnected before it is read.",
        ),
        Option(
            "persistent_client_expiration",
            "1h",
            "specnet's clients leave no session behind; a foreign one must not collect messages for ever.",
        ),
    ]


def listener_limits(plan: BrokerPlan) -> list[Option]:
    """Limits of the listener."""
    clients = plan.room_for + len(plan.gateways) + len(plan.operators)
    return [
        Option(
            "max_connections",
            clients + clients // 4 + SPARE_CONNECTIONS,
            f"{clients} clients, a quarter more for those that come back before they were missed, and "
            f"{SPARE_CONNECTIONS}. The limit of open files (LimitNOFILE of the service) must be above it.",
        ),
        Option("max_qos", 1, "specnet speaks QoS 0 and 1; the broker need not keep the state of QoS 2."),
    ]


def packet_bytes(plan: BrokerPlan) -> int:
    """Largest packet that the broker takes."""
    return plan.payload_bytes + PACKET_OVERHEAD_BYTES


def _under_way(plan: BrokerPlan) -> int:
    """Messages that a device has under way: its window, and a quarter of that for audit samples."""
    return plan.window + max(1, plan.window // 4)
