"""A web server with one file, which misbehaves as told."""

from __future__ import annotations

import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self


class FileServer:
    """Serves files by name.

    Parameters
    ----------
    files
        Path (``/tiny.specnet``) to content.
    certificate
        Certificate and key for https.
    """

    def __init__(self, files: dict[str, bytes], certificate: tuple[Path, Path] | None = None) -> None:
        self.files = files
        self.ranges: list[str | None] = []
        self.cut_after: list[int] = []
        """After how many bytes of the body the next connections are cut."""
        self.knows_ranges = True
        self.etag = '"one"'
        self.statuses: list[int] = []
        """Instead of an answer, one after the other."""
        self.redirects: dict[str, str] = {}
        self.content_range = ""
        """A lie instead of the right one."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "http" if certificate is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def url(self, path: str) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}{path}"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.path in self.redirects:
            handler.send_response(302)
            handler.send_header("Location", self.redirects[handler.path])
            handler.end_headers()
            return
        data = self.files.get(handler.path)
        status = self.statuses.pop(0) if self.statuses else 404 if data is None else 200
        if status != 200 or data is None:
            handler.send_error(status)
            return
        wanted = handler.headers.get("Range")
        self.ranges.append(wanted)
        offset = 0
        found = re.match(r"bytes=(\d+)-\Z", wanted or "")
        if found and self.knows_ranges and handler.headers.get("If-Range", self.etag) == self.etag:
            offset = int(found[1])
        if offset:
            handler.send_response(206)
            right = f"bytes {offset}-{len(data) - 1}/{len(data)}"
            handler.send_header("Content-Range", self.content_range or right)
        else:
            handler.send_response(200)
        handler.send_header("ETag", self.etag)
        handler.send_header("Content-Length", str(len(data) - offset))
        handler.end_headers()
        cut = self.cut_after.pop(0) if self.cut_after else len(data)
        handler.wfile.write(data[offset:][:cut])
        if cut < len(data) - offset:
            handler.close_connection = True
