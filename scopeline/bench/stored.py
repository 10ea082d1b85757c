"""A data file of any size: base figures of a thousand sources, priced by the real way from made-up activity."""

from datetime import timedelta
from pathlib import Path

import polars as pl

from processors.price import price
from schemas.frames import ACTIVITY, AMOUNTS, READINGS, TIME, empty, shaped
from schemas.numeric import N
from scopeline import pipeline
from scopeline.bench.generate import BEGIN, write_plant
from scopeline.catalogue import catalogue
from scopeline.log import Log
from scopeline.log.tables import METERS
from scopeline.plant import load
from scopeline.runtime import FILE
from scopeline.tokens import STATE

SOURCES = 1000
STEP = timedelta(minutes=15)
"""The base interval of the benchmark's plant."""
DAY = timedelta(days=1)


def fill(folder: Path, intervals: int, sources: int = SOURCES) -> int:
    """Make a plant folder with base figures of so many intervals for each source; returns the number of figures.

    Electricity has a figure in each basis, so two an interval and source.
    """
    plant, problems = load(write_plant(folder))
    assert plant, problems
    meters = pl.DataFrame({"meter": [f"works/m{n:03}:energy" for n in range(sources)]})
    configuration = pipeline.configure(plant, catalogue(), dict.fromkeys(meters["meter"], "kWh"))
    state = folder / STATE
    state.mkdir(mode=0o700)
    log, figures = Log(state / FILE), 0
    try:
        with log.transaction():
            log.append("meters", _met(meters, BEGIN + STEP * intervals))
            log.append("clocks", pl.DataFrame({"site": ["works"], "newest": [BEGIN + STEP * intervals + DAY]}))
        for first in range(0, intervals, DAY // STEP):
            made = _activity(sources, first, min(first + DAY // STEP, intervals))
            priced = price(made, empty(AMOUNTS), empty(READINGS), configuration.plan)
            figures += priced.height
            with log.transaction():
                log.append("figures", priced)
    finally:
        log.close()
    return figures


def _met(meters: pl.DataFrame, end: object) -> pl.DataFrame:
    """METERS of counters that spoke from the beginning to the end."""
    told = {"site": "works", "feed": "meters", "kind": "counter", "unit": "kWh", "named_unit": "kWh", "eventful": False}
    times = {"first_observed_at": BEGIN, "last_observed_at": end, "last_received_at": end, "last_value_n": N, "stretch_us": 0}
    return shaped(meters.with_columns(pl.lit(value).alias(name) for name, value in {**told, **times}.items()), METERS)


def _activity(sources: int, first: int, last: int) -> pl.DataFrame:
    """ACTIVITY of every source in the intervals from `first` on to before `last`: other digits in every row."""
    number = pl.int_range(first * sources, last * sources, dtype=pl.Int64)
    made = pl.select(
        source=pl.format("electricity-m{}", (number % sources).cast(pl.String).str.zfill(3)),
        interval_start=(pl.lit(BEGIN, dtype=TIME) + pl.duration(minutes=number // sources * (STEP // timedelta(minutes=1)))),
        quantity_n=number * 7_919_345_679 % (400 * N),
        covered_us=STEP // timedelta(microseconds=1),
        estimated_n=0,
        suspect=False,
        lag_us=0,
    )
    return shaped(made, ACTIVITY)
