"""Which intervals new readings touch, and which readings decide about them: the service recomputes no more, and no less.

Pure functions over frames. A span is (meter, start, end), both instants included; a window is half-open and aligned to the
base interval.

What a reading can change, by the rules of processors (neighbours in event time):
- spike and glitch of a reading depend on its raw neighbours, so a new reading decides anew about itself and the one beside it
  on each side; what remains is stepped from neighbour to neighbour. So amounts can change from the last reading that is kept at
  least two places before, to the first that is kept at least two places after.
- an amount counts at its instant or over its period; a corrected event leaves its old place, and overlaps are flagged.
- a reference level holds until the next one, at most `max_age`.
To compute a window, the readings inside are needed and beyond each edge one that is kept, with a neighbour that decides about it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import polars as pl

from schemas.frames import TIME

ASIDE = 2
"""Places from a new reading at which nothing is decided anew."""

SPAN = {"meter": pl.String, "start": TIME, "end": TIME}
NEAR = timedelta(hours=6)
"""Spans of a meter this near are one."""


def merged(spans: pl.DataFrame, by: str | None = "meter", gap: timedelta = timedelta(0)) -> pl.DataFrame:
    """Spans that overlap, or lie no more than `gap` apart, as one; by column, sorted.

    >>> at = lambda hour: datetime(2026, 1, 1, hour)
    >>> frame = pl.DataFrame({"meter": ["a", "a", "a"], "start": [at(1), at(2), at(9)], "end": [at(3), at(4), at(9)]})
    >>> merged(frame).with_columns(pl.col("start", "end").dt.hour()).rows()
    [('a', 1, 4), ('a', 9, 9)]
    """
    columns = [*([by] if by else []), "start", "end"]
    if spans.height < 2 or (by and spans[by].is_unique().all()):
        chosen = spans.select(columns)
        return chosen if by and chosen[by].is_sorted() else chosen.sort(columns[0])
    keys = [by] if by else [pl.lit(0).alias("all")]
    names = [by] if by else ["all"]
    ordered = spans.select(*keys, "start", "end").sort(*names, "start")
    reached = pl.col("end").cum_max().shift(1).over(names)
    apart = (pl.col("start") > reached + gap).fill_null(True)
    grouped = ordered.with_columns(run=apart.cum_sum()).group_by(*names, "run", maintain_order=True)
    return grouped.agg(pl.col("start").min(), pl.col("end").max()).select(columns)


def touched(readings: pl.DataFrame) -> pl.DataFrame:
    """Spans of READINGS: their instants and periods, near ones joined."""
    start = pl.min_horizontal("observed_at", "period_start")
    end = pl.max_horizontal("observed_at", "period_end")
    return merged(readings.select(pl.col("meter").cast(pl.String), start=start, end=end), gap=NEAR)


def floor(time: pl.Expr, base_us: int) -> pl.Expr:
    """The start of the base interval that holds an instant."""
    us = time.dt.epoch("us")
    return (us - us % base_us).cast(TIME)


class Bounds(NamedTuple):
    """For each span: the window whose amounts it can change, the readings needed for that, and whether all of them are loaded."""

    windows: pl.DataFrame  # meter, start, end (half-open)
    missing: pl.DataFrame  # meter, before, after (bool): more readings must be loaded on that side


def bounds(spans: pl.DataFrame, instants: pl.DataFrame, removed: pl.DataFrame, reach: pl.DataFrame, base_us: int) -> Bounds:
    """Windows of spans, from the instants loaded so far.

    instants: (meter, at), distinct; removed: those of them that spike or glitch took out; reach: one row a meter:
    `stretch` (Duration: how far from its observed_at a period of the meter can lie), `whole_before`, `whole_after` (bool: nothing
    is left to load on that side).
    """
    out = spans.join(reach, on="meter", how="left")
    names = pl.Enum(pl.concat([out["meter"], instants["meter"]]).unique().sort())
    raw = _Places(instants, names)
    kept = raw if removed.is_empty() else _Places(instants.join(removed, on=["meter", "at"], how="anti"), names)
    meter = _base(out["meter"], names)
    first, end = raw.of(meter)
    first_kept, end_kept = (first, end) if kept is raw else kept.of(meter)
    # the last kept instant at least ASIDE places before the span, the first kept one as far after it
    low = raw.count(meter, out["start"], "left") - ASIDE
    high = raw.count(meter, out["end"], "right") - 1 + ASIDE
    low, high = raw.time(low, low >= first), raw.time(high, high < end)
    lo, hi = kept.count(meter, low, "right") - 1, kept.count(meter, high, "left")
    lo, hi = kept.time(lo, lo >= first_kept), kept.time(hi, hi < end_kept)
    start = pl.min_horizontal(lo.fill_null(raw.time(first, first < end)), pl.col("start") - pl.col("stretch"))
    stop = pl.max_horizontal(hi.fill_null(raw.time(end - 1, first < end)), pl.col("end") + pl.col("stretch"))
    out = out.with_columns(a=floor(start, base_us), b=floor(stop, base_us) + timedelta(microseconds=base_us))
    # beyond each edge: one kept instant, one more beside it, and what a period can reach
    outside = {places: places.count(meter, out["a"], "right") for places in (kept, raw)}
    inside = {places: places.count(meter, out["b"], "left") for places in (kept, raw)}
    near = lo.is_not_null() & (outside[kept] > first_kept) & (outside[raw] >= first + 3)
    far = hi.is_not_null() & (inside[kept] < end_kept) & (inside[raw] <= end - 3)
    reached = pl.col("loaded_from") <= pl.col("a") - pl.col("stretch"), pl.col("loaded_to") >= pl.col("b") + pl.col("stretch")
    out = out.with_columns(
        before=~(pl.col("whole_before") | (near & reached[0])).fill_null(False),
        after=~(pl.col("whole_after") | (far & reached[1])).fill_null(False),
    )
    missing = out.filter(pl.col("before") | pl.col("after")).group_by("meter").agg(pl.col("before").any(), pl.col("after").any())
    return Bounds(merged(out.select("meter", start="a", end="b")), missing)


class _Places:
    """Instants (meter, at) in order of meter and time. A place is a number in that order, found by bisection."""

    def __init__(self, instants: pl.DataFrame, names: pl.Enum) -> None:
        keys = _base(instants["meter"], names) + instants["at"].to_physical()
        order = keys.arg_sort()
        self._ordered, self._at = keys.gather(order), instants["at"].gather(order)

    def count(self, meter: pl.Series, at: pl.Series, side: Literal["left", "right"]) -> pl.Series:
        """The place of a meter's (`_base`) first instant at or after (left), or after (right) a time; null where that is."""
        keys = meter + at.to_physical()
        return self._ordered.search_sorted(keys, side).cast(pl.Int64).set(keys.is_null(), None)

    def of(self, meter: pl.Series) -> tuple[pl.Series, pl.Series]:
        """The places of each meter's instants: the first, and the one after the last."""
        begin, end = (self._ordered.search_sorted(edge, "left").cast(pl.Int64) for edge in (meter - _EVER, meter + _EVER))
        return begin, end

    def time(self, place: pl.Series, valid: pl.Series) -> pl.Series:
        """The instant at a place, null where that is not valid."""
        return self._at.gather(place.set(~valid.fill_null(False), None))


def _base(meter: pl.Series, names: pl.Enum) -> pl.Series:
    """The number to which a time is added, so that numbers order by meter, then time."""
    return meter.cast(names).to_physical().cast(pl.Int128) * _SPREAD


_EVER = pl.Series([2**62], dtype=pl.Int128)
_SPREAD = pl.Series([2**64], dtype=pl.Int128)


def within(frame: pl.DataFrame, windows: pl.DataFrame, time: str, by: str = "meter") -> pl.DataFrame:
    """Rows of the frame whose time lies in a window of their meter; windows must not overlap (`merged`)."""
    if frame.is_empty() or windows.is_empty():
        return frame.clear()
    spans = windows.select(pl.col(by).alias("_by"), pl.col("start").alias("_start"), pl.col("end").alias("_end")).sort("_start")
    keyed = frame.with_columns(pl.col(by).cast(pl.String).alias("_by"), pl.int_range(pl.len()).alias("_row")).sort(time)
    found = keyed.join_asof(spans, left_on=time, right_on="_start", by="_by", check_sortedness=False, coalesce=False)
    return found.filter(pl.col(time) < pl.col("_end")).sort("_row").select(frame.columns)


def held(spans: pl.DataFrame, instants: pl.DataFrame, max_age: timedelta) -> pl.DataFrame:
    """Spans of reference levels -> (meter, start, end): interval starts that may take one of these values."""
    after = instants.sort("at")
    found = spans.sort("end").join_asof(
        after,
        left_on="end",
        right_on="at",
        by="meter",
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
        coalesce=False,
    )
    latest = pl.col("end") + max_age
    return found.select("meter", "start", end=pl.min_horizontal(latest, pl.col("at").fill_null(latest)))


class Part(NamedTuple):
    """Sources to compute together, and the window [start, end)."""

    sources: list[str]
    start: datetime
    end: datetime


def parts(windows: pl.DataFrame, longest: timedelta) -> Iterator[Part]:
    """Windows of sources (source, start, end), grouped so that little is computed in vain, and cut to at most `longest`.

    Windows that start near each other and have a similar length go together.
    """
    sized = windows.with_columns(size=(pl.col("end") - pl.col("start")).dt.total_microseconds().log(2).floor().cast(pl.Int32))
    for _, alike in sized.sort("size", "start").group_by("size", maintain_order=True):
        length = (alike["end"] - alike["start"]).max()
        assert isinstance(length, timedelta)
        eras = merged(alike, by=None, gap=length)
        for start, end in eras.iter_rows():
            chosen = alike.filter(pl.col("start").is_between(start, end))
            begin = start
            while begin < end:
                stop = min(begin + longest, end)
                inside = chosen.filter((pl.col("start") < stop) & (pl.col("end") > begin))
                if inside.height:
                    yield Part(sorted(inside["source"].unique().to_list()), begin, stop)
                begin = stop


def inside(wanted: pl.DataFrame, part: Part) -> pl.DataFrame:
    """What of windows (source, start, end) lies in the part."""
    begin, stop = pl.lit(part.start, dtype=TIME), pl.lit(part.end, dtype=TIME)
    mine = wanted.filter(pl.col("source").is_in(part.sources), pl.col("start") < part.end, pl.col("end") > part.start)
    return mine.select("source", start=pl.max_horizontal("start", begin), end=pl.min_horizontal("end", stop))


def outside(wanted: pl.DataFrame, part: Part) -> pl.DataFrame:
    """What of windows (source, start, end) does not lie in the part."""
    begin, stop = pl.lit(part.start, dtype=TIME), pl.lit(part.end, dtype=TIME)
    touched = pl.col("source").is_in(part.sources) & (pl.col("start") < part.end) & (pl.col("end") > part.start)
    before = wanted.filter(touched, pl.col("start") < begin).with_columns(end=begin)
    after = wanted.filter(touched, pl.col("end") > stop).with_columns(start=stop)
    return pl.concat([wanted.filter(~touched), before, after]).select("source", "start", "end").sort("source", "start")


SLICE = 200_000
"""Readings, or intervals of meters, that are metered together."""
_DAY = timedelta(days=1)


def long(spans: pl.DataFrame) -> bool:
    """Whether one of the spans is so long that they are better cut into slices."""
    return bool(spans.height) and bool(spans.select((pl.col("end") - pl.col("start")).max() >= _DAY).item())


def slices(spans: pl.DataFrame, days: pl.DataFrame | None, base_us: int) -> Iterator[pl.DataFrame]:
    """Spans in pieces of a bounded number of readings and intervals, in time order. days: (day, n) readings, where `long`."""
    if days is None:
        if spans.height:
            yield spans
        return
    begin, last = spans.select(pl.col("start").min(), pl.col("end").max()).row(0)
    daily = spans["meter"].n_unique() * max(1, _DAY // timedelta(microseconds=base_us))
    counts = dict(days.iter_rows())
    rows, at = 0, begin.replace(hour=0, minute=0, second=0, microsecond=0)
    while at + _DAY < last:
        rows += max(daily, counts.get(at, 0))
        at += _DAY
        if rows >= SLICE:
            yield _cut(spans, begin, at)
            begin, rows = max(begin, at), 0
    yield _cut(spans, begin, last)


def _cut(spans: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    inside = spans.filter((pl.col("start") <= end) & (pl.col("end") >= start))
    begin, stop = pl.lit(start, dtype=TIME), pl.lit(end, dtype=TIME)
    return inside.with_columns(start=pl.max_horizontal("start", begin), end=pl.min_horizontal("end", stop))


def different(old: pl.DataFrame, new: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Keys (distinct) whose row is new, gone or other than before."""
    columns = old.columns
    gone = old.join(new, on=columns, how="anti", nulls_equal=True).select(key)
    come = new.select(columns).join(old, on=columns, how="anti", nulls_equal=True).select(key)
    return pl.concat([gone, come]).unique()
