"""Log lines: one a record, key=value or JSON, limited in rate, with the journal's priority in front."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import pytest

from gateway.logs import JournalFormatter, JsonFormatter, KeyValueFormatter, RateLimitedLog, fields, goes_to_journal


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(KeyValueFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def logger_with_lines() -> tuple[logging.Logger, Lines]:
    logger, lines = logging.Logger("gateway.test", logging.INFO), Lines()
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


def test_what_is_kept_back_is_still_there_for_who_looks_at_the_level_debug() -> None:
    logger, lines = logger_with_lines()
    logger.setLevel(logging.DEBUG)
    log = RateLimitedLog(logger, clock=lambda: 0.0)
    for number in range(3):
        log.warning("refused", reason="malformed", request=f"a-1-{number}")
    assert [line.split("level=")[1].split()[0] for line in lines.lines] == ["warning", "debug", "debug"]
    assert all(f"request=a-1-{number}" in line for number, line in enumerate(lines.lines))


def test_a_record_is_one_json_document_with_values_as_they_are() -> None:
    logger, lines = logger_with_lines()
    lines.setFormatter(JsonFormatter())
    values = {"request": "a-1-2", "ms": 1.5, "exit": 3, "audit": False, "path": Path("x"), "nothing": None}
    logger.warning("two\nlines", extra=fields(**values, odd=float("nan"), long="x" * 5000))
    [line] = lines.lines
    document = json.loads(line, parse_constant=pytest.fail)
    assert "\n" not in line
    assert document.pop("time").endswith("Z")
    assert len(document.pop("long")) == 2000
    assert document == {
        "level": "warning",
        "logger": "gateway.test",
        "message": "two\nlines",
        **values,
        "path": "x",
        "odd": "nan",
    }


def test_the_journal_gets_the_priority_in_front_of_the_line() -> None:
    logger, lines = logger_with_lines()
    lines.setFormatter(JournalFormatter(KeyValueFormatter()))
    logger.info("a")
    logger.warning("b")
    logger.error("c")
    assert [line[:8] for line in lines.lines] == ["<6>time=", "<4>time=", "<3>time="]


def test_only_the_stream_that_systemd_connected_goes_to_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w") as stream, (tmp_path / "other").open("w") as other:
        status = os.fstat(stream.fileno())
        environment = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert goes_to_journal(stream, environment)
        assert not goes_to_journal(other, environment)
        assert not goes_to_journal(stream, {})
