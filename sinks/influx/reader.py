"""Reads back what was written, by InfluxQL over HTTP (1.x, 2.x and 3.x have it), in chunks, with exact doubles."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import polars as pl

from schemas.frames import FIGURE_KEY, OUTPUT, TIME, Columns, shaped
from schemas.influx import CLOCK, FIELDS, FIGURE_TAGS, FIGURES, READINGS, ROLLUPS, TAGS, buckets
from sinks.influx.connection import Connection, InfluxProblem
from sinks.influx.quoting import identifier, literal
from sinks.line_protocol import decoded

WINDOW = timedelta(days=7)
"""Time of one query: long ranges are asked window by window."""
CHUNK = 10_000
"""Points of one piece of an answer."""


class Reader:
    """Figures, roll-ups, readings and clocks of one plant. tags: columns of the plant's own tags (`tag_<name>`)."""

    def __init__(self, connection: Connection, bucket: str, tags: Sequence[str] = ()) -> None:
        self._connection, self._buckets, self._tags = connection, buckets(bucket), tuple(tags)

    def read_figures(self, start: datetime, end: datetime, sources: Iterable[str] | None = None) -> pl.DataFrame:
        """All of `figures` in one frame."""
        frames = [*self.figures(start, end, sources)]
        return pl.concat(frames) if frames else pl.DataFrame(schema=self._output())

    def figures(self, start: datetime, end: datetime, sources: Iterable[str] | None = None) -> Iterator[pl.DataFrame]:
        """OUTPUT with the plant's tags, start inclusive, end exclusive, sorted by key, an instant never cut over two frames.

        status is the stored one: see `provisional`. InfluxProblem where the store does not answer.
        """
        wanted = [*FIELDS[FIGURES], *FIGURE_TAGS, *self._tags]
        types = {**FIELDS[FIGURES], **dict.fromkeys((*FIGURE_TAGS, *self._tags), pl.String)}
        for frame in self._points("figures", FIGURES, wanted, types, start, end, {"source": sources}):
            length = pl.duration(microseconds=(pl.col("interval_s") * 1_000_000).round().cast(pl.Int64))
            rows = frame.rename({"time": "interval_start"}).with_columns(
                pl.col("scope").cast(pl.Int8), pl.col("basis").fill_null(""), interval_end=pl.col("interval_start") + length
            )
            yield shaped(rows, self._output()).sort(*FIGURE_KEY, nulls_last=True)

    def read_rollups(self, interval: str, start: datetime, end: datetime, sources: Iterable[str] | None = None) -> pl.DataFrame:
        """Stored sums of 15m, 1h or 1d: interval_start, the tags, and schemas.influx.ROLLUP_FIELDS, sorted by key."""
        measurement = ROLLUPS[interval]
        fields, tags = FIELDS[measurement], (*FIGURE_TAGS, *self._tags)
        types = {**fields, **dict.fromkeys(tags, pl.String)}
        frames = [*self._points("figures", measurement, [*fields, *tags], types, start, end, {"source": sources})]
        schema = {"time": TIME, **dict.fromkeys(tags, pl.String), **fields}
        rows = pl.concat([shaped(f, schema) for f in frames]) if frames else pl.DataFrame(schema=schema)
        return (
            rows.rename({"time": "interval_start"})
            .with_columns(pl.col("scope").cast(pl.Int8), pl.col("basis").fill_null(""))
            .sort(*FIGURE_KEY, nulls_last=True)
        )

    def read_readings(self, start: datetime, end: datetime, meters: Iterable[str] | None = None) -> pl.DataFrame:
        """Readings as stored: observed_at, the tags, value in the base unit, quality; sorted by meter and time."""
        schema = {"time": TIME, **dict.fromkeys(TAGS[READINGS], pl.String), **FIELDS[READINGS]}
        wanted = [*FIELDS[READINGS], *TAGS[READINGS]]
        frames = [*self._points("readings", READINGS, wanted, schema, start, end, {"meter": meters})]
        rows = pl.concat([shaped(f, schema) for f in frames]) if frames else pl.DataFrame(schema=schema)
        return rows.rename({"time": "observed_at"}).sort("meter", "observed_at")

    def read_clock(self) -> dict[str, datetime]:
        """Site -> newest received_at, for `provisional`."""
        text = f'SELECT max("newest") FROM {identifier(CLOCK)} GROUP BY "site"'
        found: dict[str, datetime] = {}
        for series in self._series("health", text):
            site = decoded(series.get("tags", {}).get("site", ""))
            for row in series["values"]:
                newest = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=round(float(row[1]) * 1_000_000))
                found[site] = max(newest, found.get(site, newest))
        return found

    def read_sources(self, sites: Iterable[str]) -> pl.DataFrame:
        """site, source: what these sites have figures of, or had."""
        rows = []
        for site in sites:
            text = f'SHOW TAG VALUES FROM {identifier(FIGURES)} WITH KEY = "source" WHERE "site"={literal(site)}'
            for series in self._series("figures", text):
                rows += [(site, decoded(value)) for _, value in series["values"]]
        return pl.DataFrame(rows, schema={"site": pl.String, "source": pl.String}, orient="row")

    def _output(self) -> Columns:
        return {**OUTPUT, **dict.fromkeys(self._tags, pl.String)}

    def _points(
        self,
        kept: str,
        measurement: str,
        wanted: Sequence[str],
        types: Columns,
        start: datetime,
        end: datetime,
        only: Mapping[str, Iterable[str] | None],
    ) -> Iterator[pl.DataFrame]:
        """Points window by window in order of time, column `time` and the wanted ones; an instant is never cut."""
        tags = [name for name in wanted if name not in FIELDS[measurement]]
        if any(values is not None and not [*values] for values in only.values()):
            return
        while start < end:
            until = min(start + WINDOW, end)
            held: pl.DataFrame | None = None
            for series in self._series(kept, select(measurement, wanted, start, until, only)):
                rows = _frame(series, types, tags)
                held = rows if held is None else pl.concat([held, rows])
                whole = held.filter(pl.col("time") < held["time"].max())
                if whole.height:
                    yield whole
                    held = held.filter(pl.col("time") == held["time"].max())
            if held is not None and held.height:
                yield held
            start = until

    def _series(self, kept: str, text: str) -> Iterator[dict[str, Any]]:
        parameters = {"db": self._buckets[kept], "q": text, "epoch": "u", "chunked": "true", "chunk_size": str(CHUNK)}
        with self._connection.stream("/query", data=parameters) as lines:
            for line in lines:
                if not line.strip():
                    continue
                told = orjson.loads(line)
                for result in [told, *told.get("results", [])]:
                    if "error" in result:
                        raise InfluxProblem(f"InfluxDB does not answer the query: {result['error']} -> run `scopeline setup`")
                    yield from result.get("series", [])


def select(
    measurement: str, wanted: Sequence[str], start: datetime, end: datetime, only: Mapping[str, Iterable[str] | None]
) -> str:
    """A query for points of a time range; `only`: tag -> its values, None for all.

    >>> start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    >>> print(select("figures", ["co2e_kg"], start, end, {"source": ["a"]}))
    SELECT "co2e_kg" FROM "figures" WHERE time >= 1767225600000000000 AND time < 1767312000000000000 AND ("source"='a')
    """
    where = [f"time >= {_nanoseconds(start)}", f"time < {_nanoseconds(end)}"]
    for tag, values in only.items():
        if values is not None:
            where.append("(" + " OR ".join(f"{identifier(tag)}={literal(value)}" for value in values) + ")")
    return f"SELECT {','.join(map(identifier, wanted))} FROM {identifier(measurement)} WHERE {' AND '.join(where)}"


def provisional(figures: pl.DataFrame, clock: Mapping[str, datetime], lateness: timedelta) -> pl.DataFrame:
    """Figures as stored -> as people get them: provisional until the site's newest received_at is past interval end + lateness.

    clock: site -> newest received_at; a site without one has no provisional figures. missing and unpriced stay what they are.
    """
    newest = pl.col("site").replace_strict(dict(clock), default=None, return_dtype=TIME)
    open_ = pl.col("status").is_in(["final", "restated"]) & (newest <= pl.col("interval_end") + lateness)
    return figures.with_columns(status=pl.when(open_).then(pl.lit("provisional")).otherwise(pl.col("status")))


def _frame(series: dict[str, Any], types: Columns, tags: Sequence[str]) -> pl.DataFrame:
    """One piece of an answer as a frame; a number that the server writes without a point is a float all the same."""
    columns = dict(zip(series["columns"], zip(*series["values"], strict=True), strict=True))
    made = {"time": pl.Series("time", columns["time"], dtype=pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")}
    for name, dtype in types.items():
        if name != "time":
            made[name] = pl.Series(name, columns[name], dtype=dtype, strict=False)
    for tag in tags:
        words = made[tag].unique().drop_nulls()
        made[tag] = made[tag].replace_strict(words, [decoded(w) or None for w in words], return_dtype=pl.String)
    return pl.DataFrame(made)


def _nanoseconds(instant: datetime) -> int:
    return (instant - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000
