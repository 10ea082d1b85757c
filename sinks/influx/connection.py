"""The way to InfluxDB, by influxdb-client and by httpx: waits through outages, says in words what is wrong and what to do."""

import random
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from pydantic import SecretStr

from schemas.connections import InfluxDB
from sinks.influx.library import answered, opened

FIRST_WAIT, LONGEST_WAIT, LONGEST_ASKED = 0.25, 30.0, 300.0
"""Seconds between attempts: they double from the first to the longest; a server may ask for more, up to the last."""


class InfluxProblem(Exception):
    """InfluxDB does not take what was asked, and trying again would not help; the text says the remedy."""


class Stopped(Exception):
    """Told to stop while waiting for InfluxDB; what was being written may or may not be stored, and can be written again."""


class TooSlow(Exception):
    """No answer within the timeout, twice: the caller may ask for less at once."""


class Connection:
    """Requests with the token; those that wait go on until the server answers or `stop` is set, and say so in `problem`."""

    def __init__(self, settings: InfluxDB, token: SecretStr | None = None, stop: threading.Event | None = None) -> None:
        """InfluxProblem where the token cannot be one: sent all the same, an error would show it."""
        self.settings = settings
        self.stop = stop or threading.Event()
        self.problem: str | None = None
        self.before: Callable[[], None] = lambda: None
        """Called before each attempt of what waits; it may raise where the caller may not write any more."""
        word = token.get_secret_value() if token else ""
        if not (word.isascii() and word.isprintable()):
            raise InfluxProblem("the token holds characters that none can have -> check influxdb.token_file")
        headers = {"Authorization": f"Token {word}"} if word else {}
        self._http = httpx.Client(base_url=settings.url, headers=headers, timeout=settings.timeout.total_seconds())
        self.client = opened(settings, word)
        weakref.finalize(self, self.client.close)  # at the latest before Python ends: while it ends, the client complains

    def close(self) -> None:
        self._http.close()
        self.client.close()

    def ask(self, method: str, path: str, missing: bool = False, **how: Any) -> httpx.Response:
        """One attempt. InfluxProblem where the server cannot be reached or refuses; `missing`: a 404 is an answer."""
        try:
            answer = self._http.request(method, path, **how)
        except httpx.HTTPError as problem:
            raise InfluxProblem(self._unreachable(problem)) from None
        self._judge(answer, (404,) if missing else ())
        return answer

    def call(self, call: Callable[..., Any], *given: Any, missing: bool = False, **named: Any) -> Any:
        """One call of influxdb-client: what it returns, None where `missing` and there is none. InfluxProblem as for `ask`."""
        try:
            answer, found = answered(call, *given, **named)
        except httpx.HTTPError as problem:
            raise InfluxProblem(self._unreachable(problem)) from None
        except ValueError:
            raise InfluxProblem(f"{self.settings.url} answers as no InfluxDB does -> check influxdb.url") from None
        self._judge(answer, (404,) if missing else ())
        return found

    @contextmanager
    def stream(self, path: str, **how: Any) -> Iterator[Iterator[bytes]]:
        """The lines of one answer as they come. InfluxProblem as for `ask`."""
        try:
            with self._http.stream("POST", path, **how) as answer:
                if answer.status_code >= 400:
                    answer.read()
                self._judge(answer)
                yield _split(answer.iter_bytes())
        except httpx.HTTPError as problem:
            raise InfluxProblem(self._unreachable(problem)) from None

    def insist(
        self, send: Callable[[], httpx.Response], accept: tuple[int, ...] = (), splittable: bool = False
    ) -> httpx.Response:
        """Attempts until there is an answer: 2xx or one of `accept`. Server errors, 429 and lost connections are waited out.

        A timeout counts as unknown and is tried again. Stopped when `stop` is set; TooSlow after two timeouts in a row of a
        request that the caller can split; InfluxProblem for what does not get better by itself.
        """
        attempt = timeouts = 0
        while True:
            asked = 0.0
            self.before()
            try:
                answer = send()
            except httpx.HTTPError as problem:
                self.problem = self._unreachable(problem)
                timeouts = timeouts + 1 if isinstance(problem, (httpx.ReadTimeout, httpx.WriteTimeout)) else 0
            else:
                timeouts = 0
                if answer.status_code not in (408, 429) and answer.status_code < 500:
                    self._judge(answer, accept)
                    self.problem = None
                    return answer
                asked = _retry_after(answer)
                self.problem = f"InfluxDB at {self.settings.url} answers {answer.status_code}: {message(answer)}; trying again"
            if splittable and timeouts >= 2:
                raise TooSlow(self.problem)
            wait = min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * random.uniform(0.5, 1.0)
            attempt += 1
            if self.stop.wait(max(wait, asked * random.uniform(1.0, 1.1))):
                raise Stopped(self.problem)

    def _judge(self, answer: httpx.Response, accept: tuple[int, ...] = ()) -> None:
        status = answer.status_code
        if status < 300 or status in accept:
            return
        remedies: dict[int, Callable[[], str]] = {
            401: lambda: "the token is not known there: check influxdb.token_file",
            403: lambda: "the token may not do this: it needs read and write on the buckets, and for `setup` on buckets and DBRP",
            404: lambda: f"run `scopeline setup`, and check influxdb.org ({self.settings.org}) and influxdb.bucket",
        }
        remedy = remedies[status]() if status in remedies else "check influxdb in plant.yaml"
        self.problem = f"InfluxDB at {self.settings.url} answers {status}: {message(answer)} -> {remedy}"
        raise InfluxProblem(self.problem)

    def _unreachable(self, problem: httpx.HTTPError) -> str:
        if isinstance(problem, httpx.TimeoutException) and not isinstance(problem, httpx.ConnectTimeout):
            return f"InfluxDB at {self.settings.url} gives no answer within {self.settings.timeout.total_seconds():g} s"
        return f"InfluxDB at {self.settings.url} cannot be reached ({type(problem).__name__}: {problem}): is it running?"


def message(answer: httpx.Response) -> str:
    """What the server says, in one line; 1.x, 2.x and 3.x say it under different names."""
    try:
        told = answer.json()
        text = told.get("message") or told.get("error") or "" if isinstance(told, dict) else ""
    except ValueError:
        text = answer.text
    return " ".join(str(text).split())[:2000] or answer.reason_phrase


def _retry_after(answer: httpx.Response) -> float:
    """Seconds that the server asks to wait; 0 where it does not say."""
    told = answer.headers.get("Retry-After", "")
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return 0.0
    return min(max(seconds, 0.0), LONGEST_ASKED) if seconds == seconds else 0.0


def _split(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines that end in a line feed, and in nothing else."""
    rest: list[bytes] = []
    for piece in pieces:
        *whole, last = piece.split(b"\n")
        for line in whole:
            yield b"".join([*rest, line])
            rest = []
        rest.append(last)
    if any(rest):
        yield b"".join(rest)
