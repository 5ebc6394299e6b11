"""Which version of MQTT to speak to a broker that has not said what it knows."""

from __future__ import annotations

from enum import Enum
from typing import Literal

Version = Literal["5", "3.1.1"]


class Answer(Enum):
    """What a broker made of a CONNECT."""

    ACCEPTED = "accepted"
    WRONG_VERSION = "refused this protocol version"
    SILENT = "closed or said nothing"
    UNREACHABLE = "no connection"
    OTHER = "refused for another reason"


class VersionChoice:
    """MQTT 5 first, 3.1.1 when the broker does not know version 5.

    A broker of version 3.1.1 answers a *plain* CONNECT of version 5 with "unacceptable protocol version" (MQTT 3.1.1,
    section 3.1.2.2). It may misread one that has properties or a will: amqtt 0.12 takes the properties for the client
    identifier, raises, and leaves the connection open without an answer. So while the version is unknown, `probing`
    asks for a connection without either, which is closed once the broker has answered.

    Parameters
    ----------
    setting
        ``"auto"``, or the only version to speak.
    """

    def __init__(self, setting: Literal["auto", "5", "3.1.1"]) -> None:
        self._automatic = setting == "auto"
        self._version: Version = "3.1.1" if setting == "3.1.1" else "5"
        self._known = not self._automatic
        self._guessed = False

    @property
    def version(self) -> Version:
        """The version of the next attempt."""
        return self._version

    @property
    def probing(self) -> bool:
        """Whether the next attempt only finds out whether the broker speaks version 5."""
        return not self._known and self._version == "5"

    def learn(self, answer: Answer) -> bool:
        """Take note of the broker's answer to the last attempt.

        Returns
        -------
        bool
            True when the next attempt is another one and need not wait.
        """
        if not self._automatic or answer is Answer.OTHER:
            return False
        if answer is Answer.ACCEPTED:
            was_probe = self.probing
            self._known = True
            return was_probe
        if self._version == "5" and (answer is Answer.WRONG_VERSION or (answer is Answer.SILENT and not self._known)):
            self._version = "3.1.1"
            self._known = answer is Answer.WRONG_VERSION
            self._guessed = not self._known
            return True
        if answer is Answer.UNREACHABLE and self._known:
            return False
        # what was thought is not true: another broker behind the address, or it died during the question
        self._ask_again()
        return False

    def lost(self) -> None:
        """Take note that an established connection ended: a version guessed from silence is asked for again."""
        if self._guessed:
            self._ask_again()

    def _ask_again(self) -> None:
        self._version, self._known, self._guessed = "5", False, False
