"""Names every scalar of a document by its path, and says what a name means, for formats that describe themselves."""

import re
from collections.abc import Iterator

from ingest.decoders.decoder import MAX_NAME, Document, Unreadable

Meaning = tuple[str | None, str]
"""Unit and kind that a format fixes for a value."""
Meanings = tuple[tuple[re.Pattern[str], str | None, str], ...]
"""Names by pattern, with unit and kind; the first that matches counts."""


def meaning(name: str, of: Meanings) -> Meaning:
    """Unit and kind of a name; a name that the format does not fix is a level without unit.

    >>> of = ((re.compile("power(_l[0-9])?"), "W", "rate"),)
    >>> meaning("power_l1", of), meaning("state", of)
    (('W', 'rate'), (None, 'level'))
    """
    return next(((unit, kind) for pattern, unit, kind in of if pattern.fullmatch(name)), (None, "level"))


def flatten(node: Document, name: str = "") -> Iterator[tuple[str, Document]]:
    """Pairs of native name and token, in document order; Unreadable where a name grows too long (each holds all keys above it).

    >>> list(flatten({"a": {"b": "1"}, "c": ["2", "3"]}))
    [('a.b', '1'), ('c[0]', '2'), ('c[1]', '3')]
    """
    if len(name) > MAX_NAME:
        raise Unreadable(f"names a value by more than {MAX_NAME} characters: {name[:60]}...", "too_large")
    if isinstance(node, dict):
        for key, value in node.items():
            yield from flatten(value, f"{name}.{key}" if name else key)
    elif isinstance(node, list):
        for place, item in enumerate(node):
            yield from flatten(item, f"{name}[{place}]")
    else:
        yield name, node
