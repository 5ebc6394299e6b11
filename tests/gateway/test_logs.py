"""Log lines: one a record, key=value, limited in rate."""

from __future__ import annotations

import logging
import sys

from gateway.logs import KeyValueFormatter, RateLimitedLog, fields


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(KeyValueFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def logger_with_lines() -> tuple[logging.Logger, Lines]:
    logger, lines = logging.Logger("gateway.test"), Lines()
    logger.addHandler(lines)
    return logger, lines


def test_a_record_is_one_line_of_key_value_pairs() -> None:
    logger, lines = logger_with_lines()
    logger.warning("a message was refused", extra=fields(request="a-1-2", error='line\nbreak "quoted"'))
    [line] = lines.lines
    assert line.endswith(
        r'level=warning logger=gateway.test event="a message was refused" request=a-1-2 error="line\nbreak \"quoted\""'
    )
    assert "\n" not in line


def test_a_traceback_stays_in_the_line() -> None:
    logger, lines = logger_with_lines()
    try:
        raise OSError("gone")
    except OSError:
        logger.error("failed", exc_info=sys.exc_info())
    [line] = lines.lines
    assert "\n" not in line
    assert "OSError: gone" in line


def test_a_reason_is_logged_once_an_interval_with_the_number_kept_back() -> None:
    logger, lines = logger_with_lines()
    now = [0.0]
    log = RateLimitedLog(logger, interval_s=10, clock=lambda: now[0])
    for _ in range(5):
        log.warning("refused", reason="malformed")
    log.warning("refused", reason="foreign")
    now[0] = 10.0
    log.warning("refused", reason="malformed")
    assert [line.split("event=")[1] for line in lines.lines] == [
        "refused reason=malformed suppressed=0",
        "refused reason=foreign suppressed=0",
        "refused reason=malformed suppressed=4",
    ]
