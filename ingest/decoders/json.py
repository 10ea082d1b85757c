"""Reads JSON (RFC 8259) strictly and without losing a digit."""

import json
import re

from ingest.decoders.decoder import MAX_DEPTH, Decoder, Document, Unreadable

_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""Strings whole, also one that never ends, without going back: the time is linear in the text."""


class _Number(str):
    __slots__ = ()


def utf8(payload: bytes) -> str:
    """The payload as text; Unreadable where it is no clean UTF-8.

    >>> utf8(b"\\xef\\xbb\\xbf{}")
    Traceback (most recent call last):
    ingest.decoders.decoder.Unreadable: starts with a byte order mark: publish UTF-8 without one
    """
    if payload.startswith(b"\xef\xbb\xbf"):
        raise Unreadable("starts with a byte order mark: publish UTF-8 without one")
    try:
        found = payload.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"is no UTF-8 at byte {error.start}: publish UTF-8, or the payload was cut") from None
    if "\0" in found:
        raise Unreadable(f"holds NUL at character {found.index(chr(0))}")
    return found


def read(text: str) -> Document:
    """JSON text as a document of tokens; Unreadable says where it is broken.

    >>> read('{"a": [12.50, "x", true, null, 9007199254740993]}')
    {'a': ['12.50', '"x"', 'true', 'null', '9007199254740993']}
    >>> read('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ingest.decoders.decoder.Unreadable: key "a" stands twice in one object
    """
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(text)
    try:
        found = _DECODER.decode(text)
        if "\\u" in text:
            _check_escapes(found)
    except json.JSONDecodeError as error:
        raise Unreadable(f"is no JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise Unreadable(f"is nested deeper than {MAX_DEPTH} levels", "too_large") from None
    return _tokens(found)


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Unreadable(f'key "{twice[:80]}" stands twice in one object')
    return found


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs,
    parse_float=_Number,
    parse_int=_Number,
    parse_constant=lambda name: _Number(name.removeprefix("-")),
)


def _tokens(node: object) -> Document:
    if type(node) is str:
        return f'"{node}"'
    if isinstance(node, dict):
        return {key: _tokens(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_tokens(item) for item in node]
    if isinstance(node, _Number):
        return str(node)
    return "null" if node is None else "true" if node else "false"


def _check_depth(text: str) -> None:
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket[0], 0)
        if depth > MAX_DEPTH:
            raise Unreadable(f"is nested deeper than {MAX_DEPTH} levels", "too_large")


def _check_escapes(node: object) -> None:
    if isinstance(node, str):
        if "\0" in node or any("\ud800" <= c <= "\udfff" for c in node):
            raise Unreadable("a string holds NUL or half of a surrogate pair")
    elif isinstance(node, dict):
        for key, value in node.items():
            _check_escapes(key)
            _check_escapes(value)
    elif isinstance(node, list):
        for item in node:
            _check_escapes(item)


def parse(payload: bytes, feed: object = None) -> Document:
    """The payload as a document.

    >>> parse(b'{"v": 1e-7}')
    {'v': '1e-7'}
    """
    return read(utf8(payload))


DECODER = Decoder(parse=parse, by_shape=True)
