"""Commands from the gateway's side, and the reply to the last one."""

from __future__ import annotations

import logging

from device.listening import Listener
from specnet.errors import WireError
from specnet.wire import Command, CommandReply, decode
from specnet.wire.messages import MAX_TEXT

logger = logging.getLogger(__name__)


class Orders:
    """Reads commands, passes them on, and keeps the reply until it is published.

    Of commands that come together only the last is answered: `CommandReply.number` shows it.

    Parameters
    ----------
    listener
        Obeys.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._received = 0
        self.reply: CommandReply | None = None
        """What is still to be published."""

    def take(self, payload: bytes) -> bool:
        """Obey a command or refuse it; False when it could not even be read."""
        command, command_id = None, ""
        try:
            command = decode(Command, payload)
        except WireError as error:
            logger.warning("command refused: %s", error)
            reason = str(error)
            self._listener.refused(reason)
        else:
            command_id = command.id if isinstance(command.id, str) else ""
            reason = self._listener.commanded(command)
        self._received += 1
        self.reply = CommandReply(number=self._received, obeyed=not reason, id=command_id, reason=reason[:MAX_TEXT])
        return command is not None
