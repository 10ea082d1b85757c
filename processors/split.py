"""STEPS -> AMOUNTS: what lies between two instants, split at the edges of the base intervals.

The part of an interval is floor(F(its end)) - floor(F(its start)), F the exact integral from the step's first instant: linear for
even amounts, quadratic for trapezoids. So parts telescope to the whole, and sums do not depend on order or windows.
"""

from datetime import UTC, datetime, timedelta

import polars as pl

from processors.exact import EXACT, HOUR_US, big, guarded, linear_floor, ramp_floor
from processors.series import alike, codes, edges, key, narrowed, ordered, run_max, run_sums
from schemas.frames import AMOUNTS, TIME

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHUNK = 250_000
_ALIKE = ["shape", "rate0_n", "rate1_n", "estimated", "suspect", "spans"]
_US = [pl.col(name).to_physical() for name in ("start", "end", "observed0", "received0", "observed1", "received1")]
_SMALL = 9.0e18  # a product of doubles below this fits 64 bits


def split(steps: pl.DataFrame, base_us: int, window: tuple[datetime, datetime] | None = None) -> pl.DataFrame:
    """AMOUNTS by meter and base interval, sorted by both; only intervals in which something is known.

    base_us: length of the base interval, UTC-aligned. window: keep intervals that start in [start, end); a long step is not
    cut outside of it. covered_us: time that steps span, overlaps once; null where only events without a period are.

    10 units spread evenly over 3 minutes from half past give 5/3, 10/3, 10/3 and 5/3, floored at each edge:

    >>> at = pl.datetime(2026, 1, 1, 0, 0, 30, time_zone="UTC")
    >>> step = pl.select(meter=pl.lit("m"), start=at, end=at.dt.offset_by("3m"), shape=pl.lit("even"), amount_n=pl.lit(10))
    >>> flags = {"estimated": False, "suspect": False, "spans": True, "rate0_n": None, "rate1_n": None}
    >>> ends = {"observed0": at, "received0": at, "observed1": at, "received1": at}
    >>> step = step.with_columns_seq(**{name: pl.lit(value) for name, value in flags.items()}, **ends)
    >>> split(step, 60_000_000).select_seq("amount_n", "covered_us").rows()
    [(1, 30000000), (4, 60000000), (3, 60000000), (2, 30000000)]
    """
    steps = ordered(steps, "start")
    cover = _cover(steps)
    found = [
        _chunk(steps[at : at + _CHUNK], cover[at : at + _CHUNK], base_us, window) for at in range(0, max(steps.height, 1), _CHUNK)
    ]
    joined = _summed(pl.concat(found)) if len(found) > 1 else found[0]
    if not _strictly_sorted(joined):
        joined = _summed(ordered(joined, "interval"))
    covered = pl.when("spans").then(pl.min_horizontal("covered_us", pl.lit(base_us, dtype=pl.Int64)))
    return narrowed(
        joined.with_columns_seq(interval_start=(pl.col("interval") * base_us).cast(TIME), covered_us=covered), AMOUNTS
    )


def _chunk(steps: pl.DataFrame, cover: pl.Series, base_us: int, window: tuple[datetime, datetime] | None) -> pl.DataFrame:
    """Sums of some steps' parts by meter and interval, in order of the steps."""
    parts = _parts(_spans(steps.with_columns_seq(cover.alias("cover")), base_us, window), base_us)
    amount = pl.lit(_part(parts))
    estimated = pl.when("estimated").then(pl.max_horizontal(amount, big(0) - amount)).otherwise(big(0))
    lean = parts.select_seq(
        "meter",
        "interval",
        "spans",
        "suspect",
        amount_n=amount,
        covered_us=_COVERED,
        estimated_n=estimated,
        lag_us=_lag(base_us),
    )
    return _summed(lean)


def _spans(steps: pl.DataFrame, base_us: int, window: tuple[datetime, datetime] | None) -> pl.DataFrame:
    """Steps with first and last base interval (numbers since the epoch) inside the window; the others are dropped."""
    start, end = pl.col("start").to_physical(), pl.col("end").to_physical()
    first, last = start // base_us, pl.max_horizontal(start, end - 1) // base_us
    if window is not None:
        low, high = ((edge - _EPOCH) // timedelta(microseconds=1) for edge in window)
        first = pl.max_horizontal(first, pl.lit(-(-low // base_us), dtype=pl.Int64))
        last = pl.min_horizontal(last, pl.lit(-(-high // base_us) - 1, dtype=pl.Int64))
        frame = steps.with_columns_seq(*_US, first=first, last=last)
        return frame.filter(pl.col("first") <= pl.col("last"))
    return steps.with_columns_seq(*_US, first=first, last=last)


def _cover(steps: pl.DataFrame) -> pl.Series:
    """From when a step's time counts as covered: after what earlier steps of the meter covered already (us)."""
    start, end = pl.col("start").to_physical(), pl.col("end").to_physical()
    same = ~edges(steps, "meter")
    overlapping = same & steps.select_seq((start < end.shift(1)).fill_null(False))[:, 0]
    if not overlapping.any():
        return steps.select_seq(start)["start"]
    until = pl.when("spans").then(end)
    before = until.cum_max().over("meter").shift(1).over("meter").forward_fill().over("meter")
    return steps.select_seq(cover=pl.max_horizontal(start, before))["cover"]


def _parts(frame: pl.DataFrame, base_us: int) -> pl.DataFrame:
    """One row a step and base interval: `interval`, and `low`, `high`: the part's edges (us)."""
    count = frame["last"] - frame["first"] + 1
    if (count == 1).all():
        parts, interval = frame, frame["first"]
    else:
        row = frame.select_seq(pl.int_range(pl.len(), dtype=pl.UInt32).repeat_by(count).explode())[:, 0]
        within = pl.int_range(row.len(), dtype=pl.Int64, eager=True) - (count.cum_sum() - count).gather(row)
        plain = [name for name in _ALIKE if alike(frame[name])]  # not worth copying
        same = {name: pl.lit(frame[name].first(), dtype=frame.schema[name]) for name in plain}
        parts = frame.drop(plain)[row].with_columns_seq(**same)
        interval = parts["first"] + within
    begin = pl.lit(interval * base_us)
    low, high = pl.max_horizontal("start", begin), pl.min_horizontal("end", begin + base_us)
    return parts.with_columns_seq(interval.alias("interval"), low=low, high=high)


def _part(parts: pl.DataFrame) -> pl.Series:
    """Exact amount of each part: floor(F(high)) - floor(F(low))."""
    whole = (pl.col("low") == pl.col("start")) & (pl.col("high") == pl.col("end"))
    cut = parts.select_seq(cut=~whole)["cut"]
    amount, many = parts["amount_n"].cast(EXACT), parts.height // 3
    if not cut.any():
        return amount
    for shape, integral, columns in (("even", _even, ["amount_n"]), ("ramp", _ramp, ["rate0_n", "rate1_n"])):
        of = parts["shape"] == shape
        where = (cut & of).arg_true()
        narrow = parts.select_seq("low", "high", "start", "end", *columns)
        if where.len() > many and of.all():
            return integral(narrow)  # of a whole step it is the amount itself
        if where.len():
            amount = amount.scatter(where, integral(narrow[where]))
    return amount


def _even(parts: pl.DataFrame) -> pl.Series:
    frame = parts.select_seq(
        pl.col("amount_n").cast(EXACT),
        low=pl.col("low") - pl.col("start"),
        high=pl.col("high") - pl.col("start"),
        span=pl.col("end") - pl.col("start"),
    )
    amount, low, high, span = (pl.col(name).cast(EXACT) for name in frame.columns)
    size = pl.col("amount_n").cast(pl.Float64).abs() * pl.col("span")
    if (frame.select_seq(size.max()).item() or 0.0) < _SMALL:
        narrow, low, high, span = (pl.col(name).cast(pl.Int64) for name in frame.columns)
        return frame.select_seq(part=(linear_floor(narrow, high, span) - linear_floor(narrow, low, span)).cast(EXACT))["part"]
    fast = linear_floor(amount, high, span) - linear_floor(amount, low, span)
    return guarded(frame, size, fast, lambda a, low, high, span: a * high // span - a * low // span, frame.columns)


def _ramp(parts: pl.DataFrame) -> pl.Series:
    frame = parts.select_seq(
        pl.col("rate0_n", "rate1_n").cast(EXACT),
        low=pl.col("low") - pl.col("start"),
        high=pl.col("high") - pl.col("start"),
        span=pl.col("end") - pl.col("start"),
    )
    rate0, rate1, low, high, span = (pl.col(name).cast(EXACT) for name in frame.columns)
    size = 4 * (pl.col("rate0_n").cast(pl.Float64).abs() + pl.col("rate1_n").cast(pl.Float64).abs())
    size = size * pl.col("span").cast(pl.Float64) ** 2
    fast = ramp_floor(rate0, rate1, high, span) - ramp_floor(rate0, rate1, low, span)

    def slow(r0: int, r1: int, low: int, high: int, span: int) -> int:
        upto = [(2 * span * r0 * t + (r1 - r0) * t * t) // (2 * span * HOUR_US) for t in (low, high)]
        return upto[1] - upto[0]

    return guarded(frame, size, fast, slow, frame.columns)


_NONE = pl.lit(0, dtype=pl.Int64)
_COVERED = pl.when("spans").then(pl.max_horizontal(pl.col("high") - pl.max_horizontal("low", "cover"), _NONE)).otherwise(_NONE)


def _lag(base_us: int) -> pl.Expr:
    """How much later than the interval's end, or its own time, the last of the step's readings was received (us)."""
    end = (pl.col("interval") + 1) * base_us
    sides = [pl.col(f"received{side}") - pl.max_horizontal(end, pl.col(f"observed{side}")) for side in (0, 1)]
    return pl.max_horizontal(*sides).fill_null(0)


def _summed(parts: pl.DataFrame) -> pl.DataFrame:
    """Sums over runs of rows of one meter and interval."""
    start = edges(parts, "meter", "interval")
    if start.all():
        return parts
    last = start.shift(-1, fill_value=True)
    flags = [name for name in ("spans", "suspect") if not alike(parts[name])]
    added = [name for name in ("amount_n", "covered_us", "estimated_n") if name != "estimated_n" or (parts[name] != 0).any()]
    sums = run_sums(parts.select_seq(*added, *(pl.col(flag).cast(pl.Int32) for flag in flags)), start)
    heads = parts.filter(last).with_columns_seq(*sums.get_columns(), run_max(parts["lag_us"], start).alias("lag_us"))
    return heads.with_columns_seq(pl.col(flag) > 0 for flag in flags)


def _strictly_sorted(found: pl.DataFrame) -> bool:
    """Whether each meter and interval stands once, in order."""
    packed = key(found["meter"], found["interval"])
    if packed is not None:
        return bool((packed[1:] > packed[:-1]).all())
    order = pl.DataFrame({"place": codes(found["meter"]), "interval": found["interval"]})
    place, interval = pl.col("place"), pl.col("interval")
    later = (place > place.shift(1)) | ((place == place.shift(1)) & (interval > interval.shift(1)))
    return bool(order.select_seq(later.fill_null(True).all()).item())
