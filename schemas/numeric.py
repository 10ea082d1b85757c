"""Numbers as text, and text as exact numbers: one writer and one reader for the whole of Scopeline."""

from decimal import Context, Decimal, InvalidOperation

import polars as pl

N = 1_000_000_000
"""An exact quantity is an integer of 1/N of its base unit."""


def number_text(value: float | None) -> str:
    """The shortest text that reads back as the same double; -0 becomes 0; None becomes ''.

    >>> number_text(0.1), number_text(1e-7), number_text(-0.0), number_text(3.0), number_text(None)
    ('0.1', '1e-7', '0', '3', '')
    """
    return "" if value is None else (pl.select(text(pl.lit(value, dtype=pl.Float64))).item() or "")


def text(number: pl.Expr) -> pl.Expr:
    """The same for a column: whole numbers without `.0`, null stays null.

    >>> pl.DataFrame({"x": [1.5, -0.0, 1e22, None]}).select_seq(text(pl.col("x")))["x"].to_list()
    ['1.5', '0', '1e+22', None]
    """
    return (number + 0.0).cast(pl.String).str.strip_suffix(".0").replace("-0", "0")


def exact_text(number_n: pl.Expr) -> pl.Expr:
    """Integers of 1e-9 as text: the nearest double's, however long the integer is.

    >>> ns = pl.DataFrame({"n": [81_234_500_000_000, -100, 12_345_678_901_234_567_891, None]}, schema={"n": pl.Int128})
    >>> ns.select_seq(exact_text(pl.col("n"))).to_series().to_list()
    ['81234.5', '-1e-7', '12345678901.234568', None]
    """
    size, unit = number_n.abs(), pl.lit(N, dtype=pl.Int128)
    digits = pl.concat_str((size // unit).cast(pl.String), (size % unit).cast(pl.String).str.zfill(9), separator=".")
    return text(pl.when(number_n < 0).then(pl.lit("-") + digits).otherwise(digits).cast(pl.Float64))


_EXACT = Context(prec=120)


def exact_n(value: str | Decimal | int) -> int:
    """Decimal text as an integer of 1e-9, rounded half to even.

    >>> exact_n("6.294"), exact_n("0.0000000005"), exact_n("0.0000000015")
    (6294000000, 0, 2)
    """
    try:
        return int(_EXACT.multiply(Decimal(value), Decimal(N)).to_integral_value("ROUND_HALF_EVEN", _EXACT))
    except (InvalidOperation, OverflowError, ValueError):
        raise ValueError(f"{value!r} is not a number within range") from None
