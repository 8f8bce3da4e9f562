"""A stand-in for kaggle.com on loopback, to which the real client talks: it takes submissions and lists them."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SERVICE = "http://localhost/api/v1/competitions.CompetitionApiService/"


@dataclass
class Kaggle:
    """What the server knows, and how it behaves.

    Attributes
    ----------
    url
        Where it listens; it is reached as a proxy, because the client's own addresses are fixed.
    submissions
        As it lists them, the newest first.
    outcome
        What becomes of a submission: its fields.
    refusals
        For a method's name the HTTP status and message with which it is refused.
    pending
        How often submissions are still listed as pending, whatever becomes of them.
    loses
        Whether submissions are taken with thanks and forgotten.
    archive
        The competition's files.
    calls
        The methods that were called, each with its arguments, and "PUT" with what was uploaded.
    """

    url: str
    submissions: list[dict[str, Any]] = field(default_factory=list)
    outcome: dict[str, Any] = field(default_factory=lambda: {"status": "COMPLETE", "publicScore": "0.12345"})
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    pending: int = 0
    loses: bool = False
    archive: bytes = b""
    calls: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def called(self) -> list[str]:
        return [name for name, _ in self.calls]

    def answer(self, method: str, arguments: Any) -> tuple[int, dict[str, Any]]:
        self.calls.append((method, arguments))
        if method in self.refusals:
            status, message = self.refusals[method]
            return status, {"code": status, "message": message}
        return 200, getattr(self, f"_{method}")(arguments)

    def _StartSubmissionUpload(self, arguments: Any) -> dict[str, Any]:  # noqa: N802 - as the client calls it
        return {"token": "a token", "createUrl": f"{self.url}/upload"}

    def _CreateSubmission(self, arguments: Any) -> dict[str, Any]:  # noqa: N802
        ref = 1000 + len(self.submissions)
        submission = {
            "ref": ref,
            "date": "2026-01-01T00:00:00Z",
            "fileName": "default.csv",
            "description": arguments["submissionDescription"],
            **self.outcome,
        }
        if not self.loses:
            self.submissions.insert(0, submission)
        return {"message": "Successfully submitted to Tiny Houses", "ref": ref}

    def _ListSubmissions(self, arguments: Any) -> dict[str, Any]:  # noqa: N802
        if self.submissions and self.pending:
            self.pending -= 1
            return {"submissions": [found | {"status": "PENDING"} for found in self.submissions]}
        return {"submissions": self.submissions}


def _handler(kaggle: Kaggle) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            arguments = json.loads(self.rfile.read(length))
            assert self.path.startswith(SERVICE), self.path
            assert self.headers["Authorization"].startswith("Basic ")
            method = self.path.removeprefix(SERVICE)
            if method == "DownloadDataFiles" and method not in kaggle.refusals:
                kaggle.calls.append((method, arguments))
                self._send(302, b"", Location=f"{kaggle.url}/archive/tiny-houses.zip")
            else:
                status, document = kaggle.answer(method, arguments)
                self._send(status, json.dumps(document).encode(), **{"Content-Type": "application/json"})

        def do_PUT(self) -> None:
            kaggle.calls.append(("PUT", self._body()))
            self._send(kaggle.refusals.get("PUT", (200,))[0], b"")

        def do_GET(self) -> None:
            self._send(200, kaggle.archive, **{"Content-Type": "application/zip"})

        def _body(self) -> bytes:
            if length := self.headers["Content-Length"]:
                return self.rfile.read(int(length))
            pieces = []  # chunked: a size in hexadecimal, the piece, an empty line
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)

        def _send(self, status: int, data: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@contextmanager
def serving(make: Callable[[str], Kaggle] = Kaggle) -> Iterator[Kaggle]:
    """A server that listens while the block runs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        kaggle = make(f"http://127.0.0.1:{server.server_port}")
        server.RequestHandlerClass = _handler(kaggle)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield kaggle
        server.shutdown()
        thread.join()


def point_the_client_at(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment in which the client takes the server for kaggle.com, with credentials in it and none at home."""
    for name in ("KAGGLE_API_TOKEN", "XDG_CONFIG_HOME", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    settings = {
        "HOME": str(home),
        "KAGGLE_CONFIG_DIR": str(home / ".kaggle"),
        "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
        "KAGGLE_USERNAME": "somebody",
        "KAGGLE_KEY": "a key",
    }
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        settings[name] = url
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
