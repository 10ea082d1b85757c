"""Figures as files: csv, parquet, xlsx, json, each with its proof beside it (FILE.meta.json). All or nothing."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import orjson
import polars as pl

from sinks.csv import DIALECTS, csv_text
from sinks.json import json_records
from sinks.parquet import write_parquet
from sinks.xlsx import write_xlsx

__all__ = ["DIALECTS", "FORMATS", "Written", "csv_text", "meta_path", "write"]

FORMATS = ("csv", "parquet", "xlsx", "json")
Meta = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


class Written(NamedTuple):
    path: Path
    meta: Path
    sha256: str
    rows: int


def write(
    frames: Iterable[pl.DataFrame],
    path: Path,
    format: str,
    dialect: str = "plain",
    meta: Meta | None = None,
    zones: Mapping[str, str] | None = None,
) -> Written:
    """Write frames of one shape to a file, streaming, and its meta file beside it.

    The file appears whole or not at all: it is written beside its place, flushed and renamed. meta: what stands in the meta file
    beside sha256, format and rows; a function is called after the last frame. zones: site -> time zone, for xlsx. The same
    frames give the same bytes. ValueError for an unknown format or dialect.
    """
    if format not in FORMATS:
        raise ValueError(f"format {format!r} is not known: use one of {', '.join(FORMATS)}")
    if dialect not in DIALECTS:
        raise ValueError(f"csv dialect {dialect!r} is not known: use one of {', '.join(DIALECTS)}")
    path = Path(path)
    with _whole(path) as place:
        if format == "parquet":
            rows = write_parquet(frames, place)
        elif format == "xlsx":
            rows = write_xlsx(frames, place, zones)
        else:
            rows = _text(frames, place, format, dialect)
        digest = _sha256(place)
        facts = dict(meta() if callable(meta) else meta or {})
        told = {"file": path.name, "sha256": digest, "format": format, "rows": rows, **facts}
        if format == "csv":
            told["csv_dialect"] = dialect
        beside = orjson.dumps(told, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE)
    with _whole(meta_path(path)) as place:
        place.write_bytes(beside)
    return Written(path, meta_path(path), digest, rows)


def meta_path(path: Path) -> Path:
    """Where the meta file of a file is.

    >>> meta_path(Path("march.csv")).name
    'march.csv.meta.json'
    """
    return path.with_name(f"{path.name}.meta.json")


def _text(frames: Iterable[pl.DataFrame], place: Path, format: str, dialect: str) -> int:
    rows = 0

    def counted() -> Iterator[pl.DataFrame]:
        nonlocal rows
        for frame in frames:
            rows += frame.height
            yield frame

    with place.open("wb") as file:
        if format == "json":
            file.writelines(json_records(counted()))
        else:
            file.writelines(csv_text(frame, number == 0, dialect) for number, frame in enumerate(counted()))
    return rows


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to; renamed onto it when all went well, removed otherwise."""
    place = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        yield place
        with place.open("rb+") as file:
            os.fsync(file.fileno())
        place.replace(path)
    finally:
        place.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
