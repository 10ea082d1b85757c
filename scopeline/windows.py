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

from processors.series import codes
from schemas.frames import TIME, instant

ASIDE = 2
"""Places from a new reading at which nothing is decided anew."""

SPAN = {"meter": pl.String, "start": TIME, "end": TIME}
NEAR = timedelta(hours=6)
"""Spans of a meter this near are one."""


def merged(spans: pl.DataFrame, by: str | None = "meter", gap: timedelta = timedelta(0)) -> pl.DataFrame:
    """Spans that overlap, or lie no more than `gap` apart, as one; by column, sorted.

    >>> at = lambda hour: datetime(2026, 1, 1, hour)
    >>> frame = pl.DataFrame({"meter": ["a", "a", "a"], "start": [at(1), at(2), at(9)], "end": [at(3), at(4), at(9)]})
    >>> merged(frame).with_columns_seq(pl.col("start", "end").dt.hour()).rows()
    [('a', 1, 4), ('a', 9, 9)]
    """
    columns = [*([by] if by else []), "start", "end"]
    if spans.height < 2 or (by and spans[by].n_unique() == spans.height):
        chosen = spans.select_seq(columns)
        return chosen if by and chosen[by].is_sorted() else chosen.sort(columns[0])
    place = _base(pl.lit(codes(spans[by]) if by else 0))
    keyed = spans.select_seq(*columns, _place=place, _from=place + _us("start"), _to=place + _us("end")).sort("_from")
    # what another one's spans reached lies far below a place of one's own, so that one running maximum does for all
    reached = pl.col("_to").cum_max()
    apart = (pl.col("_from") > reached.shift(1) + gap // _TICK).fill_null(True)
    runs = keyed.with_columns_seq(first=apart, end=(reached - pl.col("_place")).cast(pl.Int64).cast(spans["end"].dtype))
    ends = runs.filter(runs["first"].shift(-1, fill_value=True))["end"]
    return runs.filter("first").with_columns_seq(ends).select_seq(columns)


def touched(readings: pl.DataFrame) -> pl.DataFrame:
    """Spans of READINGS: their instants and periods, near ones joined."""
    start = pl.min_horizontal("observed_at", "period_start")
    end = pl.max_horizontal("observed_at", "period_end")
    together = start.to_physical() // (NEAR // _TICK)  # what starts in the same stretch of that length is near
    near = readings.group_by("meter", together.alias("stretch")).agg(start=start.min(), end=end.max())
    return merged(near, gap=NEAR)


def floor(time: pl.Expr, base_us: int) -> pl.Expr:
    """The start of the base interval that holds an instant."""
    us = time.dt.epoch("us")
    return (us - us % base_us).cast(TIME)


class Bounds(NamedTuple):
    """For each span: the window whose amounts it can change, the readings needed for that, and whether all of them are loaded."""

    windows: pl.DataFrame  # meter, start, end (half-open)
    missing: pl.DataFrame  # meter, before, after (bool): more readings must be loaded on that side


def bounds(spans: pl.DataFrame, instants: pl.DataFrame, removed: pl.DataFrame, base_us: int) -> Bounds:
    """Windows of spans, from the instants loaded so far.

    spans: with what was loaded of each meter, `loaded_from`, `loaded_to`, `whole_before`, `whole_after` (bool: nothing is left to
    load on that side), and `stretch` (Duration: how far from its observed_at a period of the meter can lie); instants:
    (meter, at), distinct, meter an Enum of all meters of the spans; removed: those of them that spike or glitch took out.
    """
    names = instants.schema["meter"]
    raw = _Places(instants, "raw")
    kept = _Places(instants.join(removed, on=["meter", "at"], how="anti"), "kept") if removed.height else raw
    out = spans.with_columns_seq(_base=_base(pl.col("meter").cast(names)))
    # the last kept instant at least ASIDE places before the span, the first kept one as far after it
    low, high = raw.count(pl.col("start"), "left") - ASIDE, raw.count(pl.col("end"), "right") - 1 + ASIDE
    out = out.with_columns_seq(low=low, high=high, **(raw.ends() | kept.ends()))
    low, high = raw.time(pl.col("low")), raw.time(pl.col("high"))
    out = out.with_columns_seq(lo=kept.count(low, "right") - 1, hi=kept.count(high, "left"))
    lo, hi = kept.time(pl.col("lo")), kept.time(pl.col("hi"))
    out = out.with_columns_seq(lo=lo, hi=hi, oldest=raw.time(raw.first), newest=raw.time(raw.end - 1))
    start = pl.min_horizontal(pl.coalesce("lo", "oldest"), pl.col("start") - pl.col("stretch"))
    stop = pl.max_horizontal(pl.coalesce("hi", "newest"), pl.col("end") + pl.col("stretch"))
    out = out.with_columns_seq(a=floor(start, base_us), b=floor(stop, base_us) + timedelta(microseconds=base_us))
    # beyond each edge: one kept instant, one more beside it, and what a period can reach
    outside, inside = ([places.count(pl.col(edge), side) for places in (kept, raw)] for edge, side in _EDGES)
    near = pl.col("lo").is_not_null() & (outside[0] > kept.first) & (outside[1] >= raw.first + 3)
    far = pl.col("hi").is_not_null() & (inside[0] < kept.end) & (inside[1] <= raw.end - 3)
    reached = pl.col("loaded_from") <= pl.col("a") - pl.col("stretch"), pl.col("loaded_to") >= pl.col("b") + pl.col("stretch")
    found = out.select_seq(
        "meter",
        start="a",
        end="b",
        before=~(pl.col("whole_before") | (near & reached[0])).fill_null(False),
        after=~(pl.col("whole_after") | (far & reached[1])).fill_null(False),
    )
    missing = found.filter(pl.col("before") | pl.col("after")).group_by("meter").agg(pl.col("before", "after").any())
    return Bounds(merged(found), missing)


_EDGES: tuple[tuple[str, Literal["left", "right"]], ...] = (("a", "right"), ("b", "left"))


class _Places:
    """Instants (meter, at) in order of meter and time; a place is a number in that order. Asked by frames with a `_base`."""

    def __init__(self, instants: pl.DataFrame, name: str) -> None:
        placed = instants.select_seq("at", place=_base(pl.col("meter")) + _us("at")).sort("place")
        self._ordered, self._at = pl.lit(placed["place"]), pl.lit(placed["at"])
        self._names = f"first_{name}", f"end_{name}"
        self.first, self.end = (pl.col(edge) for edge in self._names)

    def ends(self) -> dict[str, pl.Expr]:
        """The columns of `first`, the place of each meter's first instant, and of `end`, the one after its last."""
        edges = (pl.col("_base") - _EVER, pl.col("_base") + _EVER)
        return {
            name: self._ordered.search_sorted(edge, "left").cast(pl.Int64) for name, edge in zip(self._names, edges, strict=True)
        }

    def count(self, at: pl.Expr, side: Literal["left", "right"]) -> pl.Expr:
        """The place of the meter's first instant at or after (left), or after (right) a time; null where that is."""
        found = self._ordered.search_sorted(pl.col("_base") + at.to_physical(), side).cast(pl.Int64)
        return pl.when(at.is_not_null()).then(found)

    def time(self, place: pl.Expr) -> pl.Expr:
        """The instant at a place, null where the meter has none there."""
        return self._at.gather(pl.when((place >= self.first) & (place < self.end)).then(place))


_TICK = timedelta(microseconds=1)
_EVER = 2**62
_SPREAD = pl.lit(2**64, dtype=pl.Int128)


def _base(place: pl.Expr) -> pl.Expr:
    """The number to which a time is added, so that numbers order by place (of a meter), then time."""
    return place.to_physical().cast(pl.Int128) * _SPREAD


def _us(name: str) -> pl.Expr:
    return pl.col(name).to_physical()


def within(frame: pl.DataFrame, windows: pl.DataFrame, time: str, by: str = "meter") -> pl.DataFrame:
    """Rows of the frame whose time lies in a window of their meter; windows must not overlap (`merged`)."""
    if frame.is_empty() or windows.is_empty():
        return frame.clear()
    key = pl.col(by).cast(frame.schema[by], strict=False)  # the frame's names may be an enumeration
    spans = windows.select_seq(key, _start="start", _end="end")
    inside = (pl.col(time) >= pl.col("_start")) & (pl.col(time) < pl.col("_end"))
    if spans[by].n_unique() == spans.height:
        return frame.join(spans, on=by, maintain_order="left").filter(inside).select_seq(frame.columns)
    keyed = frame.with_row_index("_row").sort(time)
    found = keyed.join_asof(spans.sort("_start"), left_on=time, right_on="_start", by=by, check_sortedness=False, coalesce=False)
    return found.filter(inside).sort("_row").select_seq(frame.columns)


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
    return found.select_seq("meter", "start", end=pl.min_horizontal(latest, pl.col("at").fill_null(latest)))


class Part(NamedTuple):
    """Windows of sources (source, start, end) to compute together, all of them in [start, end)."""

    windows: pl.DataFrame
    start: datetime
    end: datetime

    @property
    def sources(self) -> list[str]:
        return sorted(set(self.windows["source"]))


def parts(windows: pl.DataFrame, longest: timedelta) -> Iterator[Part]:
    """Windows of sources (source, start, end), grouped so that little is computed in vain, and cut to at most `longest`."""
    for chosen, start, end in _near(windows):
        if end - start <= longest:
            yield Part(chosen, start, end)
            continue
        while start < end:
            stop = min(start + longest, end)
            cut = clipped(chosen, start, stop)
            if cut.height:
                yield Part(cut, start, stop)
            start = stop


def _near(windows: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, datetime, datetime]]:
    """Windows that go together, and from where to where they reach: all of them where at most as much again is computed in vain,
    else those that start near each other and have a similar length."""
    if windows.is_empty():
        return
    length = pl.col("end") - pl.col("start")
    start, end, sources, asked = windows.select_seq(
        pl.col("start").min(), pl.col("end").max(), sources=pl.col("source").n_unique(), asked=length.sum()
    ).row(0)
    if sources * (end - start) <= 2 * asked:
        yield windows, start, end
        return
    sized = windows.with_columns_seq(size=length.dt.total_microseconds().log(2).floor().cast(pl.Int32))
    for _, alike in sized.sort("size", "start").group_by("size", maintain_order=True):
        longest = (alike["end"] - alike["start"]).max()
        assert isinstance(longest, timedelta)
        for start, end in merged(alike, by=None, gap=longest).iter_rows():
            yield alike.filter((alike["start"] >= start) & (alike["start"] <= end)), start, end


def clipped(wanted: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """What of windows (source, start, end) lies between two instants."""
    mine = wanted.filter((wanted["start"] < end) & (wanted["end"] > start))
    return mine.select_seq("source", start=pl.max_horizontal("start", instant(start)), end=pl.min_horizontal("end", instant(end)))


def inside(wanted: pl.DataFrame, part: Part) -> pl.DataFrame:
    """What of windows (source, start, end) lies in the part."""
    return clipped(wanted.filter(pl.col("source").is_in(part.sources)), part.start, part.end)


def outside(wanted: pl.DataFrame, part: Part) -> pl.DataFrame:
    """What of windows (source, start, end) does not lie in the part."""
    begin, stop = instant(part.start), instant(part.end)
    touched = pl.col("source").is_in(part.sources) & (pl.col("start") < stop) & (pl.col("end") > begin)
    before = wanted.filter(touched, pl.col("start") < begin).with_columns_seq(end=begin)
    after = wanted.filter(touched, pl.col("end") > stop).with_columns_seq(start=stop)
    return pl.concat([wanted.filter(~touched), before, after]).select_seq("source", "start", "end").sort("source", "start")


SLICE = 200_000
"""Readings, or intervals of meters, that are metered together."""
_DAY = timedelta(days=1)


def long(spans: pl.DataFrame) -> bool:
    """Whether one of the spans is so long that they are better cut into slices."""
    return bool(spans.height) and bool((spans["end"] - spans["start"] >= _DAY).any())


def slices(spans: pl.DataFrame, days: pl.DataFrame | None, base_us: int) -> Iterator[pl.DataFrame]:
    """Spans in pieces of a bounded number of readings and intervals, in time order. days: (day, n) readings, where `long`."""
    if days is None:
        if spans.height:
            yield spans
        return
    begin, last = spans.select_seq(pl.col("start").min(), pl.col("end").max()).row(0)
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
    inside = spans.filter((spans["start"] <= end) & (spans["end"] >= start))
    begin, stop = instant(start), instant(end)
    return inside.with_columns_seq(start=pl.max_horizontal("start", begin), end=pl.min_horizontal("end", stop))


def different(old: pl.DataFrame, new: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Keys (distinct) whose row is new, gone or other than before."""
    columns = old.columns
    gone = old.join(new, on=columns, how="anti", nulls_equal=True) if new.height else old
    come = new.join(old, on=columns, how="anti", nulls_equal=True) if old.height else new
    return pl.concat([gone.select_seq(key), come.select_seq(key)]).unique()
