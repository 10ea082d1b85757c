"""Frames as HTTP answers: one JSON, or rows streamed in constant memory."""

from collections.abc import Iterator
from typing import Any

import orjson
import polars as pl
from fastapi import Response
from fastapi.responses import StreamingResponse

from scopeline.query import rfc3339
from sinks.files import csv_text

MEDIA = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def _plain(value: Any) -> Any:
    """What JSON has no word for: times as RFC 3339 with Z, everything else as its text."""
    return rfc3339(value) if hasattr(value, "astimezone") else str(value)


def json_bytes(value: Any) -> bytes:
    """Compact JSON; times RFC 3339 with Z, never NaN.

    >>> json_bytes({"b": 1, "a": [None, 0.5]})
    b'{"b":1,"a":[null,0.5]}'
    """
    return orjson.dumps(value, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS)


def json_response(value: Any) -> Response:
    return Response(json_bytes(value), media_type=MEDIA["json"], headers={"cache-control": "no-store"})


def _json(frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    before = b"["
    for frame in frames:
        if frame.height:
            yield before + json_bytes(frame.to_dicts())[1:-1]
            before = b","
    yield b"[]" if before == b"[" else b"]"


def _ndjson(frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    for frame in frames:
        yield b"".join(json_bytes(row) + b"\n" for row in frame.iter_rows(named=True))


def _csv(frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    for number, frame in enumerate(frames):
        yield csv_text(frame, header=number == 0)


_FORMS = {"json": _json, "ndjson": _ndjson, "csv": _csv}


def rows(frames: Iterator[pl.DataFrame], form: str, name: str) -> Response:
    """Stream rows. The first chunk is made before the answer starts, so that an early failure still has its right status."""
    made = _FORMS[form](frames)
    first = next(made, b"")

    def body() -> Iterator[bytes]:
        yield first
        yield from made

    headers = {"cache-control": "no-store"}
    if form == "csv":
        headers["content-disposition"] = f'attachment; filename="{name}"'
    return StreamingResponse(body(), media_type=MEDIA[form], headers=headers)
