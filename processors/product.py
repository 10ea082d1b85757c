"""Exact products and quotients of Int128 columns: activity x factor, and shares of a whole.

A product beyond 127 bits cannot be held in a column; such columns are computed with Python's integers, with the same result.
"""

from collections.abc import Callable

import polars as pl

from processors.exact import half_even
from schemas.frames import EXACT

E18 = 10**18
"""A factor is an integer of 1/E18 kg for a base unit of activity."""

_LIMIT = 2**125
_MOST = 2**127 - 1


def scale(quantity: pl.Series, factor: pl.Series, divisor: int = E18) -> pl.Series:
    """quantity x factor / divisor, rounded half to even; null where either is null. Shapes: Int128 columns of one length.

    >>> scale(pl.Series([2_500_000_000], dtype=pl.Int128), pl.Series([182_900_000_000_000_000], dtype=pl.Int128)).to_list()
    [457250000]
    """
    if _fits(quantity, factor):
        product = pl.DataFrame({"p": quantity * factor})
        return product.select_seq(half_even(pl.col("p"), pl.lit(divisor, dtype=EXACT))).to_series()
    return _by_hand(lambda q, f: _rounded(q * f, divisor), quantity, factor)


def part(quantity: pl.Series, numerator: pl.Series, denominator: pl.Series) -> pl.Series:
    """quantity x numerator / denominator, rounded half to even; null where the denominator is 0. It is never negative.

    >>> n = lambda *x: pl.Series(x, dtype=pl.Int128)
    >>> part(n(7, 9), n(1, 5), n(2, 0)).to_list()
    [4, None]
    """
    denominator = denominator.replace(0, None)
    if _fits(quantity, numerator):
        ratio = pl.DataFrame({"p": quantity * numerator, "d": denominator})
        return ratio.select_seq(half_even(pl.col("p"), pl.col("d"))).to_series()
    return _by_hand(lambda q, n, d: _rounded(q * n, d), quantity, numerator, denominator)


def floor_part(quantity: pl.Series, numerator: pl.Series, denominator: pl.Series) -> pl.Series:
    """floor(quantity x numerator / denominator); null where the denominator is 0. Its differences telescope to the whole.

    >>> n = lambda *x: pl.Series(x, dtype=pl.Int128)
    >>> floor_part(n(10, 10, 10), n(1, 2, 3), n(3, 3, 3)).to_list()
    [3, 6, 10]
    """
    denominator = denominator.replace(0, None)
    if _fits(quantity, numerator):
        return quantity * numerator // denominator
    return _by_hand(lambda q, n, d: q * n // d, quantity, numerator, denominator)


def _fits(a: pl.Series, b: pl.Series) -> bool:
    largest = [max(abs(int(s.max() or 0)), abs(int(s.min() or 0))) for s in (a, b)]  # type: ignore[arg-type]  # integers
    return largest[0] * largest[1] < _LIMIT


def _rounded(numerator: int, denominator: int) -> int:
    floor, rest = divmod(numerator, denominator)
    return floor + (2 * rest > denominator or (2 * rest == denominator and floor % 2))


def _by_hand(rule: Callable[..., int], *columns: pl.Series) -> pl.Series:
    rows = zip(*(c.to_list() for c in columns), strict=True)
    values = [None if None in row else rule(*row) for row in rows]
    if any(v is not None and abs(v) > _MOST for v in values):
        raise OverflowError("a figure is beyond 1.7e29 kg: correct the unit or the factor of its source")
    return pl.Series(columns[0].name, values, dtype=EXACT)
