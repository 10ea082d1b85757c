"""The newest rows of a table in memory, as the writer's transaction shows them: it need not read again what it just wrote.

What a large batch says is asked right away, with its neighbours: so the oldest rows are let go after it, not before.

Complete after an instant: whoever asks about a time before that reads the table itself. Whatever could make it differ from the
table (a rollback, a deletion whose rows are not known) empties it, and the next question fills it again.
"""

from collections.abc import Callable
from datetime import datetime

import polars as pl

from schemas.frames import instant, shaped
from scopeline.log.tables import Schema

KEPT = 60_000
"""Rows that are kept at least; after a transaction twice as many at most, amid one so many and what was added last."""
_CHUNKS = 24


class Tail:
    """Rows of one table (some of its columns: schema) after `_since` (by its column `time`)."""

    def __init__(self, schema: Schema, time: str, kept: int = KEPT) -> None:
        self.time, self.schema = time, schema
        self._kept = kept
        self._rows: pl.DataFrame | None = None
        self._since: datetime | None = None  # None, with rows: since ever

    def forget(self) -> None:
        self._rows = None

    def later(self, start: datetime, newest: Callable[[int], pl.DataFrame]) -> pl.DataFrame | None:
        """Rows at or after an instant, in no order; None where that reaches further back than what is kept.

        newest: gives so many of the table's newest rows.
        """
        if self._rows is None:
            found = newest(self._kept)
            self._rows, self._since = found, None
            if found.height >= self._kept:  # of the oldest instant there may be more
                self._since = found[self.time].min()  # type: ignore[assignment]  # a time
                self._rows = found.filter(pl.col(self.time) > self._since)
        if self._since is not None and start <= self._since:
            return None
        return self._rows.filter(pl.col(self.time) >= instant(start))

    def add(self, rows: pl.DataFrame) -> None:
        """Rows that the table got."""
        if self._rows is None:
            return
        more = shaped(rows, self.schema)
        if self._since is not None:
            more = more.filter(pl.col(self.time) > self._since)
        self._rows = pl.concat([self._rows, more], rechunk=self._rows.n_chunks() >= _CHUNKS)
        self.trim(rows.height)

    def trim(self, besides: int = 0) -> None:
        """Let the oldest go, where there are too many."""
        if self._rows is not None and self._rows.height > 2 * self._kept + besides:
            self._since = self._rows[self.time].top_k(self._kept).min()  # type: ignore[assignment]  # a time
            self._rows = self._rows.filter(pl.col(self.time) > self._since).rechunk()

    def without(self, keys: pl.DataFrame) -> "Tail":
        """The same, without the rows that have one of the keys."""
        kept = Tail(self.schema, self.time, self._kept)
        if self._rows is not None:
            near = self._near(self._rows, keys)
            others = self._rows.filter(near).join(keys, on=keys.columns, how="anti", nulls_equal=True)
            kept._rows, kept._since = pl.concat([self._rows.filter(~near), others]), self._since
        return kept

    def _near(self, rows: pl.DataFrame, keys: pl.DataFrame) -> pl.Series:
        """Which rows are late enough to have one of the keys."""
        if self.time not in keys.columns:
            return pl.repeat(True, rows.height, dtype=pl.Boolean, eager=True)
        return rows[self.time] >= keys[self.time].min()
