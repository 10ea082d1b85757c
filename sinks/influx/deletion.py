"""InfluxQL that deletes points of series at instants, in few statements, with every name and value safely quoted."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

import polars as pl

from sinks.influx.quoting import identifier, literal

SERIES = 50
"""Series of one statement."""
_EVER = 9_223_372_036_854_775
"""Microseconds of the longest time that InfluxDB knows."""
STATEMENTS = 20
"""Statements of one request."""


def statements(measurement: str, keys: pl.DataFrame, every: timedelta | None = None) -> Iterator[list[str]]:
    """What one request holds, each. keys: a column `time` and one a tag; null or empty: the series has no such tag.

    >>> from datetime import datetime
    >>> instants = [datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 1)]
    >>> keys = pl.DataFrame({"time": instants, "site": "a", "basis": None})
    >>> print(*next(statements("m", keys, timedelta(minutes=1))))
    DELETE FROM "m" WHERE time >= 1767225600000000000 AND time <= 1767225660000000000 AND ("site"='a' AND "basis"='')
    """
    tags = [name for name in keys.columns if name != "time"]
    found = iter(_one(measurement, row, tags) for row in _ranges(keys, tags, every))
    while some := list(islice(found, STATEMENTS)):
        yield some


def whole(measurement: str, series: pl.DataFrame) -> Iterator[list[str]]:
    """As `statements`, at whatever time.

    >>> print(*next(whole("m", pl.DataFrame({"site": "a"}))))
    DELETE FROM "m" WHERE time >= -9223372036854775000 AND time <= 9223372036854775000 AND ("site"='a')
    """
    rows = series.select(pl.col(tag).cast(pl.String).fill_null("") for tag in series.columns).unique(maintain_order=True)
    found = (_one(measurement, (-_EVER, _EVER, some.to_dicts()), series.columns) for some in rows.iter_slices(SERIES))
    while some := list(islice(found, STATEMENTS)):
        yield some


def _ranges(keys: pl.DataFrame, tags: list[str], every: timedelta | None) -> Iterator[tuple[int, int, list[dict[str, str]]]]:
    """(first, last, series): instants of a series that follow each other become one range, series with one range one row."""
    known = keys.select(pl.col(tag).cast(pl.String).fill_null("") for tag in tags)
    rows = known.with_columns(time=keys["time"].dt.timestamp("us")).unique().sort(*tags, "time")
    step = -1 if every is None else every // timedelta(microseconds=1)
    same = pl.all_horizontal([pl.col(tag) == pl.col(tag).shift() for tag in tags]) & (pl.col("time").diff() == step)
    runs = rows.with_columns(run=(~same.fill_null(False)).cum_sum()).group_by("run", *tags, maintain_order=True)
    spans = runs.agg(first=pl.col("time").min(), last=pl.col("time").max())
    grouped = spans.group_by("first", "last", maintain_order=True).agg(series=pl.struct(tags))
    for first, last, series in grouped.iter_rows():
        for start in range(0, len(series), SERIES):
            yield first, last, series[start : start + SERIES]


def _one(measurement: str, span: tuple[int, int, list[dict[str, str]]], tags: list[str]) -> str:
    first, last, series = span
    each = " OR ".join("(" + " AND ".join(f"{identifier(tag)}={literal(row[tag])}" for tag in tags) + ")" for row in series)
    where = f"time >= {first}000 AND time <= {last}000"
    return f"DELETE FROM {identifier(measurement)} WHERE {where} AND {each if len(series) == 1 else f'({each})'}"
