"""What a batch of readings means for what is known already: which are repetitions, which meters are new, where the clocks stand.

Pure functions over frames.
"""

from typing import NamedTuple

import polars as pl

from schemas.frames import READINGS, TIME
from scopeline.log.tables import METERS

_KEY = ["meter", "_event", "_at", "value_n"]


class Arrivals(NamedTuple):
    fresh: pl.DataFrame
    """READINGS that can change something: not the repetition of a value that came earlier."""
    clocks: pl.DataFrame
    """site, newest: the latest received_at among them, each value at its earliest."""
    earlier: list[str]
    """Sites where a known value turns out to have come earlier: their clock must be asked anew."""


def arrivals(readings: pl.DataFrame, known: pl.DataFrame) -> Arrivals:
    """Compare new READINGS with those known of the same keys (meter and event, or meter and observed_at)."""
    new = _keyed(readings)
    before = _keyed(known).group_by(_KEY).agg(_before=pl.col("received_at").min())
    joined = new.join(before, on=_KEY, how="left", nulls_equal=True, maintain_order="left")
    earliest = pl.col("received_at").min().over(_KEY)
    repeated = (pl.col("_before") < pl.col("received_at")).fill_null(False) | (pl.col("received_at") > earliest)
    fresh = joined.filter(~repeated)
    moved = fresh.filter(pl.col("_before").is_null()).group_by("site").agg(newest=pl.col("received_at").max())
    earlier = fresh.filter(pl.col("received_at") < pl.col("_before"))["site"].unique().to_list()
    return Arrivals(fresh.select(READINGS.keys()), moved.select(pl.col("site").cast(pl.String), "newest"), earlier)


def _keyed(readings: pl.DataFrame) -> pl.DataFrame:
    at = pl.when(pl.col("event").is_null()).then("observed_at")
    return readings.with_columns(pl.col("meter", "site").cast(pl.String), _event="event", _at=at)


def grown(meters: pl.DataFrame, readings: pl.DataFrame) -> pl.DataFrame:
    """METERS of the meters in READINGS, with what was known of them."""
    apart = pl.max_horizontal(
        (pl.col("observed_at") - pl.col(side)).dt.total_microseconds().abs() for side in ("period_start", "period_end")
    )
    newest = readings.sort("observed_at", "received_at", "message", "index", nulls_last=False)
    names = {name: pl.col(name).cast(pl.String).last() for name in ("site", "feed", "kind", "unit")}
    seen = newest.group_by(pl.col("meter").cast(pl.String)).agg(
        **names,
        first_observed_at=pl.min_horizontal(pl.col("observed_at").min(), pl.col("period_start").min()),
        last_observed_at=pl.col("observed_at").max(),
        last_value_n=pl.col("value_n").last(),
        last_received_at=pl.col("received_at").max(),
        stretch_us=apart.max().fill_null(0),
        eventful=pl.col("event").is_not_null().any(),
        named_unit=pl.col("unit").cast(pl.String).min(),
    )
    both = pl.concat([meters.join(seen, on="meter", how="semi"), seen.select(METERS.keys())], how="vertical_relaxed")
    last = both.sort("last_observed_at", "last_received_at", maintain_order=True)
    merged = last.group_by("meter").agg(
        pl.col("site", "feed", "kind", "unit").last(),
        pl.col("first_observed_at").min(),
        pl.col("last_observed_at").max(),
        pl.col("last_value_n").last(),
        pl.col("last_received_at").max(),
        pl.col("stretch_us").max(),
        pl.col("eventful").any(),
        pl.col("named_unit").min(),
    )
    return merged.select(pl.col(name).cast(dtype) for name, dtype in METERS.items()).sort("meter")


def replaced(meters: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """METERS with some rows in place of the old ones."""
    return pl.concat([meters.join(rows, on="meter", how="anti"), rows]).sort("meter")


def moved(clocks: pl.DataFrame, news: pl.DataFrame) -> pl.DataFrame:
    """CLOCKS, each the later of the two."""
    return pl.concat([clocks, news]).group_by("site").agg(pl.col("newest").max().cast(TIME)).sort("site")


def traffic(outcomes: pl.DataFrame, messages: pl.DataFrame) -> pl.DataFrame:
    """TRAFFIC of a batch: OUTCOMES counted by feed, minute of received_at and outcome."""
    timed = outcomes.join(messages.select("message", "received_at"), on="message")
    keys = [pl.col("feed").cast(pl.String).fill_null(""), pl.col("received_at").dt.truncate("1m").alias("minute"), "outcome"]
    counted = timed.group_by(keys).agg(
        messages=pl.col("message").n_unique().cast(pl.Int64),
        last_message=pl.col("message").max(),
        last_received_at=pl.col("received_at").max(),
    )
    return counted.select("feed", "minute", "outcome", "messages", "last_message", "last_received_at").sort(
        "feed", "minute", "outcome"
    )
