"""YAML 1.2 with the line of every key: what an operator wrote, and where.

Scalars follow the YAML 1.2 core schema: `NO` and `24:10` are text, dates stay text, `012` is the number 12. Keys that stand
twice, tags and several documents in one file are problems. Parsing is cached by content, so that a reload costs little.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

Keys = tuple[str | int, ...]


class Flaw(NamedTuple):
    """Something that is not right in the text itself."""

    line: int | None
    path: Keys
    message: str
    remedy: str


class Document(NamedTuple):
    """The content of a YAML file; `lines` and `written` by path: the line of each key or item, the text of each number."""

    data: Any
    lines: dict[Keys, int]
    written: dict[Keys, str]
    flaws: tuple[Flaw, ...]


_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DEEPEST = 40
_MOST = 200_000


class _TooLarge(Exception):
    """Nested without end, or blown up by aliases."""


@lru_cache(maxsize=4096)
def parse(text: str) -> Document:
    """A file's text as plain values.

    >>> document = parse("site: a\\nzone: NO\\nlist:\\n  - 1.5\\n")
    >>> document.data, document.lines[("list", 0)]
    ({'site': 'a', 'zone': 'NO', 'list': [1.5]}, 4)
    """
    try:
        roots = list(YAML(typ="safe", pure=True).compose_all(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return Document(None, {}, {}, (_unreadable(mark.line + 1 if mark else None, error.problem or error.context or ""),))
    except YAMLError as error:
        return Document(None, {}, {}, (_unreadable(None, str(error).splitlines()[0]),))
    flaws: list[Flaw] = []
    if len(roots) > 1:
        line = roots[1].start_mark.line + 1
        flaws.append(Flaw(line, (), "a second document starts here", "keep one document in a file: remove the line ---"))
    lines: dict[Keys, int] = {}
    written: dict[Keys, str] = {}
    try:
        data = _value(roots[0], (), lines, written, lambda *flaw: flaws.append(Flaw(*flaw))) if roots and roots[0] else None
    except _TooLarge as error:
        remedy = "use fewer aliases (*name); none may contain itself"
        return Document(None, {}, {}, (Flaw(error.args[0], (), "holds too many values or nests too deep", remedy),))
    return Document(data, lines, written, tuple(flaws))


def _unreadable(line: int | None, what: str) -> Flaw:
    return Flaw(line, (), f"is no readable YAML: {what}", "check indentation, brackets and quotes at and above this line")


def _value(node: Node, path: Keys, lines: dict[Keys, int], written: dict[Keys, str], flaw: Callable[..., None]) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if len(path) > _DEEPEST or len(lines) > _MOST:
        raise _TooLarge(line)
    if str(node.tag or "").startswith("!"):
        flaw(line, path, f"the tag {node.tag} is not supported", "remove it: values are plain text, numbers, lists and maps")
        return None
    if isinstance(node, ScalarNode):
        return _scalar(node, path, written)
    if not isinstance(node, MappingNode):
        return [_value(item, (*path, index), lines, written, flaw) for index, item in enumerate(node.value)]
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        at = key_node.start_mark.line + 1
        if not isinstance(key_node, ScalarNode):
            flaw(at, path, "a key is a list or a map", "quote the text if it starts with { or [")
            continue
        key = _scalar(key_node, (*path, "?"), {})
        if not isinstance(key, (str, int)) or isinstance(key, bool):
            key = str(key_node.value)
        here = (*path, key)
        if key in found:
            flaw(at, here, f"the key stands twice (first in line {lines[here]})", "keep one of the two")
            continue
        lines[here] = at
        found[key] = _value(value_node, here, lines, written, flaw)
    return found


def _scalar(node: ScalarNode, path: Keys, written: dict[Keys, str]) -> Any:
    text = str(node.value)
    if node.style is not None:
        return text
    if text in _WORDS:
        written[path] = text
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) < 100:
        written[path] = text
        return int(text, 0) if text.startswith("0") and not text.isdigit() else int(text)
    if _FLOAT.fullmatch(text):
        written[path] = text
        number = float(text)
        return number if Decimal(repr(number)) == Decimal(text) else Decimal(text)
    return text
