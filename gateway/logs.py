"""Structured logs: one line of ``key=value`` a record, so that they can be searched by request id."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

_PLAIN = re.compile(r"[A-Za-z0-9_.:/+-]+\Z")
MAX_VALUE = 2000


class KeyValueFormatter(logging.Formatter):
    """Formats ``time=... level=... event="..." key=value ...``; a traceback becomes one quoted value."""

    def format(self, record: logging.LogRecord) -> str:
        """Line of a record; never more than one, whatever a message contains."""
        milliseconds = int(record.msecs)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, Any] = {
            "time": f"{stamp}.{milliseconds:03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return " ".join(f"{key}={_quoted(value)}" for key, value in fields.items())


def _quoted(value: Any) -> str:
    text = str(value)[:MAX_VALUE]
    return text if _PLAIN.match(text) else json.dumps(text)


def fields(**values: Any) -> dict[str, Any]:
    """Argument `extra` of a logging call: ``logger.info("served", extra=fields(request="a-1-2"))``."""
    return {"fields": values}


def configure_logging(level: int = logging.INFO) -> None:
    """Send all records to stderr in key=value form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KeyValueFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)


class RateLimitedLog:
    """Logs one line a reason and interval, and says how many it kept back: a broken device must not fill the disk.

    Parameters
    ----------
    logger
        Where to.
    interval_s
        Pause between two lines of the same reason, in seconds.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, logger: logging.Logger, *, interval_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._interval_s = interval_s
        self._clock = clock
        self._lock = threading.Lock()
        # reasons come from the program, never from a message, so this stays small
        self._last: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def warning(self, event: str, *, reason: str, **values: Any) -> None:
        """Log a warning unless one of the same reason was logged within the interval."""
        with self._lock:
            now = self._clock()
            if now - self._last.get(reason, -self._interval_s) < self._interval_s:
                self._suppressed[reason] = self._suppressed.get(reason, 0) + 1
                return
            self._last[reason] = now
            suppressed = self._suppressed.pop(reason, 0)
        self._logger.warning(event, extra=fields(reason=reason, **values, suppressed=suppressed))
