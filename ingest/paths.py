"""Paths into a document: `$.ENERGY.Total`, `$.list[0]["odd.key"]`, `@.net`, and `$[*]` for `each`.

`$` is the whole document, `@` the element that `each` is at. `[*]` and `.*` (in `each` only) take every item of an array
or every value of an object.
"""

import re
from typing import NamedTuple

from ingest.decoders.decoder import Document

_STEP = re.compile(
    r"""\.(?P<star>\*)|\.(?P<name>[^.\[\]*"']+)|\[(?P<index>-?\d+)\]|\[(?P<all>\*)\]|\["(?P<dq>[^"]*)"\]|\['(?P<sq>[^']*)'\]"""
)


class Path(NamedTuple):
    """A parsed path: `root` is `$` or `@`; a step is a key, an index, or None for every item."""

    text: str
    root: str
    steps: tuple[str | int | None, ...]

    @property
    def native(self) -> str:
        """The path as a value's name.

        >>> parse("$.ENERGY.Total").native, parse("@[0].v").native, parse("$").native
        ('ENERGY.Total', '[0].v', 'value')
        """
        return self.text[1:].removeprefix(".") or "value"


def parse(text: str, *, each: bool = False) -> Path:
    """Read a path; a ValueError says what is wrong and what to write.

    >>> parse('$.a["b.c"][0]').steps
    ('a', 'b.c', 0)
    >>> parse("ENERGY.Total")
    Traceback (most recent call last):
    ValueError: 'ENERGY.Total' is no path: start it with $ (the payload) or @ (the element of each), like $.ENERGY.Total
    """
    if text[:1] not in ("$", "@"):
        raise ValueError(f"{text!r} is no path: start it with $ (the payload) or @ (the element of each), like $.{text}")
    steps: list[str | int | None] = []
    at = 1
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise ValueError(f'{text!r} cannot be read from {text[at:]!r} on: write .name, ["name"] or [0]')
        at = found.end()
        if found["star"] or found["all"]:
            if not each:
                raise ValueError(f"{text!r}: a star takes many values: write it in `each:` and paths into its elements with @")
            steps.append(None)
        elif found["index"] is not None:
            steps.append(int(found["index"]))
        else:
            steps.append(next(found[group] for group in ("name", "dq", "sq") if found[group] is not None))
    return Path(text, text[0], tuple(steps))


def column(name: str) -> Path:
    """A csv column by its name: a path into the row.

    >>> column("Zählerstand (kWh)").steps
    ('Zählerstand (kWh)',)
    """
    return Path(f"@.{name}", "@", (name,))


def _step(node: Document, step: str | int | None) -> Document:
    if isinstance(step, str):
        return node.get(step) if isinstance(node, dict) else None
    if isinstance(step, int) and isinstance(node, list) and -len(node) <= step < len(node):
        return node[step]
    return None


def resolve(path: Path, document: Document, element: Document) -> Document:
    """What stands at a path: a token, an object, an array, or None where there is nothing.

    >>> resolve(parse("@.v"), {"list": []}, {"v": "1.50"})
    '1.50'
    """
    node = document if path.root == "$" else element
    for step in path.steps:
        node = _step(node, step)
        if node is None:
            return None
    return node


def elements(path: Path, document: Document) -> list[Document]:
    """The elements of `each`, in the order in which they stand in the payload.

    >>> elements(parse("$[*].v[*]", each=True), [{"v": ["1", "2"]}, {}, {"v": ["3"]}])
    ['1', '2', '3']
    """
    nodes = [document]
    for step in path.steps:
        if step is None:
            nodes = [item for node in nodes for item in _items(node)]
        else:
            nodes = [found for node in nodes if (found := _step(node, step)) is not None]
    return nodes


def _items(node: Document) -> list[Document]:
    return list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
