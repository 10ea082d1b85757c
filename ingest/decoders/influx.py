"""Reads InfluxDB line protocol: a point a line, a value a field."""

import re
from typing import Any

from ingest.decoders import json
from ingest.decoders.decoder import Decoder, Document, Field, Unreadable

_NAME = r"(?:\\.|[^\\,= \n])+"
_VALUE = r'(?:"(?:\\.|[^"\\])*"|[^", \n]+)'
_POINT = re.compile(
    rf"(?P<measurement>(?:\\.|[^\\, \n])+)(?P<tags>(?:,{_NAME}={_NAME})*) +"
    rf"(?P<fields>{_NAME}={_VALUE}(?:,{_NAME}={_VALUE})*)(?: +(?P<time>-?[0-9]+))?[ \r]*(?:\n|\Z)",
    re.DOTALL,
)
_BLANK = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)")
_TAG = re.compile(rf",({_NAME})=({_NAME})", re.DOTALL)
_FIELD = re.compile(rf"({_NAME})=({_VALUE}),?", re.DOTALL)
_ESCAPE = re.compile(r"\\([,= ])")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def parse(payload: bytes, feed: object = None) -> Document:
    """The points as `{measurement, tags, fields, time}`; blank lines and comments are passed over.

    >>> parse(b"cpu,host=a\\\\ b load=45i,ok=t 1653579140440951943")
    [{'measurement': '"cpu"', 'tags': {'host': '"a b"'}, 'fields': {'load': '45', 'ok': 'true'}, 'time': '1653579140440951943'}]
    """
    text = json.utf8(payload)
    points: list[Document] = []
    at = 0
    while at < len(text):
        blank = _BLANK.match(text, at)
        if blank:
            at = blank.end()
            continue
        found = _POINT.match(text, at)
        if found is None:
            raise Unreadable(f"line {text.count(chr(10), 0, at) + 1} is no line protocol: {text[at : at + 60]!r}")
        points.append(_point(found))
        at = found.end()
    return points


def _point(found: re.Match[str]) -> Document:
    tags = [(_plain(key), f'"{_plain(value)}"') for key, value in _TAG.findall(found["tags"])]
    values = [(_plain(key), _token(value)) for key, value in _FIELD.findall(found["fields"])]
    for pairs in (tags, values):
        if len(dict(pairs)) != len(pairs):
            raise Unreadable("a tag or field stands twice in one line")
    point: Document = {"measurement": f'"{_plain(found["measurement"])}"', "tags": dict(tags), "fields": dict(values)}
    if found["time"]:
        point["time"] = found["time"]
    return point


def _plain(name: str) -> str:
    return _ESCAPE.sub(r"\1", name)


def _token(value: str) -> str:
    if value[0] == '"':
        return '"' + re.sub(r'\\(["\\])', r"\1", value[1:-1]) + '"'
    if value in ("t", "T", "true", "True", "TRUE"):
        return "true"
    if value in ("f", "F", "false", "False", "FALSE"):
        return "false"
    if re.fullmatch(r"-?[0-9]+i|[0-9]+u", value):
        value = value[:-1]
    if _JSON_NUMBER.fullmatch(value):
        return value
    if _FLOAT.fullmatch(value):
        return f'"{value}"'
    raise Unreadable(f"{value[:60]!r} is no field value: a number, 1i, 1u, true, false or quoted text")


def fields(document: Document, place: Any) -> list[Field]:
    """One field a field of a point; `@.tags.host` and `@.measurement` tell points apart.

    >>> [(f.native, f.value, f.stamp) for f in fields(parse(b"m a=1,b=2i 1000"), None)]
    [('a', '1', '1000'), ('b', '2', '1000')]
    """
    return [
        Field(native=name, value=value, stamp=point.get("time"), stamp_format="epoch_ns", element=point)
        for point in document
        for name, value in point["fields"].items()
    ]


DECODER = Decoder(parse=parse, fields=fields)
