"""Sums of 15 minutes, hours and local days beside the base figures, so that a year's panel is fast.

Exact sums of the stored integers, made again for every interval in which a figure changed, and once for those in which a series
was silent: what is missing counts as expected, never as zero.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import polars as pl

from processors.output import SHOWN, in_units, numbers
from processors.plan import Plan
from schemas.frames import EXACT, FIGURE_KEY, FIGURES, GASES, TIME, empty
from schemas.influx import ROLLUPS
from scopeline.log.tables import loaded

SERIES = [name for name in FIGURE_KEY if name != "interval_start"]
LENGTHS = {"15m": timedelta(minutes=15), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
assert LENGTHS.keys() == ROLLUPS.keys()
RECENT = timedelta(days=2)
"""A series that said nothing for longer is not expected to speak in these sums; exports know better."""


SILENCE: dict[str, Any] = {**{name: FIGURES[name] for name in SERIES}, "start": TIME, "end": TIME}
"""When a series was silent, from a figure on, within which its sums say that something was expected."""


_NONE = empty(SILENCE)


class Asks(Protocol):
    """Questions to the data file, frames as tables (scopeline.cluster.changes.NotingLog)."""

    def asked(self, sql: str, parameters: Sequence[Any] = (), /, **frames: pl.DataFrame) -> pl.DataFrame: ...


class Sums(NamedTuple):
    """Rows of one roll-up (interval_start, SERIES, tags, schemas.influx.ROLLUP_FIELDS), and the points that must go first."""

    interval: str
    rows: pl.DataFrame
    gone: pl.DataFrame


def sums(
    log: Asks,
    changed: pl.DataFrame,
    passed: Mapping[str, tuple[datetime, datetime]],
    plan: Plan,
    zones: Mapping[str, str],
    silence: pl.DataFrame = _NONE,
    back_to: Callable[[datetime], None] = lambda _: None,
) -> Iterator[Sums]:
    """What the roll-ups say in the intervals of the changed figures (FIGURE_KEY, lost), and in those that a site's clock passed.

    silence: SILENCE of series that are told anew, whose intervals count, too.
    back_to: told from when on the file must hold all figures. passed: site -> its clock before and now; zones: site -> time zone.
    Expected seconds begin with the first figure of a series.
    """
    since = min((before for before, _ in passed.values()), default=None)
    series = _recent(log, since - RECENT) if since else None
    for interval, length in LENGTHS.items():
        if length <= timedelta(microseconds=plan.base_us):
            continue
        wanted = _intervals(changed.select(*FIGURE_KEY, "lost"), interval, zones)
        if silence.height:
            quiet = _silent(silence, interval, zones)
            wanted = pl.concat([wanted, quiet]).group_by("interval_start", "interval_end", *SERIES).agg(pl.col("lost").any())
        if series is not None and series.height:
            ended = [_ended(series, interval, site, *clocks, zones) for site, clocks in passed.items()]
            wanted = pl.concat([wanted, *ended]).group_by("interval_start", "interval_end", *SERIES).agg(pl.col("lost").any())
        if wanted.height:
            back_to(wanted["interval_start"].min())  # type: ignore[arg-type]  # a time
            gone = wanted.filter("lost").select("interval_start", *SERIES)
            rows = _summed(log, wanted, plan).filter((pl.col("known") > 0) | (pl.col("expected_s") > 0))
            yield Sums(interval, rows, gone)


def _recent(log: Asks, since: datetime) -> pl.DataFrame:
    """SERIES that had figures with a duration lately."""
    columns = ", ".join(f'"{name}"' for name in SERIES)
    sql = f"SELECT DISTINCT {columns} FROM figures WHERE interval_start >= ? AND covered_us IS NOT NULL"
    return loaded(log.asked(sql, [since.replace(tzinfo=None)]), {n: pl.Int8 if n == "scope" else pl.String for n in SERIES})


def _intervals(changed: pl.DataFrame, interval: str, zones: Mapping[str, str]) -> pl.DataFrame:
    """interval_start, interval_end, SERIES, lost: the intervals that hold changed figures; days by the zone of their site."""
    return _within(changed, interval, zones).group_by("interval_start", "interval_end", *SERIES).agg(pl.col("lost").any())


def _within(rows: pl.DataFrame, interval: str, zones: Mapping[str, str]) -> pl.DataFrame:
    """Rows (interval_start, site, ...) with the start and the end of the interval that holds their instant."""
    parts = [rows.clear().with_columns(interval_end="interval_start")]
    for (site,), some in rows.group_by("site"):
        start, end = _edges(pl.col("interval_start"), interval, zones.get(str(site), "UTC"))
        parts.append(some.with_columns(start, end.alias("interval_end")))
    return pl.concat(parts)


def _edges(at: pl.Expr, interval: str, zone: str) -> tuple[pl.Expr, pl.Expr]:
    """Start and end of the interval that holds an instant; days are the zone's."""
    start = at.dt.convert_time_zone(zone if interval == "1d" else "UTC").dt.truncate(interval)
    ends = start.dt.offset_by(interval)
    return start.dt.convert_time_zone("UTC").cast(TIME), ends.dt.convert_time_zone("UTC").cast(TIME)


def _ended(
    series: pl.DataFrame, interval: str, site: str, before: datetime, now: datetime, zones: Mapping[str, str]
) -> pl.DataFrame:
    """The intervals that ended between two readings of a site's clock, for each of its series; at most two days of them."""
    length = LENGTHS[interval]
    times = pl.datetime_range(max(before, now - RECENT) - length, now, length, time_unit="us", time_zone="UTC", eager=True)
    start, end = _edges(pl.col("at"), interval, zones.get(site, "UTC"))
    spans = pl.DataFrame({"at": times}).select(interval_start=start, interval_end=end).unique()
    ended = spans.filter((pl.col("interval_end") > before) & (pl.col("interval_end") <= now))
    mine = series.filter(pl.col("site") == site)
    return (
        ended.join(mine, how="cross").with_columns(lost=pl.lit(False)).select("interval_start", "interval_end", *SERIES, "lost")
    )


def _silent(silence: pl.DataFrame, interval: str, zones: Mapping[str, str]) -> pl.DataFrame:
    """interval_start, interval_end, SERIES, lost: the intervals that begin and end in a silence."""
    half = LENGTHS[interval] / 2  # no day is so short that it lies between two of these
    times = silence.with_columns(interval_start=pl.datetime_ranges("start", "end", half)).explode("interval_start")
    inside = pl.col("interval_start") > pl.col("start"), pl.col("interval_end") <= pl.col("end")
    found = _within(times, interval, zones).filter(*inside).with_columns(lost=pl.lit(False))
    return found.select("interval_start", "interval_end", *SERIES, "lost").unique()


def _summed(log: Asks, wanted: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    exact = ", ".join(f'CAST(sum(f."{gas}_n") AS DECIMAL(38,0)) AS "{gas}_n"' for gas in GASES)
    same = " AND ".join(f'f."{name}" IS NOT DISTINCT FROM w."{name}"' for name in SERIES)
    series = ", ".join(f'w."{name}"' for name in SERIES)
    share = "least(1, CAST(f.estimated_n AS DOUBLE) / nullif(abs(CAST(f.activity_n AS DOUBLE)), 0))"
    firsts = ", ".join(f'"{name}"' for name in SERIES)
    found = log.asked(
        f"""WITH firsts AS (SELECT {firsts}, min(interval_start) AS first, bool_or(covered_us IS NOT NULL) AS timed
            FROM figures WHERE source IN (SELECT DISTINCT source FROM wanted) GROUP BY {firsts})
        SELECT w.interval_start, {series}, {exact}, CAST(sum(f.activity_n) AS DECIMAL(38,0)) AS activity_n,
        CASE WHEN count(DISTINCT f.activity_unit) = 1 THEN min(f.activity_unit) END AS activity_unit,
        sum(CAST(f.co2e_n AS DOUBLE) * {share}) / 1e9 AS estimated_kg,
        coalesce(sum(f.covered_us), 0) / 1e6 AS covered_s,
        CASE WHEN any_value(g.timed) THEN
            greatest(0, epoch(w.interval_end - greatest(w.interval_start, any_value(g.first)))) ELSE 0 END AS expected_s,
        CAST(count(f.source) AS DOUBLE) AS known, CAST(count(*) FILTER (NOT f.priced) AS DOUBLE) AS unpriced
        FROM wanted w LEFT JOIN figures f ON {same}
        AND f.interval_start >= w.interval_start AND f.interval_start < w.interval_end
        AND f.interval_start >= (SELECT min(interval_start) FROM wanted)
        AND f.interval_start < (SELECT max(interval_end) FROM wanted)
        LEFT JOIN firsts g ON {same.replace("f.", "g.")}
        GROUP BY w.interval_start, w.interval_end, {series}""",
        wanted=wanted.with_columns(pl.col("interval_start", "interval_end").dt.replace_time_zone(None)),
    )
    schema = {
        "interval_start": TIME,
        **{name: pl.Int8 if name == "scope" else pl.String for name in SERIES},
        **{f"{gas}_n": EXACT for gas in GASES},
        "activity_n": EXACT,
        "activity_unit": pl.String,
        **dict.fromkeys(("estimated_kg", "covered_s", "expected_s", "known", "unpriced"), pl.Float64),
    }
    rows = loaded(found, schema)
    rows = rows.with_columns(
        *(numbers(rows[f"{gas}_n"]).alias(shown) for gas, shown in SHOWN.items()),
        in_units(rows["activity_n"], rows["activity_unit"]).alias("activity"),
    )
    return rows.join(plan.tagged, on="source", how="left", maintain_order="left")
