"""Exact arithmetic on integers of 1e-9: decimal text in, half-to-even rounding, floors of linear and quadratic integrals.

The vectorised forms work on 128-bit integers as long as a product is sure to fit; rows that might not fit take the same
formula through Python integers, so that the result never depends on which way a row went.
"""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache

import polars as pl

from schemas.numeric import N

EXACT = pl.Int128
LIMIT_N = 10**15 * N
"""Beyond this (1e15 base units) a quantity is out of range."""

HOUR_US = 3_600_000_000
FITS = 1.6e38  # a little below 2**127, for a product judged by its double


@lru_cache(maxsize=1000)
def big(value: int) -> pl.Expr:
    """An integer as a 128-bit literal."""
    return pl.lit(value, dtype=EXACT)


def half_even(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """Quotient rounded half to even; the denominator is positive and below 2**126.

    >>> frame = pl.DataFrame({"x": [5, 15, 25, -5, -15, 26]}, schema={"x": pl.Int128})
    >>> frame.select_seq(half_even(pl.col("x"), big(10)))["x"].to_list()
    [0, 2, 2, 0, -2, 3]
    """
    floor = numerator // denominator
    twice = (numerator - floor * denominator) * big(2)
    up = (twice > denominator) | ((twice == denominator) & (floor % big(2) == big(1)))
    return floor + up.cast(EXACT)


def rounded(value: Fraction) -> int:
    """A fraction rounded half to even (Python's own rule for `round`).

    >>> rounded(Fraction(5, 2)), rounded(Fraction(-7, 2))
    (2, -4)
    """
    return round(value)


def parse(text: str | None) -> Decimal | None:
    """Decimal text as a number; None where it is none. NaN and infinities come back as such.

    >>> parse("1e-7"), parse("1_0"), parse("abc"), parse("inf")
    (Decimal('1E-7'), None, None, Decimal('Infinity'))
    """
    if text is None or "_" in text or not text.isascii():
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def base_n(value: Decimal, factor: Fraction, offset: Fraction) -> int | None:
    """A stated number in 1e-9 of the base unit; None beyond 1e15 base units. Safe for absurd exponents.

    >>> base_n(Decimal("3.6"), Fraction(5, 18), Fraction(0)), base_n(Decimal("1e999999"), Fraction(1), Fraction(0))
    (1000000000, None)
    """
    if value.adjusted() > 80 and value != 0 and factor != 0:
        return None
    stated = Fraction(0) if value.adjusted() < -120 else Fraction(value)
    exact = rounded((stated * factor + offset) * N)
    return exact if abs(exact) <= LIMIT_N else None


def decimals(text: pl.Expr) -> pl.Expr:
    """Short decimal text as an integer of 1e-18; null where it is long, malformed or too large: those go by `base_n`.

    A text of at most 19 bytes has at most 18 decimals, unless it has an exponent.

    >>> frame = pl.DataFrame({"x": ["10.5", "1e-7", "-.25", "12345678901234567890", "x"]})
    >>> frame.select_seq(decimals(pl.col("x")))["x"].to_list()
    [10500000000000000000, None, -250000000000000000, None, None]
    """
    short = (text.str.len_bytes() <= 19) & ~text.str.contains_any(["e", "E"])
    return pl.when(short).then(text).cast(pl.Decimal(38, 18), strict=False).to_physical()


def linear_floor(amount: pl.Expr, elapsed: pl.Expr, total: pl.Expr) -> pl.Expr:
    """Floor of an even amount's integral up to `elapsed` of `total`: amount x elapsed // total.

    The uniform rate gives F(t) = amount t / T; differences of floor(F) telescope to the whole.

    >>> frame = pl.DataFrame({"a": [10], "t": [1], "T": [3]}, schema=dict.fromkeys("atT", pl.Int128))
    >>> [frame.select_seq(linear_floor(pl.col("a"), big(t), pl.col("T"))).item() for t in range(4)]
    [0, 3, 6, 10]
    """
    return amount * elapsed // total


def ramp_floor(rate0: pl.Expr, rate1: pl.Expr, elapsed: pl.Expr, total: pl.Expr) -> pl.Expr:
    """Floor of a trapezoid's integral up to `elapsed` microseconds of `total`; rates in base units an hour.

    Trapezoidal rule: the rate goes straight from r0 to r1, so F(t) = r0 t + (r1 - r0) t^2 / (2 T), t in hours (Abramowitz and
    Stegun, Handbook of Mathematical Functions, 25.4.1). At t = T it is (r0 + r1) / 2 x T.

    From 60 to 120 kW in 10 minutes: 5 minutes give 60/12 + 60 x 25 / 20 / 60 = 6.25 kWh, all of it 15 kWh.

    >>> frame = pl.DataFrame({"x": [60 * N], "y": [120 * N], "T": [600_000_000]}, schema=dict.fromkeys("xyT", pl.Int128))
    >>> half, all = (big(t * 60_000_000) for t in (5, 10))
    >>> [frame.select_seq(ramp_floor(pl.col("x"), pl.col("y"), t, pl.col("T"))).item() / N for t in (half, all)]
    [6.25, 15.0]
    """
    doubled = total * big(2)
    return (rate0 * doubled * elapsed + (rate1 - rate0) * elapsed * elapsed) // (doubled * big(HOUR_US))


def guarded(
    frame: pl.DataFrame, size: pl.Expr, fast: pl.Expr, slow: Callable[..., int | None], arguments: list[str]
) -> pl.Series:
    """`fast` where `size` (a double bound of its largest product) is sure to fit 128 bits, else `slow` by Python integers.

    >>> frame = pl.DataFrame({"x": [3, 10**30]}, schema={"x": pl.Int128})
    >>> square = pl.col("x") * pl.col("x") // big(10**30)
    >>> guarded(frame, pl.col("x").cast(pl.Float64) ** 2, square, lambda x: x * x // 10**30, ["x"]).to_list()
    [0, 1000000000000000000000000000000]
    """
    fits = frame.select_seq(fits=(size < FITS).fill_null(True))["fits"]
    value = frame.select_seq(value=fast)["value"]
    if fits.all():
        return value
    odd = frame.filter(~fits).select_seq(arguments).rows()
    exact = pl.Series("exact", [None if None in row else slow(*row) for row in odd], dtype=EXACT)
    where = (~fits).arg_true()
    return value.scatter(where, exact)
