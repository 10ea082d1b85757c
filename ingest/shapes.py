"""The fast path: payloads of one shape are read by one anchored expression for the whole batch.

A shape is a JSON document without its scalars: keys, order, nesting, lengths. From a sample payload the expression of its shape
is built; it matches only payloads that are valid JSON of that shape with plain strings, and hands out each scalar as it is
written, so no digit is lost. What does not match goes the slow way (ingest/slots.py), which is the definition.
"""

import re
from collections.abc import Container, Iterable

import polars as pl

from ingest.decoders.decoder import Document, Leaf

MAX_LEAVES = 120
_SPACE = r"[ \t\r\n]*"
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_SCALAR = rf"{_NUMBER}|true|false|null"
_TOKEN = rf'"[^"\\\x00-\x1f]*"|{_SCALAR}'
_ESCAPED = rf'"(?:[^"\\\x00-\x1f]|\\["n])*"|{_SCALAR}'
_PLAIN_KEY = re.compile(r'[^"\\\x00-\x1f]*')


def placeholders(document: Document) -> tuple[Document, int]:
    """The document with a Leaf for each scalar, and how many there are.

    >>> placeholders({"a": "1", "b": ['"x"', "2"]})
    ({'a': 0, 'b': [1, 2]}, 3)
    """
    count = 0

    def walk(node: Document) -> Document:
        nonlocal count
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items()}
        if isinstance(node, list):
            return [walk(item) for item in node]
        count += 1
        return Leaf(count - 1)

    return walk(document), count


def expression(shape: Document, wanted: Iterable[int], escaped: Container[int] = ()) -> str | None:
    """The expression of a shape with a group for each wanted leaf, in order; None where a key needs escapes.

    An `escaped` leaf may hold \\" and \\n, which the reader has to resolve.

    >>> pattern = expression({"a": Leaf(0), "b": Leaf(1)}, [0])
    >>> pl.Series(['{"a": 1.50, "b": "x"}', '{"b": "x", "a": 1}']).str.extract(pattern).to_list()
    ['1.50', None]
    """
    groups = set(wanted)
    parts: list[str] = []

    def walk(node: Document) -> bool:
        if isinstance(node, Leaf):
            token = _ESCAPED if node in escaped else _TOKEN
            parts.append(f"({token})" if node in groups else f"(?:{token})")
            return True
        opening, closing = (r"\{", r"\}") if isinstance(node, dict) else (r"\[", r"\]")
        parts.append(opening + _SPACE)
        for place, item in enumerate(node.items() if isinstance(node, dict) else node):
            if place:
                parts.append("," + _SPACE)
            if isinstance(node, dict):
                key, item = item
                if not _PLAIN_KEY.fullmatch(key):
                    return False
                parts.append(f'"{re.escape(key)}"{_SPACE}:{_SPACE}')
            if not walk(item):
                return False
            parts.append(_SPACE)
        parts.append(closing)
        return True

    return rf"\A{_SPACE}{''.join(parts)}{_SPACE}\z" if walk(shape) else None


def read(payloads: pl.Series, shape: Document, wanted: list[int], escaped: Container[int] = ()) -> pl.DataFrame | None:
    """The wanted leaves of every payload as columns t0, t1 ...; all null where a payload has another shape. None: cannot be done.

    >>> read(pl.Series(['{"v": 1.0}', "[]"]), {"v": Leaf(0)}, [0])["t0"].to_list()
    ['1.0', None]
    """
    pattern = expression(shape, wanted, escaped)
    if pattern is None or not wanted:
        return None
    try:
        groups = payloads.str.extract_groups(pattern)
    except pl.exceptions.ComputeError:
        return None  # too large an expression
    frame = groups.struct.unnest()
    frame.columns = [f"t{leaf}" for leaf in sorted(wanted)]
    return frame
