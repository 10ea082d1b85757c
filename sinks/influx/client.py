"""Writes and deletes: synchronous, keyed, repeatable; what InfluxDB refuses comes back line by line with the reason."""

import gzip
import re
import threading
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import httpx
import polars as pl
from influxdb_client import WritePrecision, WriteService
from pydantic import SecretStr

from schemas.connections import InfluxDB
from sinks.influx.connection import Connection, InfluxProblem, TooSlow, message
from sinks.influx.deletion import statements, whole
from sinks.influx.library import answered

LINES = 10_000
"""Lines of one request."""
FEWEST = 100
"""Lines that are not split further when the server is too slow."""


class Refused(NamedTuple):
    line: str
    reason: str


class Written(NamedTuple):
    accepted: int
    refused: list[Refused]


class Influx(Connection):
    """The store. `problem` says what it waits for, None when all is well; `stop` ends the waiting."""

    def __init__(
        self,
        settings: InfluxDB,
        token: SecretStr | None = None,
        stop: threading.Event | None = None,
        compress: bool = False,
    ) -> None:
        super().__init__(settings, token, stop)
        self._compress = compress
        self._most = LINES

    def write(self, bucket: str, lines: pl.Series | Iterable[str]) -> Written:
        """Store lines (time stamps in microseconds); returns when the server has confirmed all but the refused ones.

        Writing the same lines again changes nothing. Outages are waited out (`problem` tells); Stopped when `stop` is set, then
        any part may be stored. InfluxProblem where the token, the organisation or the bucket is wrong.
        """
        rows = lines if isinstance(lines, pl.Series) else pl.Series("line", list(lines), dtype=pl.String)
        refused: list[Refused] = []
        done = 0
        while done < len(rows):
            part = rows[done : done + self._most]
            refused += self._write(bucket, part)
            done += len(part)
        return Written(len(rows) - len(refused), refused)

    def delete(self, bucket: str, measurement: str, keys: pl.DataFrame, every: timedelta | None = None) -> int:
        """Delete whole points: `keys` has a column `time` and one a tag (null or empty: no such tag).

        Series are matched by these tags alone, whatever others they have. `every`: the interval of the points; keys that
        follow each other at this distance go in one range. Returns how many statements it took; repeatable.
        """
        return self._deleted(bucket, statements(measurement, keys, every))

    def forget(self, bucket: str, measurement: str, series: pl.DataFrame) -> int:
        """Delete all points of series: a column a tag, as in `delete`. Returns how many statements it took; repeatable."""
        return self._deleted(bucket, whole(measurement, series))

    def _deleted(self, bucket: str, requests: Iterable[list[str]]) -> int:
        asked = 0
        patience = self.settings.timeout.total_seconds() * 3
        for some in requests:
            asking = {"db": bucket, "q": ";".join(some)}
            answer = self.insist(partial(self._http.post, "/query", data=asking, timeout=patience))
            failed = [result["error"] for result in answer.json().get("results", []) if "error" in result]
            if failed:
                self.problem = f"InfluxDB at {self.settings.url} does not delete: {failed[0]} -> run `scopeline setup`"
                raise InfluxProblem(self.problem)
            asked += len(some)
        return asked

    def ping(self) -> None:
        """InfluxProblem when the server does not answer."""
        self.ask("GET", "/ping")

    def version(self) -> str:
        """The server's version, like v2.7.12."""
        return self.ask("GET", "/ping").headers.get("X-Influxdb-Version", "unknown")

    def _write(self, bucket: str, part: pl.Series) -> list[Refused]:
        """One request; where the server refuses some, halves until the refused lines are alone (what is stored stays stored)."""
        try:
            answer = self._send(bucket, part)
        except TooSlow:
            self._most = max(FEWEST, len(part) // 2)
            return self._halves(bucket, part)
        self._most = min(LINES, self._most + self._most // 8)
        if answer.status_code < 300:
            return []
        reason = message(answer)
        if answer.status_code == 400 and not re.search("pars|partial write", reason):
            self.problem = f"InfluxDB at {self.settings.url} refuses the request: {reason} -> check influxdb in plant.yaml"
            raise InfluxProblem(self.problem)
        if len(part) == 1 or _all_refused(part, reason):
            return [Refused(line, _short(reason)) for line in part]
        return self._halves(bucket, _together(part, reason))

    def _halves(self, bucket: str, part: pl.Series) -> list[Refused]:
        half = len(part) // 2
        return self._write(bucket, part[:half]) + self._write(bucket, part[half:])

    def _send(self, bucket: str, part: pl.Series) -> httpx.Response:
        """Ready lines go by the service below `write_api`: nothing is converted, kept back or tried again there."""
        body = part.str.join("\n").item().encode()
        how = {"precision": WritePrecision.US, "_preload_content": False}
        if self._compress:
            body, how["content_encoding"] = gzip.compress(body, 1), "gzip"

        def stored() -> bytes:
            service = WriteService(self.client.api_client)
            return service.post_write(self.settings.org, bucket, body, **how).data

        return self.insist(lambda: answered(stored)[0], (400, 413, 422), len(part) > FEWEST)


_CONFLICT = re.compile(r'input field \\?"(.+?)\\?" on measurement \\?"(.+?)\\?" is type (\w+)')
_RETENTION = re.compile(r"(?:dropped \d+ points )?(outside retention policy.*?)(?: - oldest|$)|points beyond retention policy")
_STARTS = {"float": r"[-+.0-9eE]+(?:[, ]|$)", "string": '"', "boolean": "[tTfF]", "integer": r"[-+0-9]+i", "unsigned": "[0-9]+u"}


def _all_refused(part: pl.Series, reason: str) -> bool:
    """Whether the server says that it dropped as many lines as there are, for a reason that holds for each of them."""
    told = re.search(r"dropped=(\d+)", reason)
    if not told or int(told[1]) < len(part):
        return False
    return bool(_RETENTION.search(reason)) or bool(_suspects(part, reason).all())


def _suspects(part: pl.Series, reason: str) -> pl.Series:
    """Lines whose field has the type that the server names as the conflict."""
    found = _CONFLICT.search(reason)
    if not found or found[3] not in _STARTS:
        return pl.repeat(False, len(part), dtype=pl.Boolean, eager=True)
    return part.str.contains(f"[ ,]{re.escape(found[1])}={_STARTS[found[3]]}")


def _together(part: pl.Series, reason: str) -> pl.Series:
    """The lines so ordered that those which are refused stand together, so that few halves hold them."""
    rows = part.to_frame("line").with_columns(suspect=_suspects(part, reason), at=part.str.extract(r" (-?\d+)$").cast(pl.Int64))
    by = ["at"] if _RETENTION.search(reason) else ["suspect", "at"]
    return rows.sort(by, maintain_order=True)["line"]


def _short(reason: str) -> str:
    """The reason as it holds for one line.

    >>> _short("failure writing points to database: partial write: field type conflict: ... dropped=2")
    'field type conflict: ...'
    """
    if outside := _RETENTION.search(reason):
        return outside[1] or outside[0]
    return re.sub(r"^.*partial write: |\s*dropped=\d+$", "", reason)
