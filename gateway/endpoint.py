"""``/metrics`` and ``/healthz`` over HTTP, on loopback unless configured otherwise."""

from __future__ import annotations

import ipaddress
import json
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from prometheus_client import CONTENT_TYPE_LATEST

from gateway.logs import fields
from specnet.errors import ConfigurationError

_LOGGER = logging.getLogger(__name__)
REQUEST_TIMEOUT_S = 5.0


class MonitoringEndpoint:
    """A small HTTP server in a thread.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one, see `port`.
    metrics
        Gives the body of ``/metrics``.
    problems
        Why the gateway cannot serve; ``/healthz`` answers 200 when there are none and 503 otherwise.

    Raises
    ------
    ConfigurationError
        When the address cannot be used.
    """

    def __init__(
        self, host: str, port: int, *, metrics: Callable[[], bytes], problems: Callable[[], list[str]]
    ) -> None:
        class Handler(_Handler):
            routes = {"/metrics": lambda: _metrics_page(metrics), "/healthz": lambda: _health_page(problems)}  # noqa: RUF012

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(f"monitoring cannot listen on {host}:{port}: {error}") from error
        self._server.daemon_threads = True
        address = str(self._server.server_address[0])
        if not ipaddress.ip_address(address).is_loopback:
            _LOGGER.warning("whoever reaches this address can read the metrics", extra=fields(host=address))
        self._thread = threading.Thread(target=self._server.serve_forever, name="monitoring", daemon=True)

    @property
    def port(self) -> int:
        """The port that is really used."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


Page = tuple[int, str, bytes]


def _metrics_page(metrics: Callable[[], bytes]) -> Page:
    return 200, CONTENT_TYPE_LATEST, metrics()


def _health_page(problems: Callable[[], list[str]]) -> Page:
    found = problems()
    document = {"status": "unavailable" if found else "ok", "reasons": found}
    return 503 if found else 200, "application/json", json.dumps(document).encode() + b"\n"


class _Handler(BaseHTTPRequestHandler):
    routes: dict[str, Callable[[], Page]]
    timeout = REQUEST_TIMEOUT_S  # a client that says nothing must not hold a thread

    def do_GET(self) -> None:
        """Answer one request."""
        route = self.routes.get(self.path.partition("?")[0])
        status, kind, body = route() if route else (404, "text/plain", b"there are /metrics and /healthz\n")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: every scrape would be a line."""
