"""Tables of the data file, and how polars frames go into and come out of them.

Times are stored as UTC microseconds without zone (DuckDB TIMESTAMP), exact integers as DECIMAL(38,0), since Arrow has no
128-bit integer.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import polars as pl

from schemas.frames import AMOUNTS, EVENTS, FIGURES, MESSAGES, OUTCOMES, READINGS, REJECTS

FORMAT = 1
"""Raised when an older Scopeline could no longer read the file."""

Schema = Mapping[str, Any]

TRAFFIC: Schema = {
    "feed": pl.String,  # "" for messages that no feed matched
    "minute": pl.Datetime("us", "UTC"),  # of received_at
    "outcome": pl.String,
    "messages": pl.Int64,
    "last_message": pl.Int64,
    "last_received_at": pl.Datetime("us", "UTC"),
}
"""How many messages of a feed came in a minute, by outcome."""

METERS: Schema = {
    "meter": pl.String,
    "site": pl.String,
    "feed": pl.String,
    "kind": pl.String,
    "unit": pl.String,  # the stated unit of the newest reading
    "first_observed_at": pl.Datetime("us", "UTC"),  # or the start of its first period, where that is earlier
    "last_observed_at": pl.Datetime("us", "UTC"),
    "last_value_n": pl.Int128,
    "last_received_at": pl.Datetime("us", "UTC"),
    "stretch_us": pl.Int64,  # how far from its observed_at a period of the meter can lie
    "eventful": pl.Boolean,  # readings have event ids
    "named_unit": pl.String,  # the first by name of the units that readings state
}
"""Meters seen, and their newest reading."""

ARCHIVED: Schema = {
    "day": pl.Date,
    "file": pl.String,  # relative to the archive folder
    "messages": pl.Int64,
    "first_message": pl.Int64,
    "last_message": pl.Int64,
    "sha256": pl.String,
}
"""Whole days of messages that were moved to Parquet."""

CLOCKS: Schema = {"site": pl.String, "newest": pl.Datetime("us", "UTC")}
"""The newest received_at of a site's readings (after the collapse): provisional ends by it."""

PENDING: Schema = {"source": pl.String, "start": pl.Datetime("us", "UTC"), "end": pl.Datetime("us", "UTC")}
"""Windows of sources whose figures are still to be computed again, after an edit or a correction of much."""

TABLES: dict[str, Schema] = {
    "messages": MESSAGES,
    "outcomes": OUTCOMES,
    "readings": READINGS,
    "rejects": REJECTS,
    "events": EVENTS,
    "amounts": AMOUNTS,
    "figures": FIGURES,
    "traffic": TRAFFIC,
    "meters": METERS,
    "clocks": CLOCKS,
    "archived": ARCHIVED,
    "pending": PENDING,
}

KEYS = {"traffic": ("feed", "minute", "outcome"), "meters": ("meter",), "clocks": ("site",)}
"""Primary keys, of small tables only: an index over a large one would have to be held in memory."""

_SQL = {
    pl.String: "VARCHAR",
    pl.Binary: "BLOB",
    pl.Boolean: "BOOLEAN",
    pl.Int8: "TINYINT",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.Int128: "DECIMAL(38,0)",
    pl.Date: "DATE",
}


def ddl() -> list[str]:
    """Statements that make the tables."""
    made = ["CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR)"]
    for table, schema in TABLES.items():
        columns = [f'"{name}" {_sql(dtype)}' for name, dtype in schema.items()]
        columns += [f"PRIMARY KEY ({', '.join(KEYS[table])})"] if table in KEYS else []
        made.append(f"CREATE TABLE {table} ({', '.join(columns)})")
    return made


def _sql(dtype: Any) -> str:
    return "TIMESTAMP" if isinstance(dtype, pl.Datetime) else _SQL[dtype]


def stored(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """A frame as the file holds it: the schema's columns in order, Int128 as Decimal, times without zone, no categories."""
    return frame.select(_store(name, dtype) for name, dtype in schema.items())


@lru_cache(maxsize=1000)
def _store(name: str, dtype: Any) -> pl.Expr:
    column = pl.col(name).cast(dtype)
    if dtype == pl.Int128:
        return column.cast(pl.Decimal(38, 0))
    return column.dt.replace_time_zone(None) if isinstance(dtype, pl.Datetime) else column


def loaded(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """What came out of the file, in the types of the schema."""
    return frame.select(_load(name, dtype) for name, dtype in schema.items())


@lru_cache(maxsize=1000)
def _load(name: str, dtype: Any) -> pl.Expr:
    if isinstance(dtype, pl.Datetime):
        return pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return pl.col(name).cast(dtype)


def naive(at: datetime) -> datetime:
    """A UTC instant as a query parameter.

    >>> from datetime import timedelta, timezone
    >>> naive(datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))).isoformat()
    '2026-01-01T00:00:00'
    """
    return at.astimezone(UTC).replace(tzinfo=None)
