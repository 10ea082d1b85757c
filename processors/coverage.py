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
    "who": pl.UInt32,
    "number": pl.UInt32,
    "slot": TIME,  # start of the expected span that an event falls into; null: covered_us counts
    "slot_end": TIME,
    "covered_us": pl.Int64,  # null: events only
}
"""What figures cover, by source and period (processors.layout.Layout: who, number)."""

_LENGTH = {"15m": 900, "1h": 3600, "1d": 86400, "1mo": 31 * 86400, "1y": 366 * 86400, "all": 10**12}
_PERIOD = ["who", "number"]


def times(found: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """TIMES of figures that have who and number; intervals count once, whatever number of figures they have."""
    each = found.group_by(*_PERIOD, "interval_start").agg(pl.col("covered_us").max(), pl.col("source").first())
    slots = plan.table.filter(pl.col("expect").is_not_null() | pl.col("expect_us").is_not_null())
    plain = each.join(slots, on="source", how="anti").with_columns_seq(
        slot=pl.lit(None, dtype=TIME), slot_end=pl.lit(None, dtype=TIME)
    )
    parts = each.join(slots.select_seq("source", "zone", "expect", "expect_us"), on="source")
    some = [_slots(part) for part in parts.partition_by("expect", "expect_us", "zone")]
    return merged(pl.concat([plain.select_seq(TIMES.keys()), *some]))


def merged(parts: pl.DataFrame) -> pl.DataFrame:
    """One row a source, period and slot."""
    total = pl.when(pl.col("covered_us").count() > 0).then(pl.col("covered_us").sum()).alias("covered_us")
    return parts.group_by(*_PERIOD, "slot", "slot_end").agg(total).select_seq(TIMES.keys())


def _slots(part: pl.DataFrame) -> pl.DataFrame:
    """Events with the span of `expect` that each falls into: of the local calendar, or of a fixed length since 1970 (UTC)."""
    zone, expect, length = part.select_seq("zone", "expect", "expect_us").row(0)
    if expect in CALENDAR:
        first: datetime = part["interval_start"].min()  # type: ignore[assignment]  # a column of times
        last: datetime = part["interval_start"].max()  # type: ignore[assignment]  # a column of times
        spans = periods(expect, zone, first, last.replace(day=1, year=last.year + 2)).select_seq(slot="start", slot_end="end")
        part = part.sort("interval_start").join_asof(spans, left_on="interval_start", right_on="slot", coalesce=False)
    else:
        begin = (pl.col("interval_start").dt.epoch("us") // length * length).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        part = part.with_columns_seq(slot=begin, slot_end=begin + pl.duration(microseconds=length))
    return part.select_seq(pl.col(c).cast(t) for c, t in TIMES.items())


def active(rows: Layout, plan: Plan, first: pl.DataFrame) -> pl.DataFrame:
    """who, source, number, begin, finish: the periods in which each source is active, and from when to when.

    first: meter, first_observed_at.
    """
    first = first.with_columns_seq(pl.col("meter").cast(pl.String))
    spoke = (
        plan.meters(first["meter"].to_list()).join(first, on="meter").group_by("source").agg(pl.col("first_observed_at").min())
    )
    begins = pl.coalesce("active_from", "first_observed_at", "window_start")
    spans = (
        rows.who.join(spoke, on="source", how="left")
        .join(rows.calendar, on="calendar")
        .select_seq(
            "who",
            "source",
            "number",
            begin=pl.max_horizontal("start", "window_start", begins),
            finish=pl.min_horizontal("end", "window_end", "active_to"),
        )
    )
    return spans.filter(pl.col("begin") < pl.col("finish"))


def covered(spans: pl.DataFrame, found: pl.DataFrame, rows: Layout, plan: Plan) -> pl.DataFrame:
    """who, number, covered_us, expected_us of active periods; both null where time does not count.

    spans: from `active`; found: TIMES. What is covered never exceeds what is expected.
    """
    named = pl.col("expect").replace_strict(_LENGTH, default=None, return_dtype=pl.Int64)
    length = pl.coalesce(named, pl.col("expect_us") // 1_000_000)
    facts = plan.table.select_seq("source", "event", counts=length <= _LENGTH[rows.request.interval])
    timed = found.filter(pl.col("slot").is_null()).select_seq(*_PERIOD, "covered_us", heard=pl.lit(True))
    slots = spans.join(found.drop_nulls("slot").drop("covered_us"), on=_PERIOD)
    inside = pl.min_horizontal("finish", "slot_end") - pl.max_horizontal("begin", "slot")
    slots = slots.group_by(_PERIOD).agg(slots_us=inside.dt.total_microseconds().clip(0).sum())
    time = spans.join(facts, on="source").join(timed, on=_PERIOD, how="left").join(slots, on=_PERIOD, how="left")
    expected = (pl.col("finish") - pl.col("begin")).dt.total_microseconds()
    own = pl.when(pl.col("heard").is_null()).then(0).otherwise("covered_us")
    span = pl.when(~pl.col("event")).then(own).when("counts").then(pl.col("slots_us").fill_null(0)).cast(pl.Int64)
    time = time.with_columns_seq(
        covered_us=pl.when(span.is_not_null()).then(pl.min_horizontal(span, expected)), expected_us=expected
    )
    return time.select_seq(*_PERIOD, "covered_us", expected_us=pl.when(pl.col("covered_us").is_not_null()).then("expected_us"))
