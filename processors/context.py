"""How much around a window must be known so that its amounts are those of the whole series.

A window [start, end) of base intervals, and a meter whose stored readings reach further. Exact are:

- **rate**: the readings inside, the last at or before start, the first at or after end.
- **counter**: the same of *kept* readings, and these must have been judged: spike and glitch look at one raw neighbour on each
  side. The outermost raw reading of a frame has only one neighbour and is not judged; so two raw readings at or before
  start and two at or after end do, unless one of these is taken out; then go on until `lacking` is empty.
- **counter with jitter**: besides, either all kept readings since the last swap, rollover or reset, or `peaks`.
- **amount**: all whose instant or period touches the window. Where an `event` keys them, every version of each such event,
  wherever its time lies, since only one of them counts.
- **all**: every version of a reading (processors.collapse chooses), not just the one that counted.

Events of the window are those with start <= at < end; an overlap is named at the later period's start.
"""

from datetime import datetime

import polars as pl

from processors.counters import flagged, neighboured, series
from processors.exact import EXACT
from processors.meters import Meters

NEIGHBOURS = 2
"""Raw readings on each side of the window with which to try first."""


def lacking(raw: pl.DataFrame, kept: pl.DataFrame, window: tuple[datetime, datetime], whole: pl.DataFrame) -> pl.DataFrame:
    """meter, before, after: where a counter's or rate's frame must reach further on that side.

    raw: collapsed READINGS; kept: the cleaned ones; whole: meter, first, last: the stored series' first and last observed_at,
    beyond which there is nothing to fetch.
    """
    time, start, end = pl.col("observed_at"), *(pl.lit(edge, dtype=pl.Datetime("us", "UTC")) for edge in window)
    continuous = pl.col("kind").is_in(["counter", "rate"])
    named = pl.col("meter").cast(pl.String)
    reach = (
        raw.filter(continuous).group_by(named).agg(low=time.min(), high=time.max(), counter=(pl.col("kind") == "counter").any())
    )
    outer = kept.filter(continuous).with_columns_seq(named).join(reach, on="meter")
    judged = outer.filter(~pl.col("counter") | ((time > pl.col("low")) & (time < pl.col("high"))))
    sides = judged.group_by("meter").agg(since=time.min(), until=time.max())
    found = reach.join(sides, on="meter", how="left").join(whole.with_columns_seq(named), on="meter", how="left")
    before = (pl.col("low") > pl.col("first")) & ~(pl.col("since") <= start).fill_null(False)
    after = (pl.col("high") < pl.col("last")) & ~(pl.col("until") >= end).fill_null(False)
    return found.select_seq("meter", before=before.fill_null(False), after=after.fill_null(False)).filter(
        pl.col("before") | pl.col("after")
    )


def peaks(kept: pl.DataFrame, meters: Meters, before: pl.DataFrame | None = None) -> pl.DataFrame:
    """meter, peak_n: each counter's maximum since its last swap, rollover or reset, at the end of a frame of cleaned READINGS.

    It seeds `steps` for the frame that starts with this one's last reading. before: the peaks with which this frame started.

    >>> from processors.meters import RULES, SWAPS
    >>> from schemas.frames import READINGS, shaped
    >>> rows = pl.DataFrame({"meter": "m", "kind": "counter", "value_n": [9, 10, 3, 5, 4]})
    >>> days = pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 5))
    >>> rows = shaped(rows.with_columns_seq(observed_at=days), READINGS)
    >>> rule = pl.DataFrame({"meter": ["m"], "jitter_n": [1], "net": [False]})
    >>> peaks(rows, Meters(shaped(rule, RULES), pl.DataFrame(schema=SWAPS))).rows()
    [('m', 5)]
    """
    frame = flagged(neighboured(series(kept, meters)))
    edge = pl.col("new") | pl.col("rollover") | pl.col("reset") | pl.col("unstated")
    frame = frame.with_columns_seq(pl.col("meter").cast(pl.String), era=edge.cast(pl.UInt32).cum_sum())
    last = frame.filter(pl.col("era") == pl.col("era").max().over("meter"))
    found = last.group_by("meter", maintain_order=True).agg(peak_n=pl.col("value_n").max(), era=pl.col("era").first())
    if before is not None and before.height:
        first = frame.group_by("meter").agg(first=pl.col("era").min())
        seeds = before.select_seq(pl.col("meter").cast(pl.String), pl.col("peak_n").cast(EXACT).alias("seed_n"))
        found = found.join(first, on="meter").join(seeds, on="meter", how="left", maintain_order="left")
        same = pl.col("era") == pl.col("first")
        found = found.with_columns_seq(peak_n=pl.when(same).then(pl.max_horizontal("peak_n", "seed_n")).otherwise("peak_n"))
    return found.select_seq("meter", "peak_n")
