"""What in a payload could be a channel, and what its time stamp is: for proposals."""

import re
from typing import Any, NamedTuple

from ingest.decoders.decoder import text

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TIMES = {"time", "timestamp", "ts", "t", "datetime", "date_time", "observed_at", "measured_at", "_time", "utc"}
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST = 40
"""Channels of one feed that are proposed."""


class Value(NamedTuple):
    """A number in a payload: its path, the last key, what it was."""

    path: str
    name: str
    sample: str


def values(document: Any, root: str) -> list[Value]:
    """The numbers of a document (ingest.decoders.decoder.Document), without its time stamp.

    >>> values({"a": {"kWh": "1.5"}, "ts": "1767225600", "ok": "true"}, "$")
    [Value(path='$.a.kWh', name='kWh', sample='1.5')]
    """
    found: list[Value] = []
    _walk(document, root, "", 0, found)
    return found[:_MOST]


def _walk(node: Any, path: str, name: str, depth: int, found: list[Value]) -> None:
    if depth > 8 or len(found) >= _MOST:
        return
    if isinstance(node, dict):
        for key, inner in node.items():
            if _PLAIN_KEY.fullmatch(key):
                _walk(inner, f"{path}.{key}", key, depth + 1, found)
            elif "'" not in key and '"' not in key and "\\" not in key:
                _walk(inner, f"{path}['{key}']", key, depth + 1, found)
    elif isinstance(node, list):
        for place, inner in enumerate(node[:8]):
            _walk(inner, f"{path}[{place}]", name, depth + 1, found)
    elif isinstance(node, str) and name.lower() not in _TIMES:
        said = text(node)
        if said is not None and _NUMBER.fullmatch(said):
            found.append(Value(path, name or "value", said[:20]))


def stamp(document: Any, root: str) -> str | None:
    """The observed_at of a document, as YAML; None: it has none, and the arrival counts.

    >>> stamp({"ts": "1767225600000"}, "$")
    '{path: "$.ts", format: epoch_ms}'
    """
    if not isinstance(document, dict):
        return None
    for key, node in document.items():
        said = text(node) if isinstance(node, str) and key.lower() in _TIMES else None
        if said is None:
            continue
        if _ISO.fullmatch(said):
            return f'{{path: "{root}.{key}", format: iso8601}}'
        if re.fullmatch(r"[0-9]{10}(\.[0-9]+)?", said):
            return f'{{path: "{root}.{key}", format: epoch_s}}'
        for digits, name in ((13, "epoch_ms"), (16, "epoch_us"), (19, "epoch_ns")):
            if re.fullmatch(rf"[0-9]{{{digits}}}", said):
                return f'{{path: "{root}.{key}", format: {name}}}'
    return None
