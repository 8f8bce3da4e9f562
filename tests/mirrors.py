"""A local HTTP server that stands in for those that files are downloaded from."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from houseprice.config import MirrorFile


@dataclass
class Mirror:
    """A local HTTP server that answers each path by its plan, and counts the requests."""

    url: str = ""
    plans: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def serve(self, path: str, data: bytes) -> MirrorFile:
        self.plans[path] = lambda handler: answer(handler, 200, data)
        return MirrorFile(url=self.url + path, sha1=hashlib.sha1(data).hexdigest())


def answer(handler: BaseHTTPRequestHandler, status: int, data: bytes = b"", length: int | None = None) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(data) if length is None else length))
    handler.end_headers()
    handler.wfile.write(data)


@contextmanager
def serving_files() -> Iterator[Mirror]:
    """A server on loopback that knows no file yet."""
    served = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests.append(self.path)
            served.plans[self.path](self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hangs up early is part of these tests."""

    with Server(("127.0.0.1", 0), Handler) as server:
        served.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.closing.set()
        server.shutdown()
        thread.join()
