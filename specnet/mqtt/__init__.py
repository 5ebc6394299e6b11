"""The MQTT session that device and gateway share: it comes back, has bounded queues and survives its callbacks."""

from __future__ import annotations

from specnet.mqtt.messages import Incoming, Will
from specnet.mqtt.session import MqttSession
from specnet.mqtt.settings import BrokerSettings

__all__ = ["BrokerSettings", "Incoming", "MqttSession", "Will"]
