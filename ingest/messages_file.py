"""Message files: one JSON object a line with topic, payload (text) or payload_base64, received_at; perhaps retained, broker."""

import base64
import binascii
from typing import NamedTuple

import polars as pl

from ingest import shapes, timestamps
from ingest.decoders import json
from ingest.decoders.decoder import Document, Leaf, Unreadable
from ingest.values import texts, utf8
from schemas.frames import MESSAGES, REJECTS, TIME, shaped

_KEYS = ("topic", "payload", "payload_base64", "received_at", "retained", "broker")
_LINES = {
    "line": pl.Int64,
    "topic": pl.String,
    "payload": pl.Binary,
    "stamp": pl.String,
    "retained": pl.Boolean,
    "broker": pl.String,
}
_ARRIVALS_US = (0, 7_258_118_400_000_000)
"""Messages arrive in the years 1970 to 2199; other stamps are mistakes, and calendars end."""
_FEW = 64
_MOST_SHAPES = 8


class Parsed(NamedTuple):
    """MESSAGES (message is the line's number) and REJECTS (lines that are no message)."""

    messages: pl.DataFrame
    rejects: pl.DataFrame


def parse_messages(data: bytes, first: int = 1) -> Parsed:
    """Whole lines of a message file; `first` is the number of the first. Blank lines are passed over.

    >>> found = parse_messages(b'{"topic": "a/b", "payload": "1", "received_at": "2026-01-01T00:00:00Z"}\\n{"topic": "a/b"}\\n')
    >>> found.messages["topic"].to_list(), found.rejects["detail"].to_list()
    (['a/b'], ['line 2: received_at is missing: write it like 2026-01-01T00:00:00Z'])
    """
    lines = _split(data).with_row_index("line", offset=first).with_columns(pl.col("line").cast(pl.Int64))
    frames: list[pl.DataFrame] = []
    left = lines.filter(pl.col("text").is_not_null())
    bad = lines.filter(pl.col("text").is_null() & pl.col("bytes").is_not_null()) if "bytes" in lines.columns else lines.clear()
    rest: list[pl.DataFrame] = []
    for _ in range(_MOST_SHAPES):
        if left.height < _FEW:
            break
        read = _by_shape(left)
        if read is None:
            rest.append(left.head(1))
            left = left.slice(1)
        else:
            found, hit = read
            frames.append(found)
            left = left.filter(~hit)
    slow, faults = _one_by_one(pl.concat([*rest, left]).select("line", "text"))
    faults += [(line, "is no UTF-8: write the file as UTF-8") for line in bad["line"]]
    found = pl.concat([*frames, slow]) if frames else slow
    at = timestamps.parse(found["stamp"], "iso8601").utc
    if not at.is_between(*_ARRIVALS_US).all(ignore_nulls=False):
        at = at.zip_with(at.is_between(*_ARRIVALS_US).fill_null(False), pl.Series([None], dtype=pl.Int64))
    found = found.with_columns(at.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(TIME).alias("received_at"))
    if at.null_count():
        timeless = found.filter(pl.col("received_at").is_null()).select("line", "stamp").rows()
        faults += [(line, f"received_at is {stamp[:60]!r}: write it like 2026-01-01T00:00:00Z") for line, stamp in timeless]
        found = found.filter(pl.col("received_at").is_not_null())
    messages = shaped(found.rename({"line": "message"}), MESSAGES)
    if not messages["message"].is_sorted():
        messages = messages.sort("message")
    return Parsed(messages, _rejects(faults))


def _split(data: bytes) -> pl.DataFrame:
    """Lines as `text`; where the file is no UTF-8, also as `bytes`, and text is null for the lines that are not."""
    if not data:
        return pl.DataFrame(schema={"text": pl.String})
    try:
        return pl.read_lines(data, name="text")
    except pl.exceptions.ComputeError:
        lines = pl.Series("bytes", data.split(b"\n"), dtype=pl.Binary)
        return pl.DataFrame([lines, utf8(lines).alias("text")])


def _by_shape(left: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series] | None:
    """The lines of the first line's shape, and which those are; None where its shape serves no batch."""
    try:
        document = json.read(left["text"][0])
    except Unreadable:
        return None
    shape, _ = shapes.placeholders(document)
    leaves = {key: node for key in _KEYS if (node := shape.get(key)) is not None} if isinstance(shape, dict) else {}
    if not all(isinstance(node, Leaf) for node in leaves.values()) or not {"topic", "received_at"} <= set(leaves):
        return None
    if ("payload" in leaves) == ("payload_base64" in leaves):
        return None
    groups = shapes.read(left["text"], shape, sorted(leaves.values()), [leaves["payload"]] if "payload" in leaves else [])
    if groups is None:
        return None
    token = {key: groups[f"t{leaf}"] for key, leaf in leaves.items()}
    hit = token["topic"].str.starts_with('"') & token["received_at"].str.starts_with('"')
    hit &= (token["topic"] != '""') & (token["received_at"] != '""')
    payload = token["payload"] if "payload" in token else token["payload_base64"]
    hit &= payload.str.starts_with('"')
    if "payload" in token:
        content = _unescaped(texts(payload)).cast(pl.Binary)
    else:
        content = texts(payload).str.decode("base64", strict=False)
        hit &= content.is_not_null()
    if "retained" in token:
        hit &= token["retained"].is_in(["true", "false"])
    if "broker" in token:
        hit &= token["broker"].str.starts_with('"') | (token["broker"] == "null")
    hit = hit.fill_null(False)
    if not hit.any():
        return None
    length = left.height
    frame = pl.DataFrame(
        {
            "line": left["line"],
            "topic": texts(token["topic"]),
            "payload": content,
            "stamp": texts(token["received_at"]),
            "retained": token["retained"] == "true" if "retained" in token else pl.Series([False]).new_from_index(0, length),
            "broker": texts(token["broker"])
            if "broker" in token
            else pl.Series([None], dtype=pl.String).new_from_index(0, length),
        },
        schema=_LINES,
    )
    return (frame if hit.all() else frame.filter(hit)), hit


def _unescaped(text: pl.Series) -> pl.Series:
    """Resolve \\" and \\n, the only escapes of the fast path."""
    text = text.str.replace_all('\\"', '"', literal=True)
    return text.str.replace_all("\\n", "\n", literal=True) if text.str.contains("\\", literal=True).any() else text


def _one_by_one(lines: pl.DataFrame) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
    """The definition: one line, one JSON object."""
    rows, faults = [], []
    for line, text in lines.sort("line").rows():
        if text.strip(" \t\r"):
            try:
                rows.append((line, *_line(json.read(text))))
            except Unreadable as error:
                faults.append((line, str(error)))
    return pl.DataFrame(rows, schema=_LINES, orient="row"), faults


def _line(found: Document) -> tuple[str, bytes, str, bool, str | None]:
    if not isinstance(found, dict):
        raise Unreadable("is no JSON object: write {topic, payload, received_at}")
    topic, stamp = _string(found, "topic"), _string(found, "received_at")
    if not topic:
        raise Unreadable("topic is missing")
    if not stamp:
        raise Unreadable("received_at is missing: write it like 2026-01-01T00:00:00Z")
    text, encoded = _string(found, "payload"), _string(found, "payload_base64")
    if text is not None and encoded is not None:
        raise Unreadable("has both payload and payload_base64: leave one")
    if text is not None:
        payload = text.encode()
    elif encoded is not None:
        try:
            payload = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise Unreadable("payload_base64 is no base64") from None
    else:
        raise Unreadable("payload is missing: write payload or payload_base64")
    retained = found.get("retained", "false")
    if retained not in ("true", "false"):
        raise Unreadable("retained is true or false")
    return topic, payload, stamp, retained == "true", _string(found, "broker")


def _string(found: dict[str, Document], key: str) -> str | None:
    value = found.get(key, "null")
    if value == "null":
        return None
    if not isinstance(value, str) or value[:1] != '"':
        raise Unreadable(f"{key} is no string: quote it" + (" (JSON inside a string)" if key == "payload" else ""))
    return value[1:-1]


def _rejects(faults: list[tuple[int, str]]) -> pl.DataFrame:
    rows = [(line, "malformed", f"line {line}: {detail}") for line, detail in sorted(faults)]
    schema = {"message": pl.Int64, "reason": pl.String, "detail": pl.String}
    return shaped(pl.DataFrame(rows, schema=schema, orient="row"), REJECTS)
