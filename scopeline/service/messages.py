"""Meters, readings and the log, in chunks that fit into memory; the log's lines as a message file."""

import base64
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import orjson
import polars as pl

from ingest import topics
from processors import collapse
from processors.output import numbers
from schemas import units
from scopeline.query import NotThere, QueryError, candidates, rfc3339
from scopeline.service.host import Host

SPAN = timedelta(days=31)
"""Readings are asked for in spans, so that a year of seconds fits into memory."""


def base_unit(unit: str | None) -> str | None:
    """The unit of exact quantities whose stated unit is this; one that is not in the table stays as it is.

    >>> base_unit("MWh"), base_unit("L/min"), base_unit(None)
    ('kWh', 'm3/h', None)
    """
    try:
        return units.unit(unit).base if unit else None
    except units.UnitProblem:
        return unit


def in_units(frame: pl.DataFrame, exact: str, shown: str) -> pl.DataFrame:
    """Exact integers as numbers of base units, and the stated unit replaced by the base unit."""
    names = {unit: base_unit(unit) for unit in frame["unit"].unique().to_list()}
    return frame.with_columns(
        numbers(frame[exact]).alias(shown), unit=pl.col("unit").replace_strict(names, return_dtype=pl.String)
    )


METER = (*("meter", "site", "feed", "kind", "unit"), *("first_observed_at", "last_observed_at", "last_value", "last_received_at"))


def meters(host: Host) -> pl.DataFrame:
    return in_units(host.store.meters(), "last_value_n", "last_value").select(METER)


def meter(host: Host, meter: str) -> dict[str, Any]:
    """One meter's row of `meters`; NotThere when it has no readings."""
    found = meters(host).filter(pl.col("meter") == meter)
    if found.is_empty():
        raise NotThere(f"There are no readings of {meter!r}", candidates(meter, host.store.meters()["meter"], "Meters"))
    row: dict[str, Any] = found.row(0, named=True)
    return row


def readings(host: Host, name: str, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
    """Readings of a meter in order, one a key, at most a month in a frame."""
    row = meter(host, name)
    begin = max(start, row["first_observed_at"])
    last = min(end, row["last_observed_at"] + timedelta(microseconds=1))
    span = last - begin if row["kind"] == "amount" else SPAN  # events may be corrected to another time
    with host.store.snapshot() as store:
        while begin < last:
            stop = min(begin + span, last)
            found = collapse.collapse(store.readings(name, begin, stop), store.payloads)
            yield in_units(found.sort("observed_at", "event"), "value_n", "value").select(READING)
            begin = stop


_TIMES = ("period_start", "period_end", "received_at")
READING = ("meter", "observed_at", "value", "unit", "kind", "quality", "event", *_TIMES, "message")


def messages(host: Host, start: datetime | None, end: datetime | None, topic: str | None) -> Iterator[pl.DataFrame]:
    try:
        topics.parse(topic or "#")
    except ValueError as error:
        raise QueryError(f"topic={topic!r}: {error}", "A filter may hold + and #, like acme/+/main or acme/#.") from None
    found: Iterator[pl.DataFrame] = host.store.messages(start, end, topic)
    return found


def payload_text(payload: bytes) -> dict[str, str]:
    """A payload as JSON can carry it: text where it is UTF-8, else base64.

    >>> payload_text(b"1.5"), payload_text(b"\\xff")
    ({'payload': '1.5'}, {'payload_base64': '/w=='})
    """
    try:
        return {"payload": payload.decode("utf-8")}
    except UnicodeDecodeError:
        return {"payload_base64": base64.b64encode(payload).decode()}


def message_line(message: dict[str, Any]) -> bytes:
    """One message as a line of a message file; what `scopeline compute` reads.

    >>> from datetime import UTC
    >>> message_line({"topic": "a/b", "payload": b"1.5", "received_at": datetime(2026, 1, 1, tzinfo=UTC)})
    b'{"topic":"a/b","payload":"1.5","received_at":"2026-01-01T00:00:00Z"}\\n'
    """
    line: dict[str, Any] = {"topic": message["topic"], **payload_text(message["payload"])}
    line["received_at"] = rfc3339(message["received_at"])
    if message.get("retained"):
        line["retained"] = True
    if message.get("broker"):
        line["broker"] = message["broker"]
    return orjson.dumps(line) + b"\n"


def message_lines(frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    """The log as pieces of a message file."""
    for frame in frames:
        yield b"".join(message_line(row) for row in frame.iter_rows(named=True))
