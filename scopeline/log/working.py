"""Questions of the worker to its own open transaction: what it has written so far is in the answers."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from schemas.frames import AMOUNTS, EVENTS, FIGURES, OUTCOMES, READINGS, REJECTS, TIME, empty, instant, shaped
from scopeline.log.duckdb import Log
from scopeline.log.sql import condition
from scopeline.log.store import Store
from scopeline.log.tables import CLOCKS, METERS, Schema, loaded, naive

_EXTENT = {"start": TIME, "end": TIME}
_VERSIONS = "meter, event, CASE WHEN event IS NULL THEN observed_at END, value_n"


class Working(Store):
    """A Store on the writer's connection."""

    def __init__(self, log: Log) -> None:
        super().__init__(log, log.write)
        self._writer = log

    def fact(self, key: str, default: Any = None) -> Any:
        noted = self._writer.noted(key)
        return default if noted is None else json.loads(noted)

    def readings_within(self, spans: pl.DataFrame) -> pl.DataFrame:
        """READINGS of meters whose observed_at lies in their span (meter, start, end; both included)."""
        return self._spans(READINGS, "readings", "observed_at", "<=", spans)

    def readings_named(self, keys: pl.DataFrame) -> pl.DataFrame:
        """READINGS with these (meter, event)."""
        columns = ", ".join(f't."{name}"' for name in READINGS)
        return loaded(self._table(f"SELECT {columns} FROM readings t JOIN keys USING (meter, event)", keys=keys), READINGS)

    def readings_known(self, readings: pl.DataFrame) -> pl.DataFrame:
        """READINGS that have a key of the given ones: (meter, event) where there is one, else (meter, observed_at)."""
        plain = readings.filter(pl.col("event").is_null())
        parts = [empty(READINGS)]
        if plain.height:
            parts.append(self._timed(plain.select_seq(pl.col("meter").cast(pl.String), "observed_at").unique()))
        named = readings.filter(pl.col("event").is_not_null())
        if named.height:
            parts.append(self.readings_named(named.select_seq(pl.col("meter").cast(pl.String), "event").unique()))
        return pl.concat(parts)

    def _timed(self, keys: pl.DataFrame) -> pl.DataFrame:
        """READINGS without event that have one of the keys (meter, observed_at)."""
        start, end = keys["observed_at"].min(), keys["observed_at"].max()
        recent = self._writer.recent("readings", start)  # type: ignore[arg-type]  # a time
        if recent is not None:
            near = recent.filter((pl.col("observed_at") <= instant(end)) & pl.col("event").is_null())  # type: ignore[arg-type]  # a time
            return near.join(keys, on=["meter", "observed_at"], how="semi")
        columns = ", ".join(f't."{name}"' for name in READINGS)
        sql = f"""SELECT {columns} FROM readings t JOIN keys k ON t.meter = k.meter AND t.observed_at = k.observed_at
        WHERE t.event IS NULL AND t.observed_at BETWEEN ? AND ?"""
        at = keys.with_columns_seq(pl.col("observed_at").dt.replace_time_zone(None))
        return loaded(self._table(sql, [naive(start), naive(end)], keys=at), READINGS)  # type: ignore[arg-type]  # times

    def readings_of(self, messages: Sequence[int]) -> pl.DataFrame:
        """READINGS that came from these messages."""
        where, parameters = condition([("message", messages)])
        return self._rows(READINGS, f"FROM readings WHERE {where} ORDER BY message, index", parameters)

    def rejects_of(self, messages: Sequence[int]) -> pl.DataFrame:
        """REJECTS of these messages."""
        where, parameters = condition([("message", messages)])
        return self._rows(REJECTS, f"FROM rejects WHERE {where} ORDER BY message, index", parameters)

    def rejects_by(self, feed: str | None) -> pl.DataFrame:
        """REJECTS of a feed; None: all."""
        where, parameters = condition([("feed", None if feed is None else [feed])])
        return self._rows(REJECTS, f"FROM rejects WHERE {where} ORDER BY message, index", parameters)

    def outcomes_of(self, messages: Sequence[int]) -> pl.DataFrame:
        """OUTCOMES of these messages."""
        where, parameters = condition([("message", messages)])
        return self._rows(OUTCOMES, f"FROM outcomes WHERE {where}", parameters)

    def meters_fed(self, feeds: Sequence[str]) -> list[str]:
        """Meters with readings of these feeds."""
        where, parameters = condition([("feed", feeds)])
        return self._table(f"SELECT DISTINCT meter FROM readings WHERE {where} ORDER BY meter", parameters)["meter"].to_list()

    def within(self, table: str, windows: pl.DataFrame) -> pl.DataFrame:
        """AMOUNTS or EVENTS (by `table`) of meters in their window (meter, start, end; half-open)."""
        schema, time = {"amounts": (AMOUNTS, "interval_start"), "events": (EVENTS, "at")}[table]
        return self._spans(schema, table, time, "<", windows)

    def _spans(self, schema: Schema, table: str, time: str, sign: str, spans: pl.DataFrame) -> pl.DataFrame:
        if spans.is_empty():
            return empty(dict(schema))
        recent = self._writer.recent(table, spans["start"].min()) if table in self._writer.tails else None  # type: ignore[arg-type]  # a time
        if recent is not None:
            return _inside(recent, time, sign, spans)
        columns = ", ".join(f't."{name}"' for name in schema)
        wanted = spans.select_seq("meter", pl.col("start", "end").dt.replace_time_zone(None))
        sql = f"""SELECT {columns} FROM {table} t JOIN spans s
        ON t.meter = s.meter AND t."{time}" >= s.start AND t."{time}" {sign} s.end
        WHERE t."{time}" >= ? AND t."{time}" {sign} ?"""
        return loaded(self._table(sql, [wanted["start"].min(), wanted["end"].max()], spans=wanted), schema)

    def amounts(self, meters: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
        recent = self._writer.recent("amounts", start)
        if recent is None:
            return super().amounts(meters, start, end)
        wanted = pl.Series(meters, dtype=pl.String).implode()
        near = recent.filter(pl.col("interval_start") < instant(end))
        return near.filter(pl.col("meter").is_in(wanted)).sort("meter", "interval_start")

    def identities(self, meters: Sequence[str]) -> pl.DataFrame:
        """READINGS, one for each feed, device and unit of the meters: what processors.meters.attributes tells apart."""
        where, parameters = condition([("meter", meters)])
        keys = "meter, feed, device, unit, channel, site, kind"
        found = self._table(f"SELECT DISTINCT {keys} FROM readings WHERE {where} ORDER BY ALL", parameters)
        return shaped(found, READINGS)

    def days(self, spans: pl.DataFrame) -> pl.DataFrame:
        """day, n: how many readings of the spans' meters lie on each day between the first start and the last end."""
        start, end = naive(spans["start"].min()), naive(spans["end"].max())  # type: ignore[arg-type]  # times
        where, parameters = condition([("meter", spans["meter"].unique().to_list())])
        sql = f"""SELECT date_trunc('day', observed_at) AS day, count(*) AS n FROM readings
        WHERE {where} AND observed_at BETWEEN ? AND ? GROUP BY day ORDER BY day"""
        found = self._table(sql, [*parameters, start, end])
        return found.with_columns_seq(pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))

    def figures_within(self, sources: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
        """FIGURES of sources with interval_start in [start, end), in one frame."""
        where, parameters = condition([("source", sources)], [("interval_start", start, end)])
        return self._rows(FIGURES, f"FROM figures WHERE {where}", parameters)

    def eventful(self) -> set[str]:
        """Meters with events."""
        return set(self._table("SELECT DISTINCT meter FROM events")["meter"])

    def extent(self, meters: Sequence[str]) -> pl.DataFrame:
        """meter, start, end: first and last interval with amounts."""
        where, parameters = condition([("meter", meters)])
        sql = f"SELECT meter, min(interval_start) AS start, max(interval_start) AS end FROM amounts WHERE {where} GROUP BY meter"
        return loaded(self._table(sql, parameters), {"meter": pl.String, **_EXTENT})

    def extent_of_figures(self, sources: Sequence[str]) -> pl.DataFrame:
        """source, start, end: first and last interval with figures."""
        where, parameters = condition([("source", sources)])
        sql = (
            f"SELECT source, min(interval_start) AS start, max(interval_start) AS end FROM figures WHERE {where} GROUP BY source"
        )
        return loaded(self._table(sql, parameters), {"source": pl.String, **_EXTENT})

    def meters_of(self, meters: Sequence[str]) -> pl.DataFrame:
        """METERS of these, worked out from their readings."""
        where, parameters = condition([("meter", meters)])
        newest = ", ".join(
            f"arg_max({name}, (observed_at, received_at, message, index)) AS {shown}"
            for name, shown in (("site",) * 2, ("feed",) * 2, ("kind",) * 2, ("unit",) * 2, ("value_n", "last_value_n"))
        )
        apart = ", ".join(
            f"coalesce(max(abs(epoch_us(observed_at) - epoch_us({side}))), 0)" for side in ("period_start", "period_end")
        )
        begins = "min(least(observed_at, coalesce(period_start, observed_at)))"
        sql = f"""SELECT meter, {newest}, {begins} AS first_observed_at, max(observed_at) AS last_observed_at,
        max(received_at) AS last_received_at, greatest({apart}) AS stretch_us, bool_or(event IS NOT NULL) AS eventful,
        min(unit) AS named_unit
        FROM readings WHERE {where} GROUP BY meter ORDER BY meter"""
        return loaded(self._table(sql, parameters), METERS)

    def clocks_of(self, sites: Iterable[str] | None) -> pl.DataFrame:
        """CLOCKS worked out from the readings: the latest received_at, each value at its earliest; None: of all sites."""
        where, parameters = condition([("site", None if sites is None else list(sites))])
        sql = f"""SELECT site, max(earliest) AS newest FROM
        (SELECT site, min(received_at) AS earliest FROM readings WHERE {where} GROUP BY site, {_VERSIONS})
        GROUP BY site ORDER BY site"""
        return loaded(self._table(sql, parameters), CLOCKS)


def _inside(rows: pl.DataFrame, time: str, sign: str, spans: pl.DataFrame) -> pl.DataFrame:
    """Rows of a meter whose time lies in one of its spans (meter, start, end); sign: `<` (end excluded) or `<=`."""
    near = rows.filter(pl.col(time) <= instant(spans["end"].max()))  # type: ignore[arg-type]  # a time
    found = near.join(spans.select_seq("meter", _start="start", _end="end"), on="meter")
    before = pl.col(time) < pl.col("_end") if sign == "<" else pl.col(time) <= pl.col("_end")
    return found.filter((pl.col(time) >= pl.col("_start")) & before).select_seq(rows.columns)
