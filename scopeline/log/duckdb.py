"""The data file: one writer, one transaction a batch, cursors for everybody else."""

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from scopeline.log.tables import FORMAT, TABLES, ddl, stored

MEMORY_LIMIT = "512MB"
CHECKPOINT = "32MB"  # of write-ahead log: what a start after a crash has to replay


class StateError(Exception):
    """The data file cannot be used: why, and what to do."""


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
            raise StateError(_why_not(self.path, error)) from None
        except duckdb.Error as error:
            raise StateError(f"{self.path} is no data file of Scopeline or is damaged ({_first(error)}). {_REMEDY}") from None
        try:
            self._create() if fresh else self._accept()
        except BaseException:
            self._root.close()
            raise
        self.write = self._root.cursor()

    def _create(self) -> None:
        self._root.execute("BEGIN")
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
        if missing := sorted(set(TABLES) - tables):
            raise StateError(f"{self.path} lacks the tables {', '.join(missing)}. {_REMEDY}")

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
        except BaseException:
            with suppress(duckdb.Error):  # a failed commit has rolled back already
                self.write.execute("ROLLBACK")
            raise

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """Add rows of the table's schema."""
        if not frame.is_empty():
            self._with(f"INSERT INTO {table} SELECT * FROM rows_in", rows_in=stored(frame, TABLES[table]))

    def _with(self, sql: str, **frames: pl.DataFrame) -> None:
        for name, frame in frames.items():
            self.write.register(name, frame.to_arrow())
        try:
            self.write.execute(sql)
        finally:
            for name in frames:
                self.write.unregister(name)

    def remove(self, table: str, column: str, values: Iterable[Any]) -> None:
        """Delete the rows whose column is one of the values."""
        chosen = pl.DataFrame({column: sorted(set(values))})
        if not chosen.is_empty():
            self.replace(table, chosen)

    def replace(self, table: str, keys: pl.DataFrame, rows: pl.DataFrame | None = None) -> None:
        """Delete the rows that have one of the keys (a frame of some of the table's columns), and add the given ones."""
        if keys.height:
            schema = {name: TABLES[table][name] for name in keys.columns}
            chosen = stored(keys.unique(), schema)
            same = []
            for name, dtype in schema.items():
                here, wanted, unknown = f'{table}."{name}"', f'chosen."{name}"', keys[name].null_count() > 0
                same.append(f"{here} IS NOT DISTINCT FROM {wanted}" if unknown else f"{here} = {wanted}")
                if not unknown and (dtype == pl.Int64 or isinstance(dtype, pl.Datetime)):  # zone maps: skip what lies outside
                    same.append(f'{here} BETWEEN (SELECT min("{name}") FROM chosen) AND (SELECT max("{name}") FROM chosen)')
            self._delete(table, f"DELETE FROM {table} USING chosen WHERE {' AND '.join(same)}", chosen=chosen)
        if rows is not None:
            self.append(table, rows)

    def clear_within(self, table: str, key: str, windows: pl.DataFrame, time: str) -> None:
        """Delete rows whose time lies in a window (key, start, end; half-open) of their key."""
        if windows.height:
            spans = windows.select(key, pl.col("start", "end").dt.replace_time_zone(None))
            self._delete(
                table,
                f"""DELETE FROM {table} t USING spans s
                WHERE t."{key}" = s."{key}" AND t."{time}" >= s.start AND t."{time}" < s.end
                AND t."{time}" >= (SELECT min(start) FROM spans) AND t."{time}" < (SELECT max("end") FROM spans)""",
                spans=spans,
            )

    def put(self, table: str, rows: pl.DataFrame) -> None:
        """Add rows of a table with a primary key, or replace those of the same key."""
        if rows.height:
            self._with(f"INSERT OR REPLACE INTO {table} SELECT * FROM rows_in", rows_in=stored(rows, TABLES[table]))

    def count(self, traffic: pl.DataFrame) -> None:
        """Add to the numbers of messages (TRAFFIC)."""
        if traffic.height:
            self._with(
                """INSERT INTO traffic SELECT * FROM rows_in ON CONFLICT (feed, minute, outcome) DO UPDATE SET
                messages = traffic.messages + excluded.messages,
                last_message = greatest(traffic.last_message, excluded.last_message),
                last_received_at = greatest(traffic.last_received_at, excluded.last_received_at)""",
                rows_in=stored(traffic, TABLES["traffic"]),
            )

    def clear(self, table: str) -> None:
        self._delete(table, f"DELETE FROM {table}")

    def _delete(self, table: str, sql: str, **frames: pl.DataFrame) -> None:
        """Every deletion goes through here."""
        self._with(sql, **frames)

    def set(self, key: str, value: Any) -> None:
        """Note a small fact (JSON)."""
        self.write.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", [key, json.dumps(value, sort_keys=True)])


_REMEDY = "Move it away (then a new one is made) or restore it from a backup."


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
