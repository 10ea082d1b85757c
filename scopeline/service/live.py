"""The Live page in one value: flows now, kgCO2e/h, today, the last 24 hours, coverage, provisional and final."""

import threading
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import polars as pl

from processors.periods import day_start, local_date
from schemas.frames import TIME
from scopeline.query import QueryError
from scopeline.service.host import Host, ask
from scopeline.service.messages import base_unit, in_units

BY = ("scope", "source", "site", "category")
RECENT = timedelta(hours=1)
"""What is older says nothing about now."""


@dataclass(frozen=True)
class Live:
    """A snapshot. kg are those of one basis (its rows and the basis-less ones), so they may be added over sources and scopes."""

    at: datetime
    position: int  # place in the log
    basis: str
    by: str
    flows: pl.DataFrame
    """Newest reading of each rate and level meter: meter, site, feed, kind, value, unit (base), observed_at, age_s."""
    now: pl.DataFrame
    """Sources whose meters span time: site, source, scope, category, activity_per_h, activity_unit (base), co2e_kg_per_h,
    interval_start; the newest interval of the last hour. Event sources have no rate and are not in it."""
    rate_kg_per_h: float | None
    """Sum of `now`; null when nothing is known."""
    today: pl.DataFrame
    """Local day of each site: site, source, scope, category, co2e_kg (null: unknown or unpriced), unpriced,
    provisional_kg."""
    series: pl.DataFrame
    """Last 24 h: interval_start (15 minutes, UTC), key (by scope, source, ...; text), co2e_kg."""
    strip: pl.DataFrame
    """Last 24 h, each configured source and hour: site, source, interval_start, coverage (null: an event source),
    estimated_share, status (missing, unpriced, provisional, restated, final, or event for an hour without events)."""
    status: pl.DataFrame
    """Last 24 h: status, intervals (rows), co2e_kg."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON: frames as lists of rows."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value.to_dicts() if isinstance(value, pl.DataFrame) else value for name, value in found.items()}


_QUARTERS = """
WITH rows AS (
  SELECT f.*, CASE WHEN NOT f.priced THEN 'unpriced'
    WHEN c.newest <= f.interval_start + to_microseconds($base) + to_microseconds($late) THEN 'provisional'
    WHEN f.lag_us > $late THEN 'restated' ELSE 'final' END AS status
  FROM figures f LEFT JOIN clocks c USING (site)
  WHERE f.interval_start >= $start AND f.interval_start < $end AND f.basis IN ('', $basis)
), intervals AS (
  SELECT site, source, scope, category, interval_start, sum(co2e_n) AS co2e_n,
    bool_or(NOT priced) AS unpriced, max(covered_us) AS covered_us, max(abs(activity_n)) AS activity_n,
    max(estimated_n) AS estimated_n, count(*) FILTER (status = 'provisional') AS provisional,
    count(*) FILTER (status = 'restated') AS restated, count(*) FILTER (status = 'final') AS final,
    count(*) FILTER (status = 'unpriced') AS unpriced_rows,
    sum(co2e_n) FILTER (status = 'provisional') AS provisional_n, sum(co2e_n) FILTER (status = 'restated') AS restated_n,
    sum(co2e_n) FILTER (status = 'final') AS final_n
  FROM rows GROUP BY ALL
)
SELECT site, source, scope, category, time_bucket(INTERVAL 15 MINUTE, interval_start) AS interval_start,
  CAST(sum(co2e_n) AS DOUBLE) / 1e9 AS co2e_kg, bool_or(unpriced) AS unpriced, CAST(sum(covered_us) AS BIGINT) AS covered_us,
  CAST(sum(activity_n) AS DOUBLE) / 1e9 AS activity, CAST(sum(estimated_n) AS DOUBLE) / 1e9 AS estimated,
  CAST(sum(provisional) AS BIGINT) AS provisional, CAST(sum(restated) AS BIGINT) AS restated, CAST(sum(final) AS BIGINT) AS final,
  CAST(sum(unpriced_rows) AS BIGINT) AS unpriced_rows, CAST(sum(provisional_n) AS DOUBLE) / 1e9 AS provisional_kg,
  CAST(sum(restated_n) AS DOUBLE) / 1e9 AS restated_kg, CAST(sum(final_n) AS DOUBLE) / 1e9 AS final_kg
FROM intervals GROUP BY ALL
"""
_NOW = """
SELECT site, source, scope, category, interval_start, max(activity_unit) AS activity_unit,
  CAST(max(activity_n) AS DOUBLE) / 1e9 * 3.6e9 / max(covered_us) AS activity_per_h,
  CAST(sum(co2e_n) AS DOUBLE) / 1e9 * 3.6e9 / max(covered_us) AS co2e_kg_per_h
FROM figures WHERE interval_start >= $start AND basis IN ('', $basis) AND covered_us > 0
GROUP BY site, source, scope, category, interval_start
QUALIFY row_number() OVER (PARTITION BY source, category ORDER BY interval_start DESC) = 1
ORDER BY site, source, category
"""


def snapshot(host: Host, by: str, basis: str) -> Live:
    """Ask the store and arrange the answers; what is committed between two of them shows in the next snapshot."""
    reporting = host.configuration.plant.settings.reporting
    at = host.now()
    midnights = {s.site: day_start(local_date(at, s.timezone), s.timezone) for s in host.configuration.plant.settings.sites}
    start = min([at - timedelta(hours=24), *midnights.values()])
    late = round(reporting.lateness / timedelta(microseconds=1))
    span = {"start": start, "end": at + timedelta(minutes=15), "base": host.configuration.base_us, "late": late}
    position, meters = host.store.position(), host.store.meters()
    quarters = ask(host, _QUARTERS, {**span, "basis": basis})
    now = ask(host, _NOW, {"start": at - RECENT, "basis": basis})
    units = {unit: base_unit(unit) for unit in now["activity_unit"].unique().to_list()}
    now = now.with_columns(activity_unit=pl.col("activity_unit").replace_strict(units, return_dtype=pl.String))
    days = pl.DataFrame(
        {"site": list(midnights), "midnight": list(midnights.values())}, schema={"site": pl.String, "midnight": TIME}
    )
    recent = quarters.filter(pl.col("interval_start") >= at - timedelta(hours=24))
    return Live(
        at,
        position,
        basis,
        by,
        _flows(meters, at),
        now,
        float(now["co2e_kg_per_h"].sum()) if now["co2e_kg_per_h"].count() else None,
        _today(quarters.join(days, on="site").filter(pl.col("interval_start") >= pl.col("midnight"))),
        _series(recent, by),
        _strip(recent, host, at),
        _status(recent),
    )


def _flows(meters: pl.DataFrame, at: datetime) -> pl.DataFrame:
    found = in_units(meters.filter(pl.col("kind").is_in(["rate", "level"])), "last_value_n", "value")
    age = (pl.lit(at).cast(TIME) - pl.col("last_observed_at")).dt.total_seconds().alias("age_s")
    return found.select("meter", "site", "feed", "kind", "value", "unit", pl.col("last_observed_at").alias("observed_at"), age)


def _total(column: str) -> pl.Expr:
    """A sum that stays unknown where nothing is known."""
    return pl.when(pl.col(column).count() > 0).then(pl.col(column).sum()).alias(column)


def _today(quarters: pl.DataFrame) -> pl.DataFrame:
    keys = ["site", "source", "scope", "category"]
    return quarters.group_by(keys).agg(_total("co2e_kg"), pl.col("unpriced").any(), pl.col("provisional_kg").sum()).sort(keys)


def _series(quarters: pl.DataFrame, by: str) -> pl.DataFrame:
    keyed = quarters.with_columns(key=pl.col(by).cast(pl.String).fill_null("none"))
    return keyed.group_by("interval_start", "key").agg(_total("co2e_kg")).sort("interval_start", "key")


def _status(quarters: pl.DataFrame) -> pl.DataFrame:
    rows = []
    for status, count in (("unpriced", "unpriced_rows"), ("provisional",) * 2, ("restated",) * 2, ("final",) * 2):
        kg = None if status == "unpriced" else quarters[f"{status}_kg"].sum()
        rows.append({"status": status, "intervals": int(quarters[count].sum()), "co2e_kg": kg})
    return pl.DataFrame(rows, schema={"status": pl.String, "intervals": pl.Int64, "co2e_kg": pl.Float64})


def _strip(quarters: pl.DataFrame, host: Host, at: datetime) -> pl.DataFrame:
    """Hours of each source; configured sources without anything known are missing, not absent."""
    hour = pl.col("interval_start").dt.truncate("1h")
    first = (at - timedelta(hours=24)).replace(minute=0, second=0, microsecond=0)
    hours = pl.DataFrame({"interval_start": [first + timedelta(hours=n) for n in range(1, 25)]}, schema={"interval_start": TIME})
    known = quarters.group_by("site", "source", interval_start=hour).agg(
        pl.col("covered_us").sum().alias("covered"),
        pl.col("covered_us").count().alias("spans"),
        pl.col("activity").sum(),
        pl.col("estimated").sum(),
        *(pl.col(name).sum() for name in ("unpriced_rows", "provisional", "restated")),
    )
    seen = pl.DataFrame([(s.site, s.source) for s in host.configuration.plan.sources], schema=["site", "source"], orient="row")
    spanning = known.group_by("source").agg(event=pl.col("spans").sum() == 0)
    grid = (
        seen.join(hours, how="cross")
        .join(known, on=["site", "source", "interval_start"], how="left")
        .join(spanning, on="source", how="left")
    )
    event = pl.col("event").fill_null(False)
    span = pl.min_horizontal(pl.lit(3600.0), (pl.lit(at).cast(TIME) - pl.col("interval_start")).dt.total_seconds())
    share = (pl.col("covered").fill_null(0) / 1e6 / span.clip(1)).clip(0, 1)
    status = (
        pl.when(pl.col("activity").is_null())
        .then(pl.when(event).then(pl.lit("event")).otherwise(pl.lit("missing")))
        .when(pl.col("unpriced_rows") > 0)
        .then(pl.lit("unpriced"))
        .when(pl.col("provisional") > 0)
        .then(pl.lit("provisional"))
        .when(pl.col("restated") > 0)
        .then(pl.lit("restated"))
        .otherwise(pl.lit("final"))
    )
    return grid.select(
        "site",
        "source",
        "interval_start",
        pl.when(~event).then(share).alias("coverage"),
        (pl.col("estimated") / pl.col("activity")).fill_nan(None).clip(0, 1).alias("estimated_share"),
        status.alias("status"),
    ).sort("site", "source", "interval_start")


class Cache:
    """Makes a snapshot again after half a second; a slow one is kept for longer, so that it takes 5 % of the time at most."""

    def __init__(self, host: Host) -> None:
        self._host, self._lock = host, threading.Lock()
        self._kept: dict[tuple[str, str], tuple[float, Live]] = {}

    def get(self, by: str, basis: str) -> Live:
        if by not in BY:
            raise QueryError(f"by={by!r} is not known", f"Use one of: {', '.join(BY)}.")
        if basis not in ("location", "market"):
            raise QueryError(f"basis={basis!r} is not known", "Use location or market.")
        with self._lock:
            until, live = self._kept.get((by, basis), (0.0, None))
            begin = monotonic()
            if live is None or begin >= until:
                live = snapshot(self._host, by, basis)
                took = monotonic() - begin
                self._kept[by, basis] = (monotonic() + min(1.0, max(0.25, 5 * took)), live)
            return live
