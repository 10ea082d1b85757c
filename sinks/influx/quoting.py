"""Names and values in InfluxQL, quoted so that nothing in them is read as query text."""

from sinks.line_protocol import encoded


def identifier(name: str) -> str:
    r"""A name of a measurement, tag or field. ValueError where it has a control character.

    >>> print(identifier('a"b'))
    "a\"b"
    """
    if any(ord(sign) < 0x20 or ord(sign) == 0x7F for sign in name) or not name:
        raise ValueError(f"{name!r} cannot be a name in InfluxDB")
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def literal(tag: str) -> str:
    r"""A tag's value, encoded as it is stored.

    >>> print(literal("o'clock"), literal("\n"))
    'o\'clock' '%0A'
    """
    return "'" + encoded(tag).replace("\\", "\\\\").replace("'", "\\'") + "'"
