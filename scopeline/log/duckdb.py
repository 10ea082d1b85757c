"""The data file: one writer, one transaction a batch, cursors for everybody else."""

import json
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from scopeline.log.folding import Folding
from scopeline.log.tables import FOLDED, FORMAT, KEYS, TABLES, ddl, migration, physical, rows_schema, rows_table, stored
from scopeline.log.tail import Tail

log = logging.getLogger(__name__)

MEMORY_LIMIT = "512MB"
_TAILS = {"readings": "observed_at", "amounts": "interval_start"}
"""Tables whose newest rows stay in memory, and by what time."""
CHECKPOINT = "32MB"  # of write-ahead log: what a start after a crash has to replay


class StateError(Exception):
    """The data file cannot be used: why, and what to do."""


class DamagedState(StateError):
    """What the file says cannot be trusted."""


def damaged(error: Exception) -> bool:
    """Whether DuckDB says that a file is not what was written.

    >>> damaged(duckdb.IOException("Corrupt database file: computed checksum 1 does not match stored checksum 2"))
    True
    """
    text = str(error).lower()
    return any(word in text for word in ("corrupt", "checksum", "not a valid duckdb", "could not read enough"))


class Log:
    """The open data file. Writing: one thread, inside `transaction()`. Reading: `cursor()`, from any thread.

    A failed commit leaves the file as it was; `reopen()` gets going again where DuckDB gave up the whole database (full disk).
    """

    def __init__(self, path: Path, memory_limit: str = MEMORY_LIMIT) -> None:
        self.path, self._memory_limit = path, memory_limit
        self._guard = threading.Lock()
        self._open()

    def _open(self) -> None:
        fresh = not self.path.exists()
        try:
            self._root = duckdb.connect(str(self.path))
            self._root.execute(f"SET memory_limit='{self._memory_limit}'")
            self._root.execute(f"SET checkpoint_threshold='{CHECKPOINT}'")
            self._root.execute("SET temp_directory=?", [str(self.path.parent / "tmp")])
            self._root.execute("SET TimeZone='UTC'")
            self._root.execute("SET enable_progress_bar=false")
        except duckdb.IOException as error:
            raise (DamagedState if damaged(error) else StateError)(_why_not(self.path, error)) from None
        except duckdb.Error as error:
            raise DamagedState(f"{self.path} is no data file of Scopeline or is damaged ({_first(error)}). {_REMEDY}") from None
        try:
            self._create() if fresh else self._accept()
        except BaseException:
            self._root.close()
            raise
        self.write = self._root.cursor()
        self.tails = {table: Tail(TABLES[table], time) for table, time in _TAILS.items()}
        self._folding = {table: Folding(table, partial(self._said, table)) for table in FOLDED}

    def _said(self, table: str) -> pl.DataFrame:
        found = pl.from_arrow(self.write.sql(f"SELECT * FROM {table}_said ORDER BY said").to_arrow_table())
        assert isinstance(found, pl.DataFrame)
        return found

    def _create(self) -> None:
        self._root.execute("BEGIN")
        self._root.execute("CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR)")
        for statement in ddl():
            self._root.execute(statement)
        self._root.execute("INSERT INTO meta VALUES ('format', ?), ('position', '0')", [str(FORMAT)])
        self._root.execute("COMMIT")

    def _accept(self) -> None:
        tables = {row[0] for row in self._root.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if not tables:  # stopped between creating the file and its tables
            return self._create()
        if "meta" not in tables:
            raise StateError(f"{self.path} is a DuckDB file, but not one of Scopeline's. {_REMEDY}")
        row = self._root.execute("SELECT value FROM meta WHERE key='format'").fetchone()
        if row is None or int(row[0]) > FORMAT:
            found = row[0] if row else "unknown"
            raise StateError(
                f"{self.path} was written by a newer Scopeline (format {found}, this one reads {FORMAT}). Upgrade Scopeline."
            )
        wanted = set(TABLES) if int(row[0]) < FORMAT else set(physical())
        if missing := sorted(wanted - tables):
            raise StateError(f"{self.path} lacks the tables {', '.join(missing)}. {_REMEDY}")
        if int(row[0]) < FORMAT:
            self._migrate(int(row[0]))

    def _migrate(self, before: int) -> None:
        """All or nothing: a file that was cut off here is still of the format before."""
        log.warning("%s is of format %d and is made one of format %d; a large one takes minutes", self.path, before, FORMAT)
        self._root.execute("BEGIN")
        for statement in migration():
            self._root.execute(statement)
        self._root.execute("UPDATE meta SET value = ? WHERE key = 'format'", [str(FORMAT)])
        self._root.execute("COMMIT")
        self._root.execute("CHECKPOINT")

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
            for tail in self.tails.values():
                tail.forget()
            for folding in self._folding.values():
                folding.forget()
            with suppress(duckdb.Error):  # a failed commit has rolled back already
                self.write.execute("ROLLBACK")
            if isinstance(error, duckdb.Error) and damaged(error):
                raise DamagedState(_why_not(self.path, error)) from None
            raise

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
        if keys.height:
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

    def clear_within(self, table: str, key: str, windows: pl.DataFrame, time: str) -> None:
        """Delete rows whose time lies in a window (key, start, end; half-open) of their key."""
        if windows.height:
            spans = windows.select(key, pl.col("start", "end").dt.replace_time_zone(None))
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
        self._merge(table, rows, {name: f'r."{name}"' for name in TABLES[table] if name not in KEYS[table]})

    def count(self, traffic: pl.DataFrame) -> None:
        """Add to the numbers of messages (TRAFFIC)."""
        newest = {name: f"greatest(t.{name}, r.{name})" for name in ("last_message", "last_received_at")}
        self._merge("traffic", traffic, {"messages": "t.messages + r.messages", **newest})

    def _merge(self, table: str, rows: pl.DataFrame, changes: Mapping[str, str]) -> None:
        """Change the rows `t` of a table that have the key of a given row `r`, and add the rows of new keys."""
        if rows.is_empty():
            return
        same = " AND ".join(f't."{name}" = r."{name}"' for name in KEYS[table])
        assigned = ", ".join(f'"{name}" = {value}' for name, value in changes.items())
        frame = stored(rows, TABLES[table])
        if self._with(f"UPDATE {table} t SET {assigned} FROM rows_in r WHERE {same}", rows_in=frame) < rows.height:
            absent = f"NOT EXISTS (SELECT 1 FROM {table} t WHERE {same})"
            self._with(f"INSERT INTO {table} SELECT * FROM rows_in r WHERE {absent}", rows_in=frame)

    def clear(self, table: str) -> None:
        self._delete(table, f"DELETE FROM {rows_table(table)}")

    def _delete(self, table: str, sql: str, **frames: pl.DataFrame) -> None:
        """Every deletion goes through here."""
        if table in self.tails:
            self.tails[table].forget()
        self._with(sql, **frames)

    def set(self, key: str, value: Any) -> None:
        """Note a small fact (JSON)."""
        text = json.dumps(value, sort_keys=True)
        if self.write.execute("UPDATE meta SET value = ? WHERE key = ?", [text, key]).fetchall() == [(0,)]:
            self.write.execute("INSERT INTO meta VALUES (?, ?)", [key, text])


_REMEDY = "Move it away (then a new one is made) or restore it from a backup."


def _literal(value: Any) -> str:
    """A whole number or a time without zone, in SQL.

    >>> _literal(7), _literal(datetime(2026, 1, 1, 0, 0, 0, 5))
    ('7', "TIMESTAMP '2026-01-01 00:00:00.000005'")
    """
    return f"TIMESTAMP '{value.isoformat(sep=' ')}'" if isinstance(value, datetime) else str(int(value))


def _first(error: Exception) -> str:
    return str(error).splitlines()[0]


def _why_not(path: Path, error: Exception) -> str:
    text = str(error)
    if "lock" in text.lower():
        return (
            f"{path} is in use by another process: a Scopeline already runs on this plant folder. Stop it first, or talk to it."
        )
    if "not a valid DuckDB" in text or "version number" in text or "checksum" in text.lower() or "corrupt" in text.lower():
        return f"{path} is no data file of Scopeline or is damaged ({_first(error)}). {_REMEDY}"
    return f"{path} cannot be opened: {_first(error)}"
