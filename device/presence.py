"""Who is there: the retained messages ``state`` and ``birth``, and with the state the reply to the last command."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from device.orders import Orders
from specnet.mqtt import MqttSession, Will
from specnet.wire import Birth, CommandReply, State, Topics, encode


class Presence:
    """Says who is there with each connect, and when something about it has changed.

    Parameters
    ----------
    topics, birth
        Where, and what the device can do.
    boot
        Number of this start.
    orders
        Has the reply to the last command.
    """

    def __init__(self, topics: Topics, birth: Birth, boot: int, orders: Orders) -> None:
        self._topics = topics
        self._birth = birth
        self._boot = boot
        self._orders = orders
        self._standing = ""
        self._restated = False
        self._introductions: list[Callable[[], None]] = []

    def offline(self, reason: str) -> Will:
        """Make the state of a device that is gone."""
        state = State(device=self._topics.device, status="offline", boot=self._boot, reason=reason)
        return Will(self._topics.state, encode(state))

    def stand(self, reason: str) -> None:
        """Have the state published anew with these words; any thread."""
        self._standing = reason
        self._restated = True

    def also(self, introduce: Callable[[], None]) -> None:
        """Call `introduce` too after each connect."""
        self._introductions.append(introduce)

    def introduce(self, session: MqttSession) -> None:
        """Say everything, after a connect."""
        self._restated = False
        self._publish(session)
        session.publish(self._topics.birth, encode(self._birth), retain=True)
        for introduce in self._introductions:
            introduce()

    def keep_up(self, session: MqttSession) -> None:
        """Say what has changed."""
        if self._restated and session.connected:
            self._restated = False
            self._publish(session)
        if self._orders.reply is not None and self._publish(session, self._orders.reply):
            self._orders.reply = None

    def _publish(self, session: MqttSession, reply: CommandReply | None = None) -> bool:
        state = State(
            device=self._topics.device,
            status="online",
            boot=self._boot,
            reason=self._standing,
            command=msgspec.UNSET if reply is None else reply,
        )
        return session.publish(self._topics.state, encode(state), retain=True)
