"""Counters as series: their readings in order, with what was stated at each replacement, and what lies between neighbours.

`flagged` names what a fall of a counter means (ACCOUNTING: rollover, jitter, reset), by neighbours only.
"""

import polars as pl

from processors.exact import EXACT, HOUR_US, big
from processors.meters import IDENTITY, Meters
from processors.series import edges, ordered, ruled
from schemas.numeric import exact_text

_COLUMNS = ["meter", "observed_at", "value_n", "received_at", "quality", "message", "index", "feed", "device", "unit"]
_ROW = pl.int_range(pl.len(), dtype=pl.UInt32).alias("row")
_NO_SIDE = pl.lit(None, dtype=pl.Int8).alias("side")
_RULES = ["base", "rollover_n", "jitter_n", "max_rate_n", "max_gap_us", "net"]


def series(readings: pl.DataFrame, meters: Meters) -> pl.DataFrame:
    """Counter readings by meter and time with their rules, `new` where a series starts, and `side` on stated readings.

    A replacement stands between the readings as two rows: what the old device showed last (side 0) and the new one first
    (side 1, where the new series starts); their value is null where it is not stated. It needs a reading on both sides, since
    nothing is extrapolated. `row` is the place in the given frame, null for a stated reading.
    """
    counters = readings.select_seq(_ROW, *_COLUMNS, _NO_SIDE)
    counting = readings["kind"] == "counter"
    counters = ordered(counters if counting.all() else counters.filter(counting))
    stated = _between(counters, meters.swaps)
    if stated.height:
        swapped = pl.col("meter").cast(pl.String).is_in(stated["meter"].unique().to_list())
        texts = ["device", "feed", "unit"]  # as text: a stated device may be none of an enumeration
        counters = counters.with_columns_seq(pl.col(texts).cast(pl.String))
        meter = pl.col("meter").cast(counters.schema["meter"])
        added = stated.select_seq(meter, *texts, pl.col("at").alias("observed_at"), "value_n", "side")
        both = pl.concat([counters.filter(swapped).with_columns_seq(side=pl.lit(2, dtype=pl.Int8)), added], how="diagonal")
        both = ordered(both, then=("side",)).with_columns_seq(pl.when(pl.col("side") < 2).then("side").alias("side"))
        counters = pl.concat([counters.filter(~swapped), both], how="diagonal")
    counters = ruled(counters, meters.rules, _RULES, IDENTITY)
    alike = meters.rules["meter"].n_unique() == meters.rules.height
    new = edges(counters, "meter") if alike else edges(counters, "meter", "base")
    return counters.with_columns_seq(new=pl.lit(new) | (pl.col("side") == 1).fill_null(False))


def _between(counters: pl.DataFrame, swaps: pl.DataFrame) -> pl.DataFrame:
    """The replacements that have a reading before them and one at or after them."""
    if swaps.is_empty() or counters.is_empty():
        return swaps.clear()
    wanted = swaps["meter"].unique().to_list()
    seen = counters.filter(pl.col("meter").cast(pl.String).is_in(wanted)).group_by(pl.col("meter").cast(pl.String))
    spans = seen.agg(first=pl.col("observed_at").min(), last=pl.col("observed_at").max())
    inside = (pl.col("first") < pl.col("swap")) & (pl.col("swap") <= pl.col("last"))
    return swaps.join(spans, on="meter").filter(inside & (pl.col("first") <= pl.col("at"))).select_seq(swaps.columns)


def neighboured(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds change_n and span_us from the reading before within the series (null where a series starts)."""
    return frame.with_columns_seq(_NEIGHBOURED)


def _change(value: pl.Expr) -> pl.Expr:
    return pl.when(~pl.col("new")).then(value - value.shift(1))


_NEIGHBOURED = [
    _change(pl.col("value_n")).alias("change_n"),
    _change(pl.col("observed_at").to_physical()).cast(pl.Int64).alias("span_us"),
]


def faster(amount_n: pl.Expr, span_us: pl.Expr) -> pl.Expr:
    """Whether an amount in a time is more than max_rate allows; null without a limit.

    1 kWh in a minute is 60 kW: not more than 60 kW.

    >>> from schemas.numeric import N
    >>> row = {"a": [N, N + 1], "us": [60_000_000] * 2, "max_rate_n": [60 * N] * 2}
    >>> frame = pl.DataFrame(row, schema={"a": EXACT, "us": pl.Int64, "max_rate_n": EXACT})
    >>> frame.select_seq(x=faster(pl.col("a"), pl.col("us")))["x"].to_list()
    [False, True]
    """
    return amount_n.abs() * big(HOUR_US) > pl.col("max_rate_n") * span_us.cast(EXACT)


def flagged(frame: pl.DataFrame) -> pl.DataFrame:
    """Neighboured counters with amount_n (null: unknown) and the flags rollover, jitter, reset, unstated.

    A fall is a rollover if the modular step is below half of rollover_at and within max_rate; jitter if it is within
    `jitter:` (amount 0); else a reset, and the new value counts. A two-way meter (net) may roll over and may fall, nothing else.
    A stated reading of a replacement is never a reset.
    From 99 998 to 3 with rollover_at 100 000 are 5 units.

    >>> row = {"value_n": [99_998, 3, 2], "change_n": [None, -99_995, -1], "span_us": [None, 1, 1], "rollover_n": [100_000] * 3}
    >>> types = dict.fromkeys(["value_n", "change_n", "rollover_n", "jitter_n", "max_rate_n"], EXACT)
    >>> row |= {"jitter_n": [1] * 3, "max_rate_n": [None] * 3, "net": [False] * 3, "side": [None] * 3}
    >>> frame = pl.DataFrame(row, schema=types | {"span_us": pl.Int64, "net": pl.Boolean, "side": pl.Int8})
    >>> flagged(frame).select_seq("amount_n", "rollover", "jitter", "reset").rows()[1:]
    [(5, True, False, False), (0, False, True, False)]
    """
    change, roll = pl.col("change_n"), pl.col("rollover_n")
    fall = (change < 0) & ~pl.col("net").fill_null(False)
    if not (frame["change_n"] < 0).any():
        none = [pl.lit(False).alias(flag) for flag in ("rollover", "jitter", "reset", "unstated")]
        return frame.with_columns_seq(change.alias("amount_n"), *none)
    step = change % roll
    rolled = ((change < 0) & (step * big(2) < roll) & ~faster(step, pl.col("span_us")).fill_null(False)).fill_null(False)
    stated = pl.col("side").is_not_null() | pl.col("side").shift(1).is_not_null()
    frame = frame.with_columns_seq(_fall=fall.fill_null(False), rollover=rolled, _step=step)
    within = (big(0) - change <= pl.col("jitter_n")).fill_null(False)
    frame = frame.with_columns_seq(jitter=pl.col("_fall") & ~pl.col("rollover") & within)
    rest = pl.col("_fall") & ~pl.col("rollover") & ~pl.col("jitter")
    frame = frame.with_columns_seq(reset=rest & ~stated, unstated=rest & stated)
    amount = (
        pl.when("rollover")
        .then(pl.col("_step"))
        .when("jitter")
        .then(big(0))
        .when("reset")
        .then(pl.max_horizontal(pl.col("value_n"), big(0)))
        .when("unstated")
        .then(big(0) + pl.lit(None, dtype=EXACT))
        .otherwise(change)
    )
    return frame.with_columns_seq(amount_n=amount).drop("_fall", "_step")


def peaked(frame: pl.DataFrame, peaks: pl.DataFrame | None) -> pl.DataFrame:
    """Flagged counters where nothing counts until the old maximum since the last swap, rollover or reset is passed.

    peaks: meter, peak_n: that maximum before the first reading of the frame, where the frame starts in the middle of a series.
    The amount is the rise of the running maximum: 10, 9.9, 10.2 with jitter 0.2 count 0 and 0.2.

    >>> row = {"meter": "m", "value_n": [100, 99, 102], "change_n": [None, -1, 3], "amount_n": [None, 0, 3]}
    >>> row |= {"new": [True, False, False], "jitter": [False, True, False]}
    >>> row |= dict.fromkeys(["rollover", "reset", "unstated", "net"], False)
    >>> frame = pl.DataFrame(row, schema_overrides=dict.fromkeys(["value_n", "change_n", "amount_n"], EXACT))
    >>> peaked(frame, None)["amount_n"].to_list()
    [None, 0, 2]
    """
    seeded = peaks is not None and peaks.height > 0
    if not seeded and not frame["jitter"].any():
        return frame
    value = pl.col("value_n")
    if seeded:
        known = peaks.select_seq(pl.col("meter").cast(pl.String).alias("_name"), pl.col("peak_n").cast(EXACT)).unique("_name")  # type: ignore[union-attr]  # seeded
        frame = frame.with_columns_seq(_name=pl.col("meter").cast(pl.String)).join(
            known, on="_name", how="left", maintain_order="left"
        )
        first = edges(frame, "meter")
        frame = frame.with_columns_seq(_top=pl.when(first).then(pl.max_horizontal(value, "peak_n")).otherwise(value)).drop(
            "_name", "peak_n"
        )
    else:
        frame = frame.with_columns_seq(_top=value)
    era = pl.col("new") | pl.col("rollover") | pl.col("reset") | pl.col("unstated")
    frame = frame.with_columns_seq(_era=era.cast(pl.UInt32).cum_sum()).with_columns_seq(
        _top=pl.col("_top").cum_max().over("_era")
    )
    before = pl.col("_top").shift(1)
    below = before - (value - pl.col("change_n"))  # how far the reading before lies under the maximum
    passed = (
        pl.when(pl.col("amount_n").is_null() | pl.col("net").fill_null(False) | pl.col("reset"))
        .then("amount_n")
        .when("rollover")
        .then(pl.max_horizontal(pl.col("amount_n") - below, big(0)))
        .otherwise(pl.col("_top") - before)
    )
    return frame.with_columns_seq(amount_n=passed).drop("_top", "_era")


def change_text() -> pl.Expr:
    """`81234.5 -> 3 kWh`: the reading before and this one.

    >>> row = {"value_n": [18_194 * 10**6], "change_n": [-12_345_678 * 10**9], "base": ["kWh"]}
    >>> pl.DataFrame(row, schema_overrides={"value_n": EXACT, "change_n": EXACT}).select_seq(change_text()).item()
    '12345696.194 -> 18.194 kWh'
    """
    was, is_ = pl.col("value_n") - pl.col("change_n"), pl.col("value_n")
    return pl.format("{} -> {} {}", exact_text(was), exact_text(is_), pl.col("base").fill_null(""))
