"""What a batch of readings means for what is known already: which are repetitions, which meters are new, where the clocks stand.

Pure functions over frames.
"""

from typing import NamedTuple

import polars as pl

from schemas.frames import READINGS, TIME
from scopeline.log.tables import METERS

_AT = pl.when(pl.col("event").is_null()).then("observed_at").alias("_at")
_KEY = ["meter", "event", "_at", "value_n"]


def perhaps_known(readings: pl.DataFrame, meters: pl.DataFrame) -> pl.DataFrame:
    """READINGS whose key may have come before: of an event, or not newer than all that METERS know of their meter."""
    seen = readings.join(meters.select_seq("meter", _newest="last_observed_at"), on="meter", maintain_order="left")
    return seen.filter(pl.col("event").is_not_null() | (pl.col("observed_at") <= pl.col("_newest"))).drop("_newest")


class Arrivals(NamedTuple):
    fresh: pl.DataFrame
    """READINGS that can change something: not the repetition of a value that came earlier."""
    clocks: pl.DataFrame
    """site, newest: the latest received_at among them, each value at its earliest."""
    earlier: list[str]
    """Sites where a known value turns out to have come earlier: their clock must be asked anew."""


def arrivals(readings: pl.DataFrame, known: pl.DataFrame) -> Arrivals:
    """Compare new READINGS with those known of the same keys (meter and event, or meter and observed_at)."""
    received, before = pl.col("received_at"), pl.col("_before")
    earliest = received.min().over("meter", "event", _AT, "value_n")
    if known.is_empty():
        first = readings.select_seq(received <= earliest).to_series()
        fresh = readings if first.all() else readings.filter(first)
        return Arrivals(fresh, fresh.group_by("site").agg(newest=received.max()), [])
    others = known.group_by("meter", "event", _AT, "value_n").agg(_before=received.min())
    joined = readings.with_columns_seq(_AT).join(others, on=_KEY, how="left", nulls_equal=True, maintain_order="left")
    fresh = joined.filter(received <= earliest, ~(before < received).fill_null(False))
    moved = fresh.filter(before.is_null()).group_by("site").agg(newest=received.max())
    earlier = fresh.filter(received < before)["site"].unique().to_list()
    return Arrivals(fresh.select_seq(READINGS.keys()), moved, earlier)


class Grown(NamedTuple):
    rows: pl.DataFrame
    """METERS of the meters that spoke, with what was known of them."""
    named: bool
    """Whether one of them is new, or has another `named_unit` than before."""


def grown(meters: pl.DataFrame, readings: pl.DataFrame) -> Grown:
    """What READINGS add to METERS."""
    newest = readings.sort("observed_at", "received_at", "message", "index", nulls_last=False)
    both = newest.group_by("meter").agg(_SEEN).join(meters, on="meter", how="left", suffix="_was")
    rows = both.select_seq(_GROWN).sort("meter")
    return Grown(rows, bool(both.select_seq(_NAMED_ANEW).item()))


def _apart() -> pl.Expr:
    """How far from its observed_at the period of a reading lies, at most."""
    sides = (pl.col("observed_at") - pl.col(side) for side in ("period_start", "period_end"))
    return pl.max_horizontal(side.dt.total_microseconds().abs() for side in sides)


_SEEN = [
    pl.col("site", "feed", "kind", "unit").last(),
    pl.min_horizontal(pl.col("observed_at").min(), pl.col("period_start").min()).alias("first_observed_at"),
    pl.col("observed_at").max().alias("last_observed_at"),
    pl.col("value_n").last().alias("last_value_n"),
    pl.col("received_at").max().alias("last_received_at"),
    _apart().max().fill_null(0).alias("stretch_us"),
    pl.col("event").is_not_null().any().alias("eventful"),
    pl.col("unit").min().alias("named_unit"),
]
"""METERS of some readings of a meter, the newest last."""


def _grown(name: str) -> pl.Expr:
    now, was = pl.col(name), pl.col(f"{name}_was")
    if name in ("last_observed_at", "last_received_at", "stretch_us", "eventful"):
        return pl.max_horizontal(now, was)
    if name in ("first_observed_at", "named_unit"):
        return pl.min_horizontal(now, was)
    observed, received = pl.col("last_observed_at"), pl.col("last_received_at")
    observed_was, received_was = pl.col("last_observed_at_was"), pl.col("last_received_at_was")
    older = (observed < observed_was) | ((observed == observed_was) & (received < received_was))
    return pl.when(older).then(was).otherwise(now).alias(name)


_GROWN = [pl.col("meter"), *(_grown(name).cast(dtype) for name, dtype in METERS.items() if name != "meter")]
_RENAMED = pl.col("named_unit_was").ne_missing(pl.min_horizontal("named_unit", "named_unit_was"))
_NAMED_ANEW = (pl.col("last_observed_at_was").is_null() | _RENAMED).any()


def replaced(meters: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """METERS with some rows in place of the old ones."""
    return pl.concat([meters.join(rows, on="meter", how="anti"), rows]).sort("meter")


def moved(clocks: pl.DataFrame, news: pl.DataFrame) -> pl.DataFrame:
    """CLOCKS, each the later of the two."""
    return pl.concat([clocks, news]).group_by("site").agg(pl.col("newest").max().cast(TIME)).sort("site")


def traffic(outcomes: pl.DataFrame, messages: pl.DataFrame) -> pl.DataFrame:
    """TRAFFIC of a batch: OUTCOMES counted by feed, minute of received_at and outcome."""
    if outcomes.height == messages.height and (outcomes["message"] == messages["message"]).all():
        timed = outcomes.with_columns_seq(messages["received_at"])
    else:
        timed = outcomes.join(messages.select_seq("message", "received_at"), on="message")
    return timed.group_by(_TRAFFIC).agg(_COUNTED).sort("feed", "minute", "outcome")


_TRAFFIC = [pl.col("feed").fill_null(""), pl.col("received_at").dt.truncate("1m").alias("minute"), pl.col("outcome")]
_COUNTED = [
    pl.col("message").n_unique().cast(pl.Int64).alias("messages"),
    pl.col("message").max().alias("last_message"),
    pl.col("received_at").max().alias("last_received_at"),
]
