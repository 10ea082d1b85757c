"""Reads delimited text (RFC 4180): one row an element, one column a value."""

import csv
import io
from typing import Any

from ingest.decoders.decoder import Decoder, Document, Unreadable


def parse(payload: bytes, feed: Any) -> Document:
    """The rows as objects by column name; cells are string tokens. `feed.csv` says delimiter, header, columns, encoding.

    Without header and columns the names are 1, 2, 3 ...

    >>> from schemas.feed import Csv, Feed
    >>> feed = Feed(feed="f", decoder="csv", csv=Csv(delimiter=";", header=False, columns=("date", "kwh")))
    >>> parse(b"01.02.2026;1,5\\n", feed)
    [{'date': '"01.02.2026"', 'kwh': '"1,5"'}]
    """
    rule = feed.csv
    delimiter, header, columns, encoding = (
        (rule.delimiter, rule.header, rule.columns, rule.encoding) if rule else (",", True, None, "utf-8")
    )
    try:
        text = payload.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(f"is no {encoding} at byte {error.start}: set csv: {{encoding: ...}}") from None
    if text.startswith("\ufeff"):
        raise Unreadable("starts with a byte order mark: set csv: {encoding: utf-8-sig}")
    if "\0" in text:
        raise Unreadable(f"holds NUL at character {text.index(chr(0))}")
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]
    except csv.Error as error:
        raise Unreadable(f"is no csv: {error}") from None
    if header:
        if not rows:
            raise Unreadable("has no header line: set csv: {header: false, columns: [...]}")
        first, rows = [cell.strip() for cell in rows[0]], rows[1:]
        names = list(columns) if columns else first
    else:
        names = list(columns) if columns else [str(n + 1) for n in range(max(map(len, rows), default=0))]
    if len(set(names)) != len(names):
        raise Unreadable("two columns have one name: set csv: {columns: [...]}")
    for number, row in enumerate(rows, 2 if header else 1):
        if len(row) != len(names):
            raise Unreadable(f"row {number} has {len(row)} cells, the columns are {len(names)}: check delimiter and columns")
    return [{name: f'"{cell.strip()}"' for name, cell in zip(names, row, strict=True)} for row in rows]


def point(cell: str) -> str:
    """A number with decimal comma as one with a point; with a thousands point it stays no number.

    >>> point('"12,5"'), point('"1.234,5"')
    ('"12.5"', '"1.234,5 (a point beside a decimal comma)"')
    """
    return cell.replace(",", ".") if "." not in cell else f'{cell[:-1]} (a point beside a decimal comma)"'


DECODER = Decoder(parse=parse)
