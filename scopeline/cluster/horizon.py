"""What stands in the metadata of a committed offset, and from when on a worker without state reads the log again."""

import json
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from schemas.frames import TIME


def decoded_offsets(text: str | None) -> dict[str, Any]:
    """The metadata of a committed offset; {} where it is none of ours.

    >>> decoded_offsets('{"ref": 3}'), decoded_offsets("")
    ({'ref': 3}, {})
    """
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def horizon(newest: datetime, span: timedelta, step: timedelta = timedelta(hours=1)) -> datetime:
    """From when on a worker without state reads the log again, in whole steps, so that it moves seldom.

    >>> from datetime import UTC
    >>> horizon(datetime(2026, 3, 3, 10, 25, tzinfo=UTC), timedelta(hours=48)).isoformat()
    '2026-03-01T10:00:00+00:00'
    """
    us = round((newest - span).timestamp() * 1_000_000)
    size = step // timedelta(microseconds=1)
    return pl.Series([us - us % size], dtype=pl.Int64).cast(TIME).item()
