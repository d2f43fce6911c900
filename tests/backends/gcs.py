"""A stand-in for Google Cloud Storage: just what the client asks of it, generations heeded.

The public emulators refuse the client's requests or ignore its conditions.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, tuple[int, bytes]]
    guard: threading.Lock
    careless: bool

    def do_PUT(self) -> None:
        name, data = self._name(), self.rfile.read(int(self.headers.get("Content-Length", 0)))
        wanted = self.headers.get("x-goog-if-generation-match")
        with self.guard:
            generation = self.objects.get(name, (0, b""))[0]
            if not self.careless and wanted not in (None, str(generation)):
                return self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            self.objects[name] = generation + 1, data
        return self._answer(200, b"", generation + 1)

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            return self._list(query.get("prefix", [""])[0])
        generation, data = self.objects.get(self._name(), (0, b""))
        if not generation:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        return self._answer(200, data, generation)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _list(self, prefix: str) -> None:
        bucket = self._name()
        keys = [name.removeprefix(f"{bucket}/") for name in sorted(self.objects)]
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00Z</LastModified>"
            f"<ETag>x</ETag><Size>1</Size></Contents>"
            for key in keys
            if key.startswith(prefix)
        )
        self._answer(200, f"<ListBucketResult>{rows}</ListBucketResult>".encode())

    def _name(self) -> str:
        return unquote(urlsplit(self.path).path).strip("/")

    def _answer(self, status: int, body: bytes, generation: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", _DATE)
        self.send_header("ETag", f'"{generation}"')
        self.send_header("x-goog-generation", str(generation))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        return


@contextmanager
def gcs(*, careless: bool = False) -> Iterator[str]:
    """Run the stand-in; yields its address. A careless one ignores conditions."""
    own = {"objects": {}, "guard": threading.Lock(), "careless": careless}
    handler = type("Handler", (_Handler,), own)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
