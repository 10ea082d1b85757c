"""Frames as csv (RFC 4180): UTF-8, CRLF, numbers by the one writer of numbers, text that no spreadsheet takes for a formula."""

from typing import NamedTuple

import polars as pl

from schemas.numeric import text


class Dialect(NamedTuple):
    separator: str
    decimal: str


DIALECTS = {"plain": Dialect(",", "."), "excel-de": Dialect(";", ",")}
"""excel-de: what a German Excel reads without asking."""

_FORMULA = r"^[=+\-@\t\r\n\x00]"
"""First characters that spreadsheets may take for a formula (OWASP ASVS 1.2.10)."""


def csv_text(frame: pl.DataFrame, header: bool = True, dialect: str = "plain") -> bytes:
    """A frame as csv. Empty text and null are empty cells; times are RFC 3339 with Z; a risky text gets a `'` before it.

    >>> csv_text(pl.DataFrame({"site": ["=1+1", "a,b", None], "kg": [-1.0, 1e-7, None]})).decode().splitlines()
    ['site,kg', "'=1+1,-1", '"a,b",1e-7', ',']
    """
    form = DIALECTS[dialect]
    cells = frame.select(_cells(frame[name], form) for name in frame.columns)
    return cells.write_csv(
        include_header=header, separator=form.separator, line_terminator="\r\n", quote_style="necessary", null_value=""
    ).encode()


def rfc3339(name: str) -> pl.Expr:
    """A column of UTC times as text: RFC 3339 with Z, without needless fractions.

    >>> from datetime import datetime
    >>> times = pl.DataFrame({"t": [datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 0, 0, 500000)]})
    >>> times.select(rfc3339("t"))["t"].to_list()
    ['2026-01-01T00:00:00Z', '2026-01-01T00:00:00.5Z']
    """
    whole = pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S")
    fraction = pl.col(name).dt.strftime("%.6f").str.strip_chars_end("0").str.strip_chars_end(".")
    return (whole + fraction + pl.lit("Z")).alias(name)


def _cells(column: pl.Series, form: Dialect) -> pl.Series:
    """A column as csv writes it; what repeats from row to row is worked out once."""
    if column.null_count() == len(column):
        return pl.Series(column.name, [None], dtype=pl.String).new_from_index(0, len(column))
    if column.dtype.is_integer():
        return column
    words = column.unique()
    if len(words) > len(column) // 4:
        return _written(column, form)
    return column.replace_strict(words, _written(words, form), return_dtype=pl.String)


def _written(column: pl.Series, form: Dialect) -> pl.Series:
    name, cell = column.name, pl.col(column.name)
    if isinstance(column.dtype, pl.Datetime):
        written = rfc3339(name)
    elif column.dtype.is_float():
        number = text(cell.cast(pl.Float64).fill_nan(None))
        written = number.str.replace(".", form.decimal, literal=True) if form.decimal != "." else number
    else:
        words = cell.cast(pl.String)
        risky = words.str.contains(_FORMULA)
        written = pl.when(risky).then(pl.lit("'") + words).when(words != "").then(words).alias(name)
    return column.to_frame().select(written).to_series()
