"""A data file that notes which figures change, and since which offset: what the store must be told, until it has confirmed it.

The notes stand in the file beside the figures, written by the same transaction: a worker that dies between its own commit and the
store's confirmation finds them again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from schemas.frames import FIGURE_KEY, FIGURES, TIME, empty
from scopeline import windows
from scopeline.log import Log
from scopeline.log.duckdb import MEMORY_LIMIT
from scopeline.log.tables import loaded, stored

CHANGED: dict[str, Any] = {**{name: FIGURES[name] for name in FIGURE_KEY}, "lost": pl.Boolean}
"""A figure that changed; lost: it vanished, or a number of it did."""

CHANGES: dict[str, Any] = {"place": pl.Int64, **CHANGED}
"""place: the offset that was to be read next when the figure changed."""

TOUCHED: dict[str, Any] = {"source": pl.String, "start": TIME, "end": TIME}

_SAID = [name for name in FIGURES if name not in FIGURE_KEY]


class NotingLog(Log):
    """`noting` off: figures change without a note (what the store has already). Notes are made inside `transaction()`."""

    def __init__(self, path: Path, memory_limit: str = MEMORY_LIMIT) -> None:
        self.noting, self.place = True, 0
        self._gone: list[pl.DataFrame] = []
        self._come: list[pl.DataFrame] = []
        super().__init__(path, memory_limit)

    def _open(self) -> None:
        super()._open()
        columns = ", ".join(f'"{name}" {kind}' for name, kind in _COLUMNS.items())
        self._root.execute(f"CREATE TABLE IF NOT EXISTS changes ({columns})")
        self._root.execute('CREATE TABLE IF NOT EXISTS touched (place BIGINT, source VARCHAR, start TIMESTAMP, "end" TIMESTAMP)')

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._gone, self._come = [], []
        with super().transaction():
            yield
            self._note()

    def append(self, table: str, frame: pl.DataFrame) -> None:
        super().append(table, frame)
        if table == "figures" and self.noting:
            self._come.append(frame.select(pl.col(name).cast(kind) for name, kind in FIGURES.items()))

    def _delete(self, table: str, sql: str, **frames: pl.DataFrame) -> None:
        if table != "figures" or not self.noting:
            return super()._delete(table, sql, **frames)
        found = self.asked(f"{sql} RETURNING *", **frames)
        if found.height:
            gone = loaded(found, FIGURES)
            self._gone.append(gone)
            self._come = [some.join(gone, on=FIGURE_KEY, how="anti", nulls_equal=True) for some in self._come]

    def _note(self) -> None:
        """Compare what the transaction took away with what it put there."""
        if not self._gone and not self._come:
            return
        was = pl.concat([empty(FIGURES), *self._gone]).unique(FIGURE_KEY, keep="first", maintain_order=True)
        now = pl.concat([empty(FIGURES), *self._come]).unique(FIGURE_KEY, keep="last", maintain_order=True)
        fresh = now.join(was, on=FIGURE_KEY, how="anti", nulls_equal=True)  # nothing of them can be lost
        notes = [
            fresh.select(*FIGURE_KEY, lost=pl.lit(False)),
            _lost(was, now.join(was, on=FIGURE_KEY, how="semi", nulls_equal=True)),
        ]
        placed = pl.concat(notes).with_columns(place=pl.lit(self.place, dtype=pl.Int64))
        if placed.height:
            self._with("INSERT INTO changes SELECT * FROM rows_in", rows_in=stored(placed, CHANGES))

    def touch(self, wanted: pl.DataFrame) -> None:
        """Windows (source, start, end) are computed again: whatever was told of them may have been told otherwise before."""
        if self.noting:
            rows = wanted.select(pl.lit(self.place, dtype=pl.Int64).alias("place"), *TOUCHED)
            self._with("INSERT INTO touched SELECT * FROM rows_in", rows_in=stored(rows, {"place": pl.Int64, **TOUCHED}))

    def asked(self, sql: str, parameters: Sequence[Any] = (), /, **frames: pl.DataFrame) -> pl.DataFrame:
        """A question of the one who writes; `frames` are tables in it."""
        for name, frame in frames.items():
            self.write.register(name, frame.to_arrow())
        try:
            found = pl.from_arrow(self.write.sql(sql, params=list(parameters)).to_arrow_table())
        finally:
            for name in frames:
                self.write.unregister(name)
        assert isinstance(found, pl.DataFrame)
        return found

    # what the store must be told -----------------------------------------------------------------------------------------
    def changes(self, since: int) -> pl.DataFrame:
        """CHANGED of figures that changed at or after a place, each once; lost if it ever lost a number."""
        columns = ", ".join(f'"{name}"' for name in FIGURE_KEY)
        sql = f"SELECT {columns}, bool_or(lost) AS lost FROM changes WHERE place >= ? GROUP BY {columns}"
        return loaded(self.asked(sql, [since]), CHANGED)

    def retagged(self, sources: list[str]) -> None:
        """All figures of these sources belong to other series from now on."""
        if sources:
            columns = ", ".join(f'"{name}"' for name in FIGURE_KEY)
            sql = f"INSERT INTO changes SELECT ?, {columns}, true FROM figures WHERE source IN (SELECT unnest(?))"
            self.write.execute(sql, [self.place, sources])

    def touched(self, since: int) -> pl.DataFrame:
        """Windows (source, start, end) that were computed again at or after a place, merged."""
        found = self.asked('SELECT DISTINCT source, start, "end" FROM touched WHERE place >= ?', [since])
        return windows.merged(loaded(found, TOUCHED), by="source")

    def told(self, before: int) -> None:
        """The store has what changed before this place."""
        for table in ("changes", "touched"):
            self.write.execute(f"DELETE FROM {table} WHERE place < ?", [before])


def _lost(was: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """Keys of FIGURES that went or are other than they were, and whether they lost a number (`lost`)."""
    keys = windows.different(was, now, list(FIGURE_KEY))
    before = was.select(*FIGURE_KEY, *(pl.col(name).is_not_null().alias(f"was_{name}") for name in _SAID))
    after = now.select(
        *FIGURE_KEY, *(pl.col(name).is_not_null().alias(f"now_{name}") for name in _SAID), nil=pl.col("activity_n") == 0
    )
    both = keys.join(before, on=FIGURE_KEY, how="left", nulls_equal=True).join(after, on=FIGURE_KEY, how="left", nulls_equal=True)
    lost = pl.any_horizontal(pl.col(f"was_{name}") & ~pl.col(f"now_{name}").fill_null(False) for name in _SAID)
    shares = pl.col("was_activity_n") & pl.col("nil")  # shares of nothing are not defined
    lost = (lost.fill_null(False) | shares.fill_null(False)).alias("lost")
    return both.select(*FIGURE_KEY, lost)


_COLUMNS = {
    "place": "BIGINT",
    "interval_start": "TIMESTAMP",
    "site": "VARCHAR",
    "source": "VARCHAR",
    "component": "VARCHAR",
    "scope": "TINYINT",
    "category": "VARCHAR",
    "basis": "VARCHAR",
    "lost": "BOOLEAN",
}
