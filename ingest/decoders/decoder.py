"""What a decoder is: from payload bytes to a document, and from a document to named fields.

A **document** is what a payload says, as dictionaries, lists and tokens. A **token** is a scalar as text, so that no digit is
lost: `"text"` (in quotes, escapes resolved), a JSON number as it was written, `true`, `false`, `null`, `NaN` or `Infinity`.
Decoders carry tokens along without looking into them: on the fast path a token is a Leaf, the place of a scalar in a
whole batch of payloads of one shape.
"""

import re
from collections.abc import Callable, Hashable
from decimal import Decimal
from typing import Any, NamedTuple

Document = Any
"""dict[str, Document] | list[Document] | Token"""

MAX_PAYLOAD = 4 * 1024 * 1024
MAX_OPENED = 16 * 1024 * 1024
MAX_DEPTH = 64
MAX_READINGS = 100_000
MAX_NAME = 1000
MAX_SAID = 64 * 1024 * 1024
"""Characters of all tokens of a payload's readings: a long name may stand in each of them."""


class Unreadable(ValueError):
    """A payload that cannot be read: `reason` is a word of schemas.frames.REASONS."""

    def __init__(self, detail: str, reason: str = "malformed"):
        super().__init__(detail)
        self.reason = reason


class Leaf(int):
    """Stands for the scalar at this place of every payload of one shape."""


Token = str | Leaf | None


class Field(NamedTuple):
    """One value of a self-describing format. `unit` and `kind` only where the format itself fixes them."""

    native: str
    value: Document
    unit: str | None = None
    kind: str = "level"
    short: str | None = None  # a shorter name that serves where the feed's topic leaves no level open
    stamp: Token = None
    stamp_format: str = "iso8601"
    channel: str | None = None  # default: channel_name(native)
    unit_token: Token = None  # a unit that the payload states
    element: Document = None  # what `@` paths look into; default: the document


class Decoder(NamedTuple):
    """One format. Either `open` (bytes to bytes, for chains) or `parse` (bytes to a document), perhaps with `fields`."""

    parse: Callable[[bytes, Any], Document] | None = None
    fields: Callable[[Document, Any], list[Field]] | None = None
    open: Callable[[bytes], bytes] | None = None
    topics: tuple[str, ...] = ()  # where the devices publish by default
    place: Callable[[str], Hashable] = lambda topic: None  # what `fields` needs to know of the topic
    by_shape: bool = False  # documents are the payload's JSON and `fields` looks at keys, never into tokens


_OTHER = re.compile(r"[^a-z0-9]+")


def channel_name(native: str) -> str:
    """A channel named after a field: lower case, other characters `_`.

    >>> channel_name("ENERGY.Total"), channel_name("switch:0.aenergy.total"), channel_name("°")
    ('energy_total', 'switch_0_aenergy_total', 'value')
    """
    return _OTHER.sub("_", native.lower()).strip("_") or "value"


def scalar(node: Document) -> Token:
    """A node where it is a token; None for what has parts, or is not there.

    >>> scalar('"p7"'), scalar({"a": "1"}), scalar(None)
    ('"p7"', None, None)
    """
    return node if isinstance(node, (str, Leaf)) else None


def text(token: Token) -> str | None:
    """The text of a token: a string's content, a number as written; None for null, booleans and what is not there.

    >>> text('"p7"'), text("42"), text("true"), text(None)
    ('p7', '42', None, None)
    """
    if not isinstance(token, str):
        return None
    if token[:1] == '"':
        return token[1:-1]
    return token if token[:1] in "-0123456789" and token else None


_NUMERIC = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def matches(token: Token, wanted: Any) -> bool:
    """Does a token say what a feed wants? Numeric strings are numbers; a list wants any of its items.

    >>> matches('"ok"', "ok"), matches("1.0", 1), matches("true", True), matches("true", 1), matches('"1"', 1)
    (True, True, True, False, True)
    """
    if isinstance(wanted, (list, tuple, set, frozenset)):
        return any(matches(token, one) for one in wanted)
    if isinstance(wanted, bool):
        return token == ("true" if wanted else "false")
    if wanted is None:
        return token == "null"
    stated = text(token)
    if stated is None:
        return False
    if isinstance(wanted, str):
        return stated == wanted
    return _NUMERIC.fullmatch(stated.strip()) is not None and Decimal(stated.strip()) == Decimal(str(wanted))
