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
    cells = frame.select(_cell(name, dtype, form) for name, dtype in frame.schema.items())
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


def _cell(name: str, dtype: pl.DataType, form: Dialect) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        return rfc3339(name)
    if dtype.is_float():
        number = text(column.cast(pl.Float64).fill_nan(None))
        return number.str.replace(".", form.decimal, literal=True) if form.decimal != "." else number
    if dtype.is_integer():
        return column
    words = column.cast(pl.String)
    risky = words.str.contains(_FORMULA)
    return pl.when(risky).then(pl.lit("'") + words).when(words != "").then(words).alias(name)
