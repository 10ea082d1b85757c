"""Opening a data file: what is refused and why, and how a file of an earlier format becomes one of this."""

import logging
from pathlib import Path

import duckdb

from scopeline.log.tables import FORMAT, TABLES, ddl, migration, physical

log = logging.getLogger(__name__)

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


def opened(path: Path, memory_limit: str) -> duckdb.DuckDBPyConnection:
    """A data file with its tables; a new one where there is none.

    StateError where it is in use, of somebody else or of a newer Scopeline; DamagedState where it is no database (any more).
    """
    fresh = not path.exists()
    try:
        root = duckdb.connect(str(path))
        root.execute(f"SET memory_limit='{memory_limit}'")
        root.execute(f"SET checkpoint_threshold='{CHECKPOINT}'")
        root.execute("SET temp_directory=?", [str(path.parent / "tmp")])
        root.execute("SET TimeZone='UTC'")
        root.execute("SET enable_progress_bar=false")
    except duckdb.IOException as error:
        raise (DamagedState if damaged(error) else StateError)(why_not(path, error)) from None
    except duckdb.Error as error:
        raise DamagedState(f"{path} is no data file of Scopeline or is damaged ({first_line(error)}). {_REMEDY}") from None
    try:
        _create(root) if fresh else _accept(root, path)
        root.execute("SET threads=1")  # a batch is too small to share: more cost a tenth of its time, and exports gain nothing
    except BaseException:
        root.close()
        raise
    return root


def _create(root: duckdb.DuckDBPyConnection) -> None:
    root.execute("BEGIN")
    root.execute("CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR)")
    for statement in ddl():
        root.execute(statement)
    root.execute("INSERT INTO meta VALUES ('format', ?), ('position', '0')", [str(FORMAT)])
    root.execute("COMMIT")


def _accept(root: duckdb.DuckDBPyConnection, path: Path) -> None:
    tables = {row[0] for row in root.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if not tables:  # stopped between creating the file and its tables
        return _create(root)
    if "meta" not in tables:
        raise StateError(f"{path} is a DuckDB file, but not one of Scopeline's. {_REMEDY}")
    row = root.execute("SELECT value FROM meta WHERE key='format'").fetchone()
    if row is None or int(row[0]) > FORMAT:
        found = row[0] if row else "unknown"
        raise StateError(f"{path} was written by a newer Scopeline (format {found}, this one reads {FORMAT}). Upgrade Scopeline.")
    older = int(row[0]) < FORMAT
    if missing := sorted(set(TABLES if older else physical()) - tables):
        raise StateError(f"{path} lacks the tables {', '.join(missing)}. {_REMEDY}")
    if older:
        log.warning("%s is made a file of format %d, which takes a while where it is large", path, FORMAT)
        _migrate(root)


def _migrate(root: duckdb.DuckDBPyConnection) -> None:
    """All or nothing: a file that is cut off on the way is still of the format before."""
    root.execute("BEGIN")
    for statement in migration():
        root.execute(statement)
    root.execute("UPDATE meta SET value = ? WHERE key = 'format'", [str(FORMAT)])
    root.execute("COMMIT")
    root.execute("CHECKPOINT")


_REMEDY = "Move it away (then a new one is made) or restore it from a backup."


def first_line(error: Exception) -> str:
    """What DuckDB says, without the advice that follows it."""
    return str(error).partition("\n")[0]


def why_not(path: Path, error: Exception) -> str:
    text = str(error)
    if "lock" in text.lower():
        return (
            f"{path} is in use by another process: a Scopeline already runs on this plant folder. Stop it first, or talk to it."
        )
    if "not a valid DuckDB" in text or "version number" in text or "checksum" in text.lower() or "corrupt" in text.lower():
        return f"{path} is no data file of Scopeline or is damaged ({first_line(error)}). {_REMEDY}"
    return f"{path} cannot be opened: {first_line(error)}"
