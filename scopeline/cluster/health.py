"""/healthz, /readyz and /metrics of a process without console, for its supervisor and Prometheus."""

import json
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from scopeline.api.health import exposition
from scopeline.cluster.roles import METRICS
from scopeline.logs import hidden


class Healthy(Protocol):
    """What is asked of a process: the roles of `run`, the archiver."""

    @property
    def problems(self) -> Sequence[Any]: ...
    @property
    def metrics(self) -> Mapping[str, list[tuple[dict[str, str], float]]]: ...


class HealthServer:
    """A few words over HTTP; nothing of the plant's data. OSError when the port cannot be used."""

    def __init__(self, roles: Healthy, host: str, port: int, described: Mapping[str, tuple[str, str]] = METRICS) -> None:
        self._server = ThreadingHTTPServer((host, port), _handler(roles, described))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(roles: Healthy, described: Mapping[str, tuple[str, str]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version, timeout = "scopeline", "", 10

        def do_GET(self) -> None:
            if self.path == "/healthz":
                self._answer(200, "ok\n")
            elif self.path == "/readyz":
                problems = [str(problem) for problem in roles.problems]
                self._answer(503 if problems else 200, "\n".join(problems) + "\n" if problems else "ready\n")
            elif self.path == "/metrics":
                text = "\n".join(exposition(roles.metrics, described)) + "\n"
                self._answer(200, text, "text/plain; version=0.0.4; charset=utf-8")
            else:
                self._answer(404, json.dumps({"error": "not found", "remedy": "ask /healthz, /readyz or /metrics"}) + "\n")

        def _answer(self, status: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
            body = hidden(text).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Probes come every few seconds: not worth a line."""

    return Handler
