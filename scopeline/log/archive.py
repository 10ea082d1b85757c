"""Retention: whole days of messages move from the log to Parquet files, which stay part of the log for everybody who reads it.

Readings, figures and all the rest stay in the data file. A day's messages leave it only in the transaction that registers the
file, and only after the file was read back and found equal.
"""

import hashlib
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from schemas.frames import MESSAGES
from scopeline.log.duckdb import Log
from scopeline.log.tables import ARCHIVED, naive

FOLDER = "archive"
_COLUMNS = ", ".join(f'"{name}"' for name in MESSAGES)


class ArchiveError(Exception):
    """A day could not be moved; it stays in the log."""


def due(log: Log, now: datetime, days: int) -> list[date]:
    """Days (UTC, by received_at) that lie wholly more than `days` back and are still in the log."""
    limit = now.astimezone(UTC).date() - timedelta(days=days)
    sql = "SELECT DISTINCT CAST(received_at AS DATE) AS day FROM messages WHERE received_at < ? ORDER BY day"
    return [row[0] for row in log.write.execute(sql, [datetime(limit.year, limit.month, limit.day)]).fetchall()]


def move(log: Log, day: date) -> Path:
    """Move one day; runs on the writer's thread, opens its own transaction."""
    folder = log.path.parent / FOLDER / "all"
    folder.mkdir(parents=True, exist_ok=True)
    start = naive(datetime(day.year, day.month, day.day, tzinfo=UTC))
    inside = f"received_at >= TIMESTAMP '{start}' AND received_at < TIMESTAMP '{start + timedelta(days=1)}'"
    first, last, count = _one(log, f"SELECT min(message), max(message), count(*) FROM messages WHERE {inside}")
    file = folder / f"{day.isoformat()}.parquet"
    if file.exists() and _one(log, "SELECT count(*) FROM archived WHERE file = ?", [f"all/{file.name}"])[0]:
        file = folder / f"{day.isoformat()}-{first}.parquet"  # messages of an archived day, after the clock was put back
    part = file.with_suffix(".part")
    rows = f"SELECT {_COLUMNS} FROM messages WHERE {inside} ORDER BY message"
    log.write.execute(f"COPY ({rows}) TO '{_quoted(part)}' (FORMAT parquet, COMPRESSION zstd)")
    content = f"count(*), bit_xor(hash({_COLUMNS}))"
    written, kept = (
        _one(log, f"SELECT {content} FROM {place}") for place in (f"read_parquet('{_quoted(part)}')", f"messages WHERE {inside}")
    )
    if written != kept:
        part.unlink(missing_ok=True)
        raise ArchiveError(f"{part} does not hold what was written: the disk may be failing. {day} stays in the log")
    with part.open("rb") as written_file:
        digest = hashlib.file_digest(written_file, "sha256").hexdigest()
        os.fsync(written_file.fileno())
    os.replace(part, file)
    row = {
        "day": day,
        "file": f"all/{file.name}",
        "messages": count,
        "first_message": first,
        "last_message": last,
        "sha256": digest,
    }
    with log.transaction():
        log.append("archived", pl.DataFrame([row], schema=dict(ARCHIVED)))
        log.write.execute(f"DELETE FROM messages WHERE {inside}")
    return file


def _one(log: Log, sql: str, parameters: list[str] | None = None) -> tuple[int, ...]:
    row = log.write.execute(sql, parameters or []).fetchone()
    assert row is not None
    return tuple(row)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
