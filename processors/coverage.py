"""Coverage of roll-ups: how much of the time in which sources were active their readings span.

A source is active from its valid_from, or else its first reading, to its valid_to; one that never spoke and has no valid_from
counts as active throughout. Event sources have no time to cover, unless `expect:` says how often something must come: then
each such span with an event in it is covered, in periods at least as long.
"""

from datetime import datetime
from typing import Any

import polars as pl

from processors.layout import Layout
from processors.periods import CALENDAR, periods
from processors.plan import Plan
from schemas.frames import TIME

TIMES: Any = {
    "calendar": pl.String,
    "period": pl.String,
    "source": pl.String,
    "slot": TIME,  # start of the expected span that an event falls into; null: covered_us counts
    "slot_end": TIME,
    "covered_us": pl.Int64,  # null: events only
}
"""What figures cover, by period and source."""

_US = 1_000_000
_LENGTH = {"15m": 900, "1h": 3600, "1d": 86400, "1mo": 31 * 86400, "1y": 366 * 86400, "all": 10**12}
_PERIOD = ["calendar", "period", "source"]


def times(found: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """TIMES of figures that have their calendar and period; intervals count once, whatever number of figures they have."""
    each = found.group_by(*_PERIOD, "interval_start").agg(pl.col("covered_us").max())
    each = each.join(plan.table.select("source", "zone", "expect", "expect_us"), on="source", how="left")
    return merged(
        pl.concat([_slots(part) for part in each.partition_by("expect", "expect_us", "zone")] or [pl.DataFrame(schema=TIMES)])
    )


def merged(parts: pl.DataFrame) -> pl.DataFrame:
    """One row a period, source and slot."""
    total = pl.when(pl.col("covered_us").count() > 0).then(pl.col("covered_us").sum()).alias("covered_us")
    return parts.group_by(*_PERIOD, "slot", "slot_end").agg(total).select(TIMES.keys())


def _slots(part: pl.DataFrame) -> pl.DataFrame:
    zone, expect, length = part.select("zone", "expect", "expect_us").row(0)
    if length is not None:
        start = pl.from_epoch(pl.col("interval_start").dt.epoch("us") // length * length, "us").dt.replace_time_zone("UTC")
        part = part.with_columns(slot=start, slot_end=start + pl.duration(microseconds=length))
    elif expect in CALENDAR:
        first: datetime = part["interval_start"].min()  # type: ignore[assignment]  # a column of times
        last: datetime = part["interval_start"].max()  # type: ignore[assignment]  # a column of times
        spans = periods(expect, zone, first, last.replace(year=last.year + 1)).select(slot="start", slot_end="end")
        part = part.sort("interval_start").join_asof(spans, left_on="interval_start", right_on="slot", coalesce=False)
    else:
        none = pl.lit(None, dtype=TIME)
        part = part.with_columns(slot=none, slot_end=none)
    return part.select(pl.col(c).cast(t) for c, t in TIMES.items())


def active(rows: Layout, plan: Plan, first: pl.DataFrame) -> pl.DataFrame:
    """calendar, period, start, end, source, begin, finish: the periods in which each source is active, and from when to when.

    first: meter, first_observed_at.
    """
    spoke = (
        plan.meters(first["meter"].to_list()).join(first, on="meter").group_by("source").agg(pl.col("first_observed_at").min())
    )
    sources = rows.members.select("source", "site", "calendar", "active_from", "active_to").unique()
    sources = sources.join(spoke, on="source", how="left").join(rows.windows, on="site")
    begins = pl.coalesce("active_from", "first_observed_at", "window_start")
    spans = sources.join(rows.calendar, on="calendar").select(
        "calendar",
        "period",
        "start",
        "end",
        "source",
        begin=pl.max_horizontal("start", "window_start", begins),
        finish=pl.min_horizontal("end", "window_end", "active_to"),
    )
    return spans.filter(pl.col("begin") < pl.col("finish"))


def covered(spans: pl.DataFrame, found: pl.DataFrame, rows: Layout, plan: Plan) -> pl.DataFrame:
    """calendar, period, source, covered_us, expected_us of active periods; both null where time does not count.

    spans: from `active`; found: TIMES. What is covered never exceeds what is expected.
    """
    facts = plan.table.select("source", "event", "expect", expect_s=pl.col("expect_us") / _US)
    longest = pl.coalesce("expect_s", pl.col("expect").replace_strict(_LENGTH, default=None, return_dtype=pl.Float64))
    facts = facts.with_columns(counts=longest <= _LENGTH[rows.request.interval]).drop("expect_s", "expect")
    timed = found.filter(pl.col("slot").is_null()).select(*_PERIOD, "covered_us", heard=pl.lit(True))
    slots = spans.join(found.drop_nulls("slot").drop("covered_us"), on=_PERIOD)
    length = pl.min_horizontal("finish", "slot_end") - pl.max_horizontal("begin", "slot")
    slots = slots.group_by(_PERIOD).agg(slots_us=length.dt.total_microseconds().clip(0).sum())
    time = spans.join(facts, on="source").join(timed, on=_PERIOD, how="left").join(slots, on=_PERIOD, how="left")
    expected = (pl.col("finish") - pl.col("begin")).dt.total_microseconds()
    silent = pl.col("heard").is_null()
    own = pl.when(silent).then(0).otherwise("covered_us")
    span = pl.when(~pl.col("event")).then(own).when("counts").then(pl.col("slots_us").fill_null(0)).cast(pl.Int64)
    time = time.with_columns(covered_us=pl.when(span.is_not_null()).then(pl.min_horizontal(span, expected)), expected_us=expected)
    return time.select(*_PERIOD, "covered_us", expected_us=pl.when(pl.col("covered_us").is_not_null()).then("expected_us"))
