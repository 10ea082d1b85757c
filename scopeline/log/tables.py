"""Tables of the data file, and how polars frames go into and come out of them.

Times are stored as UTC microseconds without zone (DuckDB TIMESTAMP), exact integers as DECIMAL(38,0), since Arrow has no
128-bit integer.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import polars as pl

from schemas.frames import AMOUNTS, EVENTS, FIGURES, MESSAGES, OUTCOMES, READINGS, REJECTS

FORMAT = 2
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

FOLDED = {
    "readings": ("meter", "site", "feed", "channel", "device", "kind", "unit", "quality"),
    "outcomes": ("feed", "outcome", "reason"),
}
"""Large tables whose rows repeat a few combinations of texts: `<table>_said` holds each once, numbered; `<table>_rows` the number
and the other columns; `<table>` is a view of both."""

_SAID = "said"
"""The column with the number."""

_SQL = {
    pl.String: "VARCHAR",
    pl.Binary: "BLOB USING COMPRESSION zstd",  # smaller than what DuckDB would choose, and made in less time
    pl.Boolean: "BOOLEAN",
    pl.Int8: "TINYINT",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.Int128: "DECIMAL(38,0)",
    pl.Date: "DATE",
}


def said_schema(table: str) -> Schema:
    """Columns of `<table>_said`."""
    return {_SAID: pl.Int32, **{name: TABLES[table][name] for name in FOLDED[table]}}


def rows_schema(table: str) -> Schema:
    """Columns of what holds the table's rows."""
    texts = FOLDED.get(table, ())
    return {**({_SAID: pl.Int32} if texts else {}), **{name: kind for name, kind in TABLES[table].items() if name not in texts}}


def rows_table(table: str) -> str:
    """Where the table's rows stand."""
    return f"{table}_rows" if table in FOLDED else table


def physical() -> dict[str, Schema]:
    """Tables of the file, by name, without `meta`."""
    return {rows_table(table): rows_schema(table) for table in TABLES} | {f"{table}_said": said_schema(table) for table in FOLDED}


def ddl(tables: Iterable[str] = TABLES) -> list[str]:
    """Statements that make tables, and the views of those that are folded."""
    made: list[str] = []
    for table in tables:
        keys = [f"PRIMARY KEY ({', '.join(KEYS[table])})"] if table in KEYS else []
        made.append(_create(rows_table(table), rows_schema(table), keys))
        if table in FOLDED:
            made.append(_create(f"{table}_said", said_schema(table)))
            columns = ", ".join(f'{"s" if name in FOLDED[table] else "r"}."{name}"' for name in TABLES[table])
            made.append(f"CREATE VIEW {table} AS SELECT {columns} FROM {table}_rows r JOIN {table}_said s USING ({_SAID})")
    return made


def _create(name: str, schema: Schema, keys: Sequence[str] = ()) -> str:
    columns = [f'"{column}" {_sql(dtype)}' for column, dtype in schema.items()]
    return f"CREATE TABLE {name} ({', '.join([*columns, *keys])})"


def migration() -> list[str]:
    """Statements that make a file of format 1 one of format 2: its large tables are folded."""
    made = []
    for table, texts in FOLDED.items():
        names = ", ".join(f'"{name}"' for name in texts)
        others = ", ".join(f'w."{name}"' for name in rows_schema(table) if name != _SAID)
        same = " AND ".join(f'w."{name}" IS NOT DISTINCT FROM s."{name}"' for name in texts)
        made += [
            f"ALTER TABLE {table} RENAME TO {table}_was",
            *ddl([table]),
            f"INSERT INTO {table}_said SELECT row_number() OVER () - 1, * FROM (SELECT DISTINCT {names} FROM {table}_was)",
            f"INSERT INTO {table}_rows SELECT s.{_SAID}, {others} FROM {table}_was w JOIN {table}_said s ON {same}",
            f"DROP TABLE {table}_was",
        ]
    return made


def _sql(dtype: Any) -> str:
    return "TIMESTAMP" if isinstance(dtype, pl.Datetime) else _SQL[dtype]


def stored(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """A frame as the file holds it: the schema's columns in order, Int128 as Decimal, times without zone, no categories."""
    return frame.select_seq(_store(name, dtype) for name, dtype in schema.items())


@lru_cache(maxsize=1000)
def _store(name: str, dtype: Any) -> pl.Expr:
    column = pl.col(name).cast(dtype)
    if dtype == pl.Int128:
        return column.cast(pl.Decimal(38, 0))
    return column.dt.replace_time_zone(None) if isinstance(dtype, pl.Datetime) else column


def loaded(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """What came out of the file, in the types of the schema."""
    return frame.select_seq(_load(name, dtype) for name, dtype in schema.items())


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
