"""Structured logs: one line a record, as ``key=value`` or as JSON, so that they can be searched by request."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, TextIO

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]

_PLAIN = re.compile(r"[A-Za-z0-9_.:/+-]+\Z")
MAX_VALUE = 2000
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""Levels of syslog, which journald reads at the beginning of a line (sd-daemon(3))."""


class KeyValueFormatter(logging.Formatter):
    """Formats ``time=... level=... logger=... event="..." key=value ...``; a traceback becomes one quoted value."""

    def format(self, record: logging.LogRecord) -> str:
        """Line of a record; never more than one, whatever a message contains."""
        return " ".join(f"{key}={_quoted(value)}" for key, value in _fields_of(self, record, "event").items())


class JsonFormatter(logging.Formatter):
    """Formats one JSON document a line: ``time``, ``level``, ``logger``, ``message``, then the fields of the record."""

    def format(self, record: logging.LogRecord) -> str:
        """Line of a record; never more than one, whatever a message contains."""
        return json.dumps({key: _plain(value) for key, value in _fields_of(self, record, "message").items()})


class JournalFormatter(logging.Formatter):
    """Puts the priority that journald understands in front of another formatter's lines.

    Parameters
    ----------
    inner
        Makes the lines.
    """

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Line of a record with its priority, such as ``<4>`` for a warning."""
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{self._inner.format(record)}"


def _fields_of(formatter: logging.Formatter, record: logging.LogRecord, event: str) -> dict[str, Any]:
    milliseconds = int(record.msecs)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    found: dict[str, Any] = {
        "time": f"{stamp}.{milliseconds:03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        event: record.getMessage(),
        **getattr(record, "fields", {}),
    }
    if record.exc_info:
        found["traceback"] = formatter.formatException(record.exc_info)
    return found


def _quoted(value: Any) -> str:
    text = str(value)[:MAX_VALUE]
    return text if _PLAIN.match(text) else json.dumps(text)


def _plain(value: Any) -> Any:
    # JSON has no NaN and no infinity
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)[:MAX_VALUE]


def fields(**values: Any) -> dict[str, Any]:
    """Argument `extra` of a logging call: ``logger.info("served", extra=fields(request="a-1-2"))``."""
    return {"fields": values}


def configure_logging(
    level: Level = "info", form: Format = "text", environment: Mapping[str, str] = os.environ
) -> None:
    """Send all records to stderr.

    Parameters
    ----------
    level
        Records below it are left out.
    form
        ``text`` is key=value, ``json`` one document a line.
    environment
        ``JOURNAL_STREAM`` says whether stderr goes to journald, which then gets the priority of each line.
    """
    formatter: logging.Formatter = JsonFormatter() if form == "json" else KeyValueFormatter()
    if goes_to_journal(sys.stderr, environment):
        formatter = JournalFormatter(formatter)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def goes_to_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a stream is the one that systemd has connected to the journal (systemd.exec(5), ``JOURNAL_STREAM``)."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class RateLimitedLog:
    """Logs one line a reason and interval, and says how many it kept back: a broken device must not fill the disk.

    What is kept back is logged at the level debug, so that who looks for one request finds it.

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
            due = now - self._last.get(reason, -self._interval_s) >= self._interval_s
            if due:
                self._last[reason] = now
                suppressed = self._suppressed.pop(reason, 0)
            else:
                self._suppressed[reason] = self._suppressed.get(reason, 0) + 1
        if due:
            self._logger.warning(event, extra=fields(reason=reason, **values, suppressed=suppressed))
        else:
            self._logger.debug(event, extra=fields(reason=reason, **values))
