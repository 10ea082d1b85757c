"""Topic filters: which topics a feed reads, and what it takes from them.

A filter is an MQTT topic filter in which `{name}` stands for one level and keeps it: `acme/{site}/press/{device}/SENSOR`.
As in MQTT (version 5, section 4.7) a wildcard or capture at the first level does not match topics that start with `$`.
"""

import re
from functools import lru_cache
from typing import NamedTuple

MAX_BYTES = 65_535
_CAPTURE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class Filter(NamedTuple):
    """A parsed filter: its text, its levels, the names it captures and the expression that matches topics."""

    text: str
    levels: tuple[str, ...]
    captures: tuple[str, ...]
    regex: re.Pattern[str]

    def match(self, topic: str) -> dict[str, str] | None:
        """What the filter captures from a topic; None where it does not match.

        >>> parse("acme/{site}/press/{device}/#").match("acme/duisburg/press/p7/SENSOR")
        {'site': 'duisburg', 'device': 'p7'}
        >>> parse("+/up").match("$SYS/up") is None
        True
        """
        found = self.regex.match(topic)
        return None if found is None else found.groupdict()

    @property
    def open(self) -> bool:
        """True where a wildcard leaves a level open, so that topics of one device differ."""
        return "+" in self.levels or "#" in self.levels


@lru_cache(maxsize=4096)
def parse(text: str) -> Filter:
    """Read a filter; a ValueError says what is wrong and what to write.

    >>> parse("a/#/b")
    Traceback (most recent call last):
    ValueError: '#' must be the last level: write 'a/#'
    """
    if not text:
        raise ValueError("the topic is empty: write one like acme/{device}/SENSOR")
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("NUL and lone surrogates cannot stand in a topic: take them out")
    if len(text.encode()) > MAX_BYTES:
        raise ValueError(f"the topic is longer than {MAX_BYTES} bytes: shorten it")
    levels = tuple(text.split("/"))
    if levels[0] == "$share":
        raise ValueError("'$share' is set by the bridge: write the topic without '$share/<group>/'")
    names: list[str] = []
    parts: list[str] = []
    for place, level in enumerate(levels):
        capture = _CAPTURE.fullmatch(level)
        first = r"(?!\$)" if place == 0 else ""
        if level == "#":
            if place != len(levels) - 1:
                raise ValueError(f"'#' must be the last level: write '{'/'.join(levels[: place + 1])}'")
            parts.append(first + ".*" if place == 0 else "(?:/.*)?")
        elif level == "+":
            parts.append(first + "[^/]*")
        elif capture:
            if capture[1] in names:
                raise ValueError(f"'{level}' stands twice: give the levels different names")
            names.append(capture[1])
            parts.append(f"{first}(?P<{capture[1]}>[^/]*)")
        elif any(c in level for c in "+#{}"):
            raise ValueError(f"level '{level}' mixes text with '+', '#' or braces: a wildcard or {{name}} takes a whole level")
        else:
            parts.append(re.escape(level))
    pattern = parts[0] + "".join(part if part == "(?:/.*)?" else "/" + part for part in parts[1:])
    return Filter(text, levels, tuple(names), re.compile(rf"\A{pattern}\Z", re.DOTALL))


def captures(text: str) -> tuple[str, ...]:
    """The names a filter captures.

    >>> captures("acme/{site}/+/{device}")
    ('site', 'device')
    """
    return parse(text).captures


def subscription(text: str) -> str:
    """The plain MQTT filter to subscribe to: captures become `+`.

    >>> subscription("acme/{site}/press/{device}/#")
    'acme/+/press/+/#'
    """
    return "/".join("+" if _CAPTURE.fullmatch(level) else level for level in parse(text).levels)


def overlaps(one: str, other: str) -> bool:
    """True where some topic matches both filters.

    >>> overlaps("a/{x}/c", "a/b/#"), overlaps("a/+", "a/+/c"), overlaps("+/x", "$SYS/x")
    (True, False, False)
    """
    a, b = subscription(one).split("/"), subscription(other).split("/")
    if (a[0] in ("+", "#") and b[0].startswith("$")) or (b[0] in ("+", "#") and a[0].startswith("$")):
        return False
    for place in range(max(len(a), len(b)) + 1):
        x = a[place] if place < len(a) else None
        y = b[place] if place < len(b) else None
        if "#" in (x, y) or (x is None and y is None):
            return True
        if x is None or y is None or (x != y and "+" not in (x, y)):
            return False
    return True


def fault(topic: str) -> str | None:
    """What is wrong with a topic that a message came on; None where it is a topic.

    >>> fault("a/+/b")
    "a topic cannot hold '+' or '#': those stand in filters only"
    """
    if not topic:
        return "the topic is empty"
    if "+" in topic or "#" in topic:
        return "a topic cannot hold '+' or '#': those stand in filters only"
    if "\0" in topic:
        return "a topic cannot hold NUL"
    if len(topic) > MAX_BYTES // 4 and len(topic.encode()) > MAX_BYTES:
        return f"the topic is longer than {MAX_BYTES} bytes"
    return None
