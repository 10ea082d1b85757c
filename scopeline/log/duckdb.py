"""The data file: one writer, one transaction a batch, cursors for everybody else."""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from schemas.frames import instant
from scopeline.log.folding import Folding
from scopeline.log.opening import DamagedState, damaged, opened, why_not
from scopeline.log.tables import FOLDED, KEYS, TABLES, Schema, loaded, rows_schema, rows_table, stored
from scopeline.log.tail import Tail

MEMORY_LIMIT = "512MB"
_TAILS = {"readings": "observed_at", "amounts": "interval_start", "traffic": "minute"}
"""Tables whose newest rows stay in memory, and by what time; of those with a primary key no more than that."""
_FEW = 3
"""Rows up to which a statement a row costs less than one for all: it needs no plan for a join."""


class Log:
    """The open data file. Writing: one thread, inside `transaction()`. Reading: `cursor()`, from any thread.

    A failed commit leaves the file as it was; `reopen()` gets going again where DuckDB gave up the whole database (full disk).
    """

    def __init__(self, path: Path, memory_limit: str = MEMORY_LIMIT) -> None:
        self.path, self._memory_limit = path, memory_limit
        self._guard = threading.Lock()
        self._open()

    def _open(self) -> None:
        self._root = opened(self.path, self._memory_limit)
        self.write = self._root.cursor()
        self.tails = {table: Tail(_remembered(table), time) for table, time in _TAILS.items()}
        self._facts: dict[str, str | None] = {}
        self._folding = {table: Folding(table, partial(self._said, table)) for table in FOLDED}

    def _said(self, table: str) -> pl.DataFrame:
        return self._found(f"SELECT * FROM {table}_said ORDER BY said")

    def _found(self, sql: str) -> pl.DataFrame:
        found = pl.from_arrow(self.write.sql(sql).to_arrow_table())
        assert isinstance(found, pl.DataFrame)
        return found

    def close(self) -> None:
        with self._guard:
            self.write.close()
            self._root.close()

    def reopen(self) -> None:
        """Close and open again, after an error that made DuckDB refuse further work."""
        with self._guard:
            for connection in (self.write, self._root):
                with suppress(duckdb.Error):
                    connection.close()
            self._open()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of one's own: sees what is committed, never waits for the writer. Close it."""
        with self._guard:
            return self._root.cursor()

    # writing -------------------------------------------------------------------------------------------------------------
    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; on an error everything is as before, also on a failed commit."""
        self.write.execute("BEGIN")
        try:
            yield
            self.write.execute("COMMIT")
        except BaseException as error:
            self._forget()
            with suppress(duckdb.Error):  # a failed commit has rolled back already
                self.write.execute("ROLLBACK")
            if isinstance(error, duckdb.Error) and damaged(error):
                raise DamagedState(why_not(self.path, error)) from None
            raise
        for tail in self.tails.values():
            tail.trim()

    def _forget(self) -> None:
        """What was written may not be there: nothing in memory can be relied upon."""
        self._facts.clear()
        for tail in self.tails.values():
            tail.forget()
        for folding in self._folding.values():
            folding.forget()

    def recent(self, table: str, start: datetime) -> pl.DataFrame | None:
        """The rows of a table from `start` on, in no order, where they are in memory; of a table with a primary key just that."""
        tail = self.tails[table]
        columns = ", ".join(f'"{name}"' for name in tail.schema)
        sql = f'SELECT {columns} FROM {table} ORDER BY "{tail.time}" DESC LIMIT'
        return tail.later(start, lambda most: loaded(self._found(f"{sql} {most}"), tail.schema))

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """Add rows of the table's schema."""
        if not frame.is_empty():
            if table in FOLDED:
                some, new = self._folding[table].folded(frame)
                if new.height:
                    self._with(f"INSERT INTO {table}_said SELECT * FROM rows_in", rows_in=new)
            else:
                some = stored(frame, TABLES[table])
            self._with(f"INSERT INTO {rows_table(table)} SELECT * FROM rows_in", rows_in=some)
            if table in self.tails:
                self.tails[table].add(frame)

    def _with(self, sql: str, rows_in: pl.DataFrame | None = None) -> int:
        """Run a statement, and say how many rows it changed.

        In it `rows_in` is a table: DuckDB takes the name for the local variable, which spares a view.
        """
        rows_in = None if rows_in is None else rows_in.to_arrow()
        return int(self.write.execute(sql).fetchall()[0][0])

    def remove(self, table: str, column: str, values: Iterable[Any]) -> None:
        """Delete the rows whose column is one of the values."""
        chosen = pl.DataFrame({column: sorted(set(values))})
        if not chosen.is_empty():
            self.replace(table, chosen)

    def replace(self, table: str, keys: pl.DataFrame, rows: pl.DataFrame | None = None) -> None:
        """Delete the rows that have one of the keys (a frame of some of the table's columns, none that is folded), and add the
        given ones."""
        if keys.height and not self._absent(table, keys):
            schema = {name: rows_schema(table)[name] for name in keys.columns}
            chosen = stored(keys.unique(), schema)
            same = []
            for name, dtype in schema.items():
                here, wanted, unknown = f't."{name}"', f'r."{name}"', keys[name].null_count() > 0
                same.append(f"{here} IS NOT DISTINCT FROM {wanted}" if unknown else f"{here} = {wanted}")
                if not unknown and (dtype == pl.Int64 or isinstance(dtype, pl.Datetime)):  # zone maps: skip what lies outside
                    same.append(f"{here} BETWEEN {_literal(chosen[name].min())} AND {_literal(chosen[name].max())}")
            tail = self.tails[table].without(keys) if table in self.tails else None
            self._delete(table, f"DELETE FROM {rows_table(table)} t USING rows_in r WHERE {' AND '.join(same)}", rows_in=chosen)
            if tail is not None:
                self.tails[table] = tail
        if rows is not None:
            self.append(table, rows)

    def _absent(self, table: str, keys: pl.DataFrame) -> bool:
        """Whether no row has one of the keys, as far as that is known without asking."""
        if table not in self.tails or self.tails[table].time not in keys.columns:
            return False
        times = keys[self.tails[table].time]
        recent = self.recent(table, times.min())  # type: ignore[arg-type]  # a time
        if recent is None:
            return False
        near = recent.filter(pl.col(times.name) <= instant(times.max()))  # type: ignore[arg-type]  # a time
        return near.join(keys, on=keys.columns, how="semi", nulls_equal=True).is_empty()

    def clear_within(self, table: str, key: str, windows: pl.DataFrame, time: str) -> None:
        """Delete rows whose time lies in a window (key, start, end; half-open) of their key."""
        if windows.height:
            spans = windows.select_seq(key, pl.col("start", "end").dt.replace_time_zone(None))
            first, last = _literal(spans["start"].min()), _literal(spans["end"].max())
            self._delete(
                table,
                f"""DELETE FROM {table} t USING rows_in s
                WHERE t."{key}" = s."{key}" AND t."{time}" >= s.start AND t."{time}" < s.end
                AND t."{time}" >= {first} AND t."{time}" < {last}""",
                rows_in=spans,
            )

    def put(self, table: str, rows: pl.DataFrame) -> None:
        """Add rows of a table with a primary key, or replace those of the same key."""
        self._merge(table, rows, {name: "{}" for name in TABLES[table] if name not in KEYS[table]})

    def count(self, traffic: pl.DataFrame) -> None:
        """Add to the numbers of messages (TRAFFIC)."""
        newest = {name: f"greatest(t.{name}, {{}})" for name in ("last_message", "last_received_at")}
        self._merge("traffic", traffic, {"messages": "t.messages + {}", **newest})

    def uncount(self) -> None:
        """Forget the traffic that turned out to be none."""
        self._delete("traffic", "DELETE FROM traffic WHERE messages <= 0")

    def _merge(self, table: str, rows: pl.DataFrame, changes: Mapping[str, str]) -> None:
        """Change the rows `t` of a table that have the key of a given one, and add those of new keys.

        changes: column -> SQL, in which {} stands for the given row's value.
        """
        if rows.is_empty():
            return
        known = self.recent(table, rows[self.tails[table].time].min()) if table in self.tails else None  # type: ignore[arg-type]  # a time
        if known is None:
            if self._change(table, rows, changes) < rows.height:
                absent = " AND ".join(f't."{name}" = r."{name}"' for name in KEYS[table])
                sql = f"INSERT INTO {table} SELECT * FROM rows_in r WHERE NOT EXISTS (SELECT 1 FROM {table} t WHERE {absent})"
                self._with(sql, rows_in=stored(rows, TABLES[table]))
                if table in self.tails:
                    self.tails[table].forget()
            return
        self._change(table, rows.join(known, on=KEYS[table], how="semi"), changes)
        self.append(table, rows.join(known, on=KEYS[table], how="anti"))

    def _change(self, table: str, rows: pl.DataFrame, changes: Mapping[str, str]) -> int:
        """Change the rows that have the key of a given one; how many."""
        frame = stored(rows, TABLES[table])
        if frame.height > _FEW:
            same = " AND ".join(f't."{name}" = r."{name}"' for name in KEYS[table])
            assigned = ", ".join(f'"{name}" = {value}'.format(f'r."{name}"') for name, value in changes.items())
            return self._with(f"UPDATE {table} t SET {assigned} FROM rows_in r WHERE {same}", rows_in=frame)
        same = " AND ".join(f't."{name}" = ${name}' for name in KEYS[table])
        assigned = ", ".join(f'"{name}" = {value.format(f"${name}")}' for name, value in changes.items())
        sql = f"UPDATE {table} t SET {assigned} WHERE {same}"
        return sum(self.write.execute(sql, row).fetchall()[0][0] for row in frame.iter_rows(named=True))

    def clear(self, table: str) -> None:
        self._delete(table, f"DELETE FROM {rows_table(table)}")

    def _delete(self, table: str, sql: str, **frames: pl.DataFrame) -> None:
        """Every deletion goes through here."""
        if table in self.tails:
            self.tails[table].forget()
        self._with(sql, **frames)

    def set(self, key: str, value: Any) -> None:
        """Note a small fact (JSON)."""
        text, was = json.dumps(value, sort_keys=True), self.noted(key)
        if was is None:
            self.write.execute("INSERT INTO meta VALUES (?, ?)", [key, text]).fetchall()
        elif was != text:
            self.write.execute("UPDATE meta SET value = ? WHERE key = ?", [text, key]).fetchall()
        self._facts[key] = text

    def noted(self, key: str) -> str | None:
        """A small fact as the writer's transaction shows it."""
        if key not in self._facts:
            found = self.write.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchall()
            self._facts[key] = found[0][0] if found else None
        return self._facts[key]


def _remembered(table: str) -> Schema:
    return {name: kind for name, kind in TABLES[table].items() if name in KEYS.get(table, TABLES[table])}


def _literal(value: Any) -> str:
    """A whole number or a time without zone, in SQL.

    >>> _literal(7), _literal(datetime(2026, 1, 1, 0, 0, 0, 5))
    ('7', "TIMESTAMP '2026-01-01 00:00:00.000005'")
    """
    return f"TIMESTAMP '{value.isoformat(sep=' ')}'" if isinstance(value, datetime) else str(int(value))
