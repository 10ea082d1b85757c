"""What a Service stands on: a store, the configuration in force, and the two actions."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from schemas.problem import Problem
from scopeline.log import Store
from scopeline.log.tables import naive
from scopeline.pipeline import Configuration


class Host(Protocol):
    """A plant with its data, running or opened by a command."""

    @property
    def plant_dir(self) -> Path: ...

    @property
    def store(self) -> Store:
        """Log, readings and figures; its methods may be called from any thread."""

    @property
    def configuration(self) -> Configuration: ...

    @property
    def problems(self) -> Sequence[Problem]: ...

    @property
    def running(self) -> bool:
        """Whether messages come in now."""

    def now(self) -> datetime: ...

    def publish(self, topic: str, payload: bytes, received_at: datetime | None = None) -> int:
        """Returns the message's place in the log after the commit."""

    def replay(self, start: datetime, end: datetime) -> dict[str, Any]:
        """{messages, readings, figures, sources}."""

    def redrive(self, message: int | None = None, feed: str | None = None) -> dict[str, int]:
        """{tried, read, still}."""


def ask(host: Host, sql: str, parameters: dict[str, Any]) -> pl.DataFrame:
    """One SQL question with named parameters on a cursor of its own; times come back as UTC."""
    cursor = host.store.cursor()
    try:
        given = {name: naive(value) if isinstance(value, datetime) else value for name, value in parameters.items()}
        found = pl.from_arrow(cursor.sql(sql, params=given).to_arrow_table())
    finally:
        cursor.close()
    assert isinstance(found, pl.DataFrame)
    times = [name for name, dtype in found.schema.items() if isinstance(dtype, pl.Datetime)]
    return found.with_columns(pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone("UTC") for name in times)
