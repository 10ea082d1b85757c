"""Reads a bare value: `12.5`, `"12.5"`, or `{"value": 12.5}` (Victron)."""

import re

from ingest.decoders import json
from ingest.decoders.decoder import Decoder, Document, Unreadable

_SCALAR = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|NaN|Infinity")


def scalar(text: str) -> str:
    """Bare text as a token: what JSON would read, else a string.

    >>> scalar("12.50"), scalar("12,5"), scalar('"7"')
    ('12.50', '"12,5"', '"7"')
    """
    if _SCALAR.fullmatch(text):
        return text
    if len(text) > 1 and text[0] == '"' == text[-1]:
        try:
            return str(json.read(text))
        except Unreadable:
            pass
    return f'"{text}"'


def parse_any(payload: bytes, feed: object = None) -> Document:
    """JSON where it starts like an object or array, else a bare value.

    >>> parse_any(b" 12.5\\n"), parse_any(b'{"a": 1}'), parse_any(b"online")
    ('12.5', {'a': '1'}, '"online"')
    """
    text = json.utf8(payload)
    stripped = text.strip()
    return json.read(text) if stripped[:1] in ("{", "[") else scalar(stripped)


def parse(payload: bytes, feed: object = None) -> Document:
    """The value; of an object, its `value`.

    >>> parse(b"10.0"), parse(b'{"value": null}')
    ('10.0', 'null')
    """
    document = parse_any(payload)
    if isinstance(document, dict):
        if "value" not in document:
            raise Unreadable('is an object without "value": decode it with decoder: json')
        return document["value"]
    return document


DECODER = Decoder(parse=parse, by_shape=True)
