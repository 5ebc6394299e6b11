"""What a session says of a broker, kept so that whoever waits for it in vain can tell why."""

from __future__ import annotations

import logging
import threading


class LastWords(logging.Handler):
    """A logger of its own for a session, which passes everything on and remembers the last warning.

    Parameters
    ----------
    logger
        Where everything is passed on to; None for nowhere.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        super().__init__(logging.WARNING)
        self.logger = logging.Logger(__name__ if logger is None else logger.name, logging.INFO)
        self.logger.parent = logger
        self.logger.addHandler(self)
        self.said = threading.Event()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a warning."""
        self.text = record.getMessage()
        self.said.set()
