"""Questions to the data file: what console, API and commands read. Safe from any thread; each call sees one committed state."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import duckdb
import polars as pl

from schemas.frames import AMOUNTS, EVENTS, FIGURE_KEY, FIGURES, MESSAGES, READINGS, REJECTS, empty
from scopeline.log.sql import condition, topic_pattern
from scopeline.log.tables import ARCHIVED, CLOCKS, METERS, PENDING, TRAFFIC, Schema, loaded, naive

CHUNK = 400_000
"""Rows a frame, about, where a range is streamed."""


class Cursors(Protocol):
    """Where cursors come from: the Log."""

    path: Path

    def cursor(self) -> duckdb.DuckDBPyConnection: ...


class Store:
    """Reads. `with store.snapshot() as s:` gives a Store whose calls all see the same state."""

    def __init__(self, log: Cursors, transaction: duckdb.DuckDBPyConnection | None = None) -> None:
        self.log, self._transaction = log, transaction

    @property
    def archive(self) -> Path:
        """The folder of the days that were moved to Parquet."""
        return self.log.path.parent / "archive"

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection of one's own to ask anything. Close it."""
        return self.log.cursor()

    @contextmanager
    def snapshot(self) -> Iterator["Store"]:
        """One consistent state for several questions."""
        if self._transaction is not None:
            yield self
            return
        cursor = self.log.cursor()
        try:
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            yield Store(self.log, cursor)
        finally:
            cursor.close()

    def _table(self, sql: str, parameters: Sequence[Any] = (), **frames: pl.DataFrame) -> pl.DataFrame:
        cursor = self._transaction or self.log.cursor()
        try:
            for name, frame in frames.items():
                cursor.register(name, frame.to_arrow())
            made = cursor.sql(sql, params=list(parameters)).to_arrow_table()
            found = pl.from_arrow(made)
            assert isinstance(found, pl.DataFrame)
            return found
        finally:
            if self._transaction is None:
                cursor.close()
            else:
                for name in frames:
                    cursor.unregister(name)

    def _rows(self, schema: Schema, sql: str, parameters: Sequence[Any] = (), **frames: pl.DataFrame) -> pl.DataFrame:
        columns = ", ".join(f'"{name}"' for name in schema)
        return loaded(self._table(f"SELECT {columns} {sql}", parameters, **frames), schema)

    # facts ---------------------------------------------------------------------------------------------------------------
    def fact(self, key: str, default: Any = None) -> Any:
        """A small fact of the worker: position, plant, feeds, sources ... (JSON)."""
        found = self._table("SELECT value FROM meta WHERE key = ?", [key])
        return json.loads(found["value"][0]) if found.height else default

    def position(self) -> int:
        """The place of the last message whose figures are in; 0 before the first."""
        return int(self.fact("position", 0))

    def clocks(self) -> pl.DataFrame:
        """site, newest: the newest received_at of a site's readings, which ends `provisional`."""
        return self._rows(CLOCKS, "FROM clocks ORDER BY site")

    def meters(self) -> pl.DataFrame:
        """Meters seen: meter, site, feed, kind, unit, first_observed_at, last_observed_at, last_value_n, last_received_at."""
        return self._rows(METERS, "FROM meters ORDER BY meter")

    def first_readings(self) -> pl.DataFrame:
        """meter, first_observed_at."""
        return self.meters().select("meter", "first_observed_at")

    def pending(self) -> pl.DataFrame:
        """source, start, end: windows of figures that are still to be computed again, after an edit or correction of much."""
        return self._rows(PENDING, "FROM pending ORDER BY ALL")

    # figures, readings, events -------------------------------------------------------------------------------------------
    def figures(
        self,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        sites: Sequence[str] | None = None,
        sources: Sequence[str] | None = None,
        chunk: int = CHUNK,
    ) -> Iterator[pl.DataFrame]:
        """FIGURES with interval_start in [start, end), in frames of about `chunk` rows, sorted by key."""
        where, parameters = condition([("site", sites), ("source", sources)], [("interval_start", start, end)])
        with self.snapshot() as state:
            about = state._table(
                f"SELECT count(*) n, min(interval_start) a, max(interval_start) b FROM figures WHERE {where}", parameters
            )
            rows, first, last = about.row(0)
            if not rows:
                return
            last += timedelta(microseconds=1)
            parts = -(-rows // chunk)
            edges = [first + (last - first) * i / parts for i in range(parts)] + [last]
            for begin, stop in pairwise(edges):
                inside = [*parameters, begin, stop]
                part = state._rows(FIGURES, f"FROM figures WHERE {where} AND interval_start >= ? AND interval_start < ?", inside)
                if part.height:
                    yield part.sort(FIGURE_KEY)

    def figures_beside(self, source: str, at: datetime) -> tuple[datetime | None, datetime | None]:
        """interval_start of a source's last figure before an instant, and of its first at or after it."""
        sql = """SELECT max(interval_start) FILTER (interval_start < ?), min(interval_start) FILTER (interval_start >= ?)
        FROM figures WHERE source = ?"""
        before, after = self._table(sql, [naive(at), naive(at), source]).row(0)
        return before and before.replace(tzinfo=UTC), after and after.replace(tzinfo=UTC)

    def readings(
        self, meters: Sequence[str] | str | None = None, start: datetime | None = None, end: datetime | None = None
    ) -> pl.DataFrame:
        """READINGS with observed_at in [start, end), every version that came (processors.collapse chooses), by meter and time."""
        wanted = [meters] if isinstance(meters, str) else meters
        where, parameters = condition([("meter", wanted)], [("observed_at", start, end)])
        return self._rows(READINGS, f"FROM readings WHERE {where} ORDER BY meter, observed_at, message, index", parameters)

    def events(
        self, meters: Sequence[str] | None = None, start: datetime | None = None, end: datetime | None = None
    ) -> pl.DataFrame:
        """EVENTS (swap, spike, reset ...) with `at` in [start, end)."""
        where, parameters = condition([("meter", meters)], [("at", start, end)])
        return self._rows(EVENTS, f'FROM events WHERE {where} ORDER BY "at", meter, event', parameters)

    def amounts(self, meters: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
        """AMOUNTS of meters with interval_start in [start, end)."""
        where, parameters = condition([("meter", meters)], [("interval_start", start, end)])
        return self._rows(AMOUNTS, f"FROM amounts WHERE {where} ORDER BY meter, interval_start", parameters)

    # messages ------------------------------------------------------------------------------------------------------------
    def messages(
        self,
        start: datetime | None = None,
        end: datetime | None = None,
        topic: str | None = None,
        *,
        topics: Sequence[str] | None = None,
        chunk: int = CHUNK // 4,
    ) -> Iterator[pl.DataFrame]:
        """MESSAGES with received_at in [start, end), archived days included, in frames of at most about `chunk` rows, by place.

        `topic` may hold + and #; `topics` are exact.
        """
        where, parameters = condition([("topic", topics)], [("received_at", start, end)])
        if topic is not None:
            where, parameters = f"{where} AND regexp_full_match(topic, ?)", [*parameters, topic_pattern(topic)]
        with self.snapshot() as state:
            for day in state.archived().iter_rows(named=True):
                if _overlaps(day["day"], start, end):
                    place = f"read_parquet('{_quoted(self.archive / day['file'])}')"
                    yield from state._places(place, where, parameters, chunk, day["first_message"], day["last_message"])
            first, last = state._table("SELECT min(message), max(message) FROM messages").row(0)
            if first is not None:
                yield from state._places("messages", where, parameters, chunk, first, last)

    def _places(
        self, place: str, where: str, parameters: Sequence[Any], chunk: int, first: int, last: int
    ) -> Iterator[pl.DataFrame]:
        for begin in range(first, last + 1, chunk):
            inside = [*parameters, begin, begin + chunk]
            part = self._rows(MESSAGES, f"FROM {place} WHERE {where} AND message >= ? AND message < ? ORDER BY message", inside)
            if part.height:
                yield part

    def messages_at(self, places: Sequence[int]) -> pl.DataFrame:
        """MESSAGES by place, from log or archive."""
        wanted = sorted(set(places))
        if not wanted:
            return empty(MESSAGES)
        where, parameters = condition([("message", wanted)])
        with self.snapshot() as state:
            parts = [state._rows(MESSAGES, f"FROM messages WHERE {where}", parameters)]
            if parts[0].height < len(wanted):
                for day in state.archived().iter_rows(named=True):
                    if day["first_message"] <= wanted[-1] and day["last_message"] >= wanted[0]:
                        place = f"read_parquet('{_quoted(self.archive / day['file'])}')"
                        parts.append(state._rows(MESSAGES, f"FROM {place} WHERE {where}", parameters))
        return pl.concat(parts).sort("message")

    def payloads(self, places: list[int]) -> pl.DataFrame:
        """message, topic, payload: what processors.collapse asks for where two readings tie."""
        return self.messages_at(places).select("message", "topic", "payload")

    def topics(self) -> list[str]:
        """Every topic in the log and the archive."""
        with self.snapshot() as state:
            found = set(state._table("SELECT DISTINCT topic FROM messages")["topic"])
            for file in state.archived()["file"]:
                found |= set(state._table(f"SELECT DISTINCT topic FROM read_parquet('{_quoted(self.archive / file)}')")["topic"])
        return sorted(found)

    def archived(self) -> pl.DataFrame:
        """Days that were moved to Parquet: day, file, messages, first_message, last_message, sha256."""
        return self._rows(ARCHIVED, "FROM archived ORDER BY first_message")

    # quarantine and feeds ------------------------------------------------------------------------------------------------
    def quarantine(
        self,
        feed: str | None = None,
        reason: str | None = None,
        messages: Sequence[int] | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> pl.DataFrame:
        """REJECTS, newest first: what could not be read. Readings taken out as spike or glitch come from EVENTS as reasons."""
        where, parameters = condition(
            [("feed", [feed] if feed else None), ("reason", [reason] if reason else None), ("message", messages)]
        )
        sql = f"FROM ({_QUARANTINE}) WHERE {where} ORDER BY message DESC, index"
        if limit is not None:
            sql, parameters = f"{sql} LIMIT ? OFFSET ?", [*parameters, limit, offset]
        return self._rows(REJECTS, sql, parameters)

    def quarantine_counts(self) -> pl.DataFrame:
        """feed, reason, n, newest (message)."""
        return self._table(f"SELECT feed, reason, count(*) n, max(message) newest FROM ({_QUARANTINE}) GROUP BY ALL ORDER BY ALL")

    def feed_stats(self, now: datetime | None = None) -> pl.DataFrame:
        """A row a feed ("" where none matched): feed, messages, decoded, skipped, quarantined, unmatched, last_message,
        last_received_at, last_hour, last_5_minutes (messages within those spans before `now`), silent_s.
        """
        at = f"TIMESTAMP '{naive(now or datetime.now(UTC)).isoformat(sep=' ')}'"
        sums = {outcome: f"outcome = '{outcome}'" for outcome in _OUTCOMES}
        for name, span in (("last_hour", "1 HOUR"), ("last_5_minutes", "5 MINUTE")):
            sums[name] = f"minute > {at} - INTERVAL {span} AND minute <= {at}"
        counted = ", ".join(
            f"CAST(coalesce(sum(messages) FILTER ({which}), 0) AS BIGINT) AS {name}" for name, which in sums.items()
        )
        return self._table(
            f"""SELECT feed, CAST(sum(messages) AS BIGINT) AS messages, {counted}, max(last_message) AS last_message,
            max(last_received_at) AS last_received_at, greatest(0, epoch({at} - max(last_received_at))) AS silent_s
            FROM traffic GROUP BY feed ORDER BY feed"""
        ).with_columns(pl.col("last_received_at").dt.replace_time_zone("UTC"))

    def traffic(self, start: datetime | None = None, end: datetime | None = None) -> pl.DataFrame:
        """TRAFFIC: messages of a feed by minute and outcome."""
        where, parameters = condition([], [("minute", start, end)])
        return self._rows(TRAFFIC, f"FROM traffic WHERE {where} ORDER BY minute, feed, outcome", parameters)


_OUTCOMES = ("decoded", "skipped", "quarantined", "unmatched")
_QUARANTINE = """SELECT * FROM rejects UNION ALL
SELECT e.message, e.index, m.feed, e.meter, e.at, e.event, e.detail FROM events e LEFT JOIN meters m USING (meter)
WHERE e.event IN ('spike', 'glitch')"""


def _overlaps(day: date, start: datetime | None, end: datetime | None) -> bool:
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return (end is None or begin < end) and (start is None or begin + timedelta(days=1) > start)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
