"""A stand-in for the Hugging Face hub: one weight file over HTTP, which can be slow, break off, be gated or be absent."""

import hashlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class HubServer:
    """What the stand-in serves, and what it was asked for."""

    content: bytes
    address: str = ""
    pause: float = 0.0
    """Seconds before each 64 KiB."""
    break_after: int | None = None
    """Bytes after which the connection is cut, once for each request."""
    gated: bool = False
    ranges: bool = True
    """Whether a part can be asked for."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """(method, path, range) of each request."""

    @property
    def etag(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def downloads(self) -> list[str]:
        """The ranges that were asked for, in order; "" for a whole file."""
        return [part for method, path, part in self.asked if method == "GET" and "/resolve/" in path]


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        hub, part = self.hub, self.headers.get("Range", "")
        hub.asked.append((self.command, self.path, part))
        if self.path.startswith("/api/models/"):
            about = {
                "id": self.path.removeprefix("/api/models/").partition("?")[0],
                "sha": "b" * 40,
                "gated": "manual" if hub.gated else False,
                "cardData": {"license": "apache-2.0"},
                "siblings": [{"rfilename": "model.safetensors", "size": len(hub.content)}],
            }
            self._send(200, json.dumps(about).encode(), body)
        elif not self.path.endswith("/model.safetensors"):
            self._send(200 if self.path == "/" else 404, b"", body)
        elif hub.gated:
            self._send(403, b"", body, {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        else:
            start = int(part.removeprefix("bytes=").rstrip("-") or 0) if part and hub.ranges else 0
            size = len(hub.content)
            more = {"ETag": f'"{hub.etag}"', "X-Repo-Commit": "b" * 40, "Accept-Ranges": "bytes"}
            if start:
                more["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
            self._send(206 if start else 200, hub.content[start:], body, more)

    def _send(self, status: int, content: bytes, body: bool, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if not body:
            return
        sent = 0
        for begin in range(0, len(content), 1 << 16):
            if self.hub.break_after is not None and sent >= self.hub.break_after and content:
                self.close_connection = True
                return
            if self.hub.pause:
                time.sleep(self.hub.pause)
            piece = content[begin : begin + (1 << 16)]
            try:
                self.wfile.write(piece)
            except OSError:
                self.close_connection = True
                return
            sent += len(piece)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(content: bytes) -> Iterator[HubServer]:
    """A running stand-in that serves `content` as the weights of every repository."""
    hub = HubServer(content)
    handler = type("Handler", (_Handler,), {"hub": hub})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        hub.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
