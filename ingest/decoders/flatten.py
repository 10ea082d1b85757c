"""Names every scalar of a document by its path, for formats that describe themselves."""

from collections.abc import Iterator

from ingest.decoders.decoder import MAX_NAME, Document, Unreadable


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
