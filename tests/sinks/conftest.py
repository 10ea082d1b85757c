"""A store of our own behind a real socket, since two HTTP clients ask it."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from schemas.connections import InfluxDB
from sinks.influx import Influx

Answer = Callable[[httpx.Request], httpx.Response]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = self.path if "://" in self.path else f"http://store{self.path}"
        try:
            said = self.server.answer(httpx.Request(self.command, url, headers=self.headers.items(), content=content))
        except httpx.HTTPError:
            self.close_connection = True
            return
        self.send_response(said.status_code)
        for name, value in {**said.headers, "Content-Length": str(len(said.content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said.content)

    do_GET = do_POST = do_PATCH = do_DELETE = answer

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """A client that has gone."""


@pytest.fixture
def served() -> Iterator[Callable[[Answer], str]]:
    """served(answer): the address of an HTTP server that answers so; an httpx.HTTPError cuts the connection."""
    servers: list[_Server] = []

    def serve(answer: Answer) -> str:
        server = _Server(("127.0.0.1", 0), _Handler)
        server.answer = answer
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def opened(served: Callable[[Answer], str]) -> Iterator[Callable[..., Influx]]:
    """opened(answer, timeout=..., compress=...): an Influx at such a server, with bucket `b` and token `canary-token`."""
    made: list[Influx] = []

    def make(answer: Answer, timeout: str = "10s", **how: Any) -> Influx:
        settings = InfluxDB(url=served(answer), org="acme", bucket="b", timeout=timeout)
        made.append(Influx(settings, SecretStr("canary-token"), **how))
        return made[-1]

    yield make
    for influx in made:
        influx.close()
