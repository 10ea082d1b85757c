"""READINGS -> READINGS: readings that contradict both neighbours are taken out of counters, as named events.

Spike: faster than max_rate to and from it, while its neighbours agree. Glitch: a decrease whose successor is not below its
predecessor. Both by raw neighbours, after the series was split where a device was replaced.
"""

from typing import NamedTuple

import polars as pl

from processors.counters import change_text, faster, neighboured, series
from processors.exact import big
from processors.meters import Meters
from schemas.frames import EVENTS, empty, shaped


class Cleaned(NamedTuple):
    readings: pl.DataFrame  # READINGS
    events: pl.DataFrame  # EVENTS: spike, glitch
    counters: pl.DataFrame | None = None  # neighboured series of the counters in readings, where nothing was taken out


def _contradictions() -> list[pl.Expr]:
    """spike, glitch: what a neighboured counter reading is by its two neighbours."""
    change, net = pl.col("change_n"), pl.col("net").fill_null(False)
    across, across_us = change + change.shift(-1), pl.col("span_us") + pl.col("span_us").shift(-1)
    fast = faster(change, pl.col("span_us"))
    agree = ~faster(across, across_us) & (net | (across + pl.col("jitter_n") >= big(0)))
    spike = fast & fast.shift(-1) & agree & pl.col("side").is_null()
    glitch = (change < 0) & ~net & (across >= big(0)) & pl.col("side").is_null()
    return [spike.fill_null(False).alias("spike"), glitch.fill_null(False).alias("glitch")]


_CONTRADICTIONS = _contradictions()


def clean(readings: pl.DataFrame, meters: Meters) -> Cleaned:
    """Collapsed READINGS without spikes and glitches, and these as EVENTS with their message.

    Exact for a reading whose two raw neighbours are in the frame.
    """
    frame = neighboured(series(readings, meters))
    if not (frame["change_n"] < 0).any() and frame["max_rate_n"].null_count() == frame.height:  # no falls, no limits
        return Cleaned(readings, empty(EVENTS), frame)
    flags = frame.select_seq(_CONTRADICTIONS)
    contradicts = flags["spike"] | flags["glitch"]
    if not contradicts.any():
        return Cleaned(readings, empty(EVENTS), frame)
    word = pl.when(flags["spike"]).then(pl.lit("spike")).otherwise(pl.lit("glitch"))
    out = frame.with_columns_seq(event=word).filter(contradicts)
    named = out.rechunk().with_columns_seq(  # polars 2.1 panics in format() over several chunks
        at="observed_at", detail=pl.format("{}, and back: taken out", change_text())
    )
    left = pl.repeat(True, readings.height, eager=True).scatter(out["row"], False)
    return Cleaned(readings.filter(left), shaped(named, EVENTS))
