"""A web server on loopback that misbehaves as it is told."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit


@dataclass
class Site:
    """What the server answers with, and what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    etag: str | None = '"1"'
    statuses: list[int] = field(default_factory=list)  # of the next GETs
    resets: list[int] = field(default_factory=list)  # bytes after which the next GETs break off
    retry_after: str | None = None
    silent_s: float = 0.0
    changes: bool = False  # the tag, from answer to answer
    encoding: str | None = None
    token: str | None = None  # without which nothing is given
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path and range of each GET


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_HEAD(self) -> None:
        self.send_response(405)  # as of a URL that is signed for GET
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        site = self.site
        asked = self.headers.get("Range")
        site.asked.append((self.path, asked))
        time.sleep(site.silent_s)
        name = urlsplit(self.path).path
        if site.token and self.headers.get("Authorization") != site.token:
            self._refuse(401)
            return
        status = site.statuses.pop(0) if site.statuses else 200 if name in site.files else 404
        if status != 200:
            self._refuse(status)
            return
        data, start = site.files[name], 0
        tag = f'"{len(site.asked)}"' if site.changes else site.etag
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "")
        if match and site.ranges and self.headers.get("If-Range", tag) == tag:
            start = int(match[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if tag:
            self.send_header("ETag", tag)
        if site.encoding:
            self.send_header("Content-Encoding", site.encoding)
        self.send_header("Content-Type", "text/html" if data[:1] == b"<" else "application/octet-stream")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self._send(data[start:])

    def _send(self, data: bytes) -> None:
        if not self.site.resets:
            self.wfile.write(data)
            return
        self.wfile.write(data[: self.site.resets.pop(0)])
        self.wfile.flush()
        time.sleep(0.05)  # what a reset overtakes is lost
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        if self.site.retry_after:
            self.send_header("Retry-After", self.site.retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def handle(self) -> None:
        with suppress(OSError, ValueError):  # the client is gone, or was sent away
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Site]:
    """A site on a free port, until the block ends."""
    site = Site()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
