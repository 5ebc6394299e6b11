"""Fetching a model over HTTP(S): by ranges, from where the last connection ended (RFC 9110, sections 13.1.5 and 14)."""

from __future__ import annotations

import http.client
import logging
import re
import ssl
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from device.models.pace import Pace
from device.models.partial import PartialFile
from specnet.errors import ConfigurationError, ModelStoreError

logger = logging.getLogger(__name__)

TIMEOUT_S = 20.0
PIECE_BYTES = 16_384
MAX_REDIRECTS = 3
MAX_ATTEMPTS_WITHOUT_PROGRESS = 5
FIRST_PAUSE_S = 0.5
_RANGE = re.compile(r"bytes (\d{1,12})-(\d{1,12})/(\d{1,12})\Z")
_ERRORS = (OSError, http.client.HTTPException)


class HttpSource:
    """Files of a web server.

    Parameters
    ----------
    ca_file
        Authorities to trust for https; the system's when empty. Certificate and host name are always verified.
    timeout_s
        Of connecting and of every read, in seconds.
    """

    def __init__(self, ca_file: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._ca_file = ca_file
        self._timeout_s = timeout_s
        self.counters: Counter[str] = Counter()

    def fetch(self, partial: PartialFile, url: str, pace: Pace) -> None:
        """Fetch what is missing, over as many connections as it takes while each brings something.

        Raises
        ------
        ModelStoreError
            When the server gives no such file, or nothing any more; `FetchInterruptedError` when it is to end.
        """
        in_vain = 0
        while partial.received < partial.size:
            before = partial.received
            try:
                with self._open(url, partial, pace) as response:
                    self._read(response, partial, pace)
                problem = "the server ended early"
            except _ERRORS as error:
                problem = f"{type(error).__name__}: {error}"
            in_vain = 0 if partial.received > before else in_vain + 1
            if partial.received < partial.size:
                self.counters["http_reconnects"] += 1
                if in_vain >= MAX_ATTEMPTS_WITHOUT_PROGRESS:
                    raise ModelStoreError(f"{url} cannot be fetched: {problem[:200]}")
                logger.warning("%s: %s; going on at byte %d", url, problem, partial.received)
                pace.wait(FIRST_PAUSE_S * 2**in_vain)

    def small(self, url: str, max_bytes: int) -> bytes:
        """Fetch a small file at once; `ModelStoreError` when it cannot be had or is larger."""
        try:
            with self._request(url, {}) as response:
                if response.status != http.client.OK:
                    raise ModelStoreError(f"{url}: {response.status} {response.reason}")
                data = response.read(max_bytes + 1)
        except _ERRORS as error:
            raise ModelStoreError(f"{url} cannot be fetched: {error}") from error
        if len(data) > max_bytes:
            raise ModelStoreError(f"{url} has over {max_bytes} bytes")
        return data

    @contextmanager
    def _open(self, url: str, partial: PartialFile, pace: Pace) -> Iterator[http.client.HTTPResponse]:
        headers = {}
        if partial.received:
            headers["Range"] = f"bytes={partial.received}-"
            if partial.tag:
                headers["If-Range"] = partial.tag
        with self._request(url, headers) as response:
            pace.check()
            self._place(response, partial, url)
            yield response

    def _place(self, response: http.client.HTTPResponse, partial: PartialFile, url: str) -> None:
        """Find out where the answer's bytes belong; start anew when it begins at the beginning."""
        if response.status == http.client.PARTIAL_CONTENT:
            found = _RANGE.match(response.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != partial.received or int(found[3]) != partial.size:
                partial.restart()
                raise http.client.HTTPException(
                    f"Content-Range {response.headers.get('Content-Range', '')[:80]!r}, "
                    f"expected to go on in a file of {partial.size} bytes"
                )
        elif response.status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            partial.restart()
            raise http.client.HTTPException("the server has a shorter file")
        elif response.status == http.client.OK:
            # a server that knows no ranges, or a file that has changed
            if partial.received:
                self.counters["http_restarts"] += 1
                partial.restart()
            length = response.headers.get("Content-Length")
            if length is not None and length != str(partial.size):
                raise ModelStoreError(f"{url} has {length[:20]} bytes, announced are {partial.size}")
        elif 400 <= response.status < 500:
            raise ModelStoreError(f"{url}: {response.status} {response.reason}")
        else:
            raise http.client.HTTPException(f"{response.status} {response.reason}")
        tag = response.headers.get("ETag", "")
        # a weak tag says nothing of bytes (RFC 9110, 13.1.5)
        partial.remember_tag("" if tag.startswith("W/") else tag)

    def _read(self, response: http.client.HTTPResponse, partial: PartialFile, pace: Pace) -> None:
        """Read to the end; pieces are of some size because each is forced to disk, and the last is kept on errors."""
        piece = bytearray()
        try:
            while left := partial.size - partial.received - len(piece):
                data = response.read1(min(PIECE_BYTES, left))
                if not data:
                    return
                piece += data
                if len(piece) >= PIECE_BYTES:
                    partial.append(bytes(piece))
                    piece.clear()
                self.counters["http_bytes"] += len(data)
                pace.took(len(data))
        finally:
            if piece:
                partial.append(bytes(piece))

    @contextmanager
    def _request(self, url: str, headers: dict[str, str]) -> Iterator[http.client.HTTPResponse]:
        """Send a GET and follow redirects; https never leads to http."""
        for _ in range(MAX_REDIRECTS + 1):
            parts = _split(url)
            connection = self._connect(parts)
            try:
                target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
                # `identity`, because ranges and sizes are those of the file itself
                connection.request("GET", target, headers={"Accept-Encoding": "identity", **headers})
                response = connection.getresponse()
                place = response.headers.get("Location") if 300 <= response.status < 400 else None
                if place is None:
                    yield response
                    return
            finally:
                connection.close()
            url = urllib.parse.urljoin(url, place)
            if parts.scheme == "https" and _split(url).scheme != "https":
                raise ModelStoreError(f"{place[:200]!r} leads from https to http: refused")
        raise ModelStoreError(f"{url[:200]} redirects more than {MAX_REDIRECTS} times")

    def _connect(self, parts: urllib.parse.SplitResult) -> http.client.HTTPConnection:
        assert parts.hostname is not None
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=self._timeout_s)
        try:
            context = ssl.create_default_context(cafile=self._ca_file or None)
        except OSError as error:
            raise ConfigurationError(f"models.ca_file {self._ca_file!r} is unusable: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=self._timeout_s, context=context)


def _split(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError as error:
        raise ModelStoreError(f"{url[:200]!r} is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or not url.isprintable():
        raise ModelStoreError(f"an address begins with http:// or https:// and a host, got {url[:200]!r}")
    return parts
