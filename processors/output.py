"""Exact figures as people get them: numbers, shares and status of base intervals."""

from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction

import polars as pl

from processors.plan import Plan
from processors.status import status
from schemas.frames import EXACT, FIGURE_KEY, FIGURES, GASES, OUTPUT, TIME
from schemas.numeric import N
from schemas.units import UnitProblem, unit

_WHOLE = 2**53
SHOWN = {gas: f"{gas}_co2e_kg" if gas in ("hfc", "pfc", "unsplit", "non_kyoto") else f"{gas}_kg" for gas in GASES}
"""The column in which a part of a figure is shown."""


def numbers(exact: pl.Series, per: Fraction = Fraction(1)) -> pl.Series:
    """Integers of 1e-9 of a base unit as the nearest Float64 of a unit that is `per` base units.

    >>> numbers(pl.Series([959_636_710_000_000, 3 * 10**27, None], dtype=pl.Int128)).to_list()
    [959636.71, 3e+18, None]
    >>> numbers(pl.Series([2_500_000], dtype=pl.Int128), Fraction(1, 1000)).to_list()  # 0.0025 m3 in litres
    [2.5]
    """
    share = Fraction(1, N) / per
    times, by = share.numerator, share.denominator
    low, high = int(exact.min() or 0), int(exact.max() or 0)  # type: ignore[arg-type]  # integers
    if max(-low, high) * times < _WHOLE and by < _WHOLE:
        whole = exact.alias("n").to_frame().select_seq(pl.col("n") * pl.lit(times, dtype=EXACT)).to_series()
        return ratio(whole, pl.repeat(by, len(whole), dtype=pl.Int64, eager=True))
    # int / int is correctly rounded, however long the integers are
    return pl.Series(exact.name, [None if n is None else n * times / by for n in exact.to_list()], dtype=pl.Float64)


def ratio(a: pl.Series, b: pl.Series) -> pl.Series:
    """a / b of integers below 2**53 as the nearest Float64; null where b is 0.

    Column by column: polars divides by a single number by multiplying with its reciprocal, which rounds twice.

    >>> ratio(pl.Series([18_194_000_000]), pl.Series([1_000_000_000])).to_list()
    [18.194]
    """
    return a.cast(pl.Float64) / b.replace(0, None).cast(pl.Float64)


def in_units(exact: pl.Series, units: pl.Series) -> pl.Series:
    """Activity in base units as Float64 of the unit named beside it; null where the unit is."""
    frame = pl.DataFrame({"n": exact, "u": units}).with_row_index("row")
    parts = []
    for name in frame["u"].unique().drop_nulls().sort():
        some = frame.filter(u=name)
        parts.append(some.select_seq("row").with_columns_seq(numbers(some["n"], per_base(name)).alias("value")))
    found = pl.concat(parts) if parts else pl.DataFrame(schema={"row": pl.UInt32, "value": pl.Float64})
    return frame.join(found, on="row", how="left", maintain_order="left")["value"]


def per_base(name: str) -> Fraction:
    """How many base units a unit is; 1 for a unit that is not in the table."""
    try:
        return unit(name).factor
    except UnitProblem:
        return Fraction(1)


def finish_base(figures: pl.DataFrame, plan: Plan, clock: Mapping[str, datetime]) -> pl.DataFrame:
    """FIGURES of base intervals as OUTPUT with `tag_<name>` columns, sorted by key.

    clock: site -> the newest received_at of its readings (those that the collapse kept); a site without one has no provisional
    figures. coverage is null for events; estimated_share is of the activity; unpriced_share is 0 or 1.
    """
    base = pl.duration(microseconds=plan.base_us)
    rows = figures.with_columns_seq(pl.col(name).cast(pl.String) for name, kind in FIGURES.items() if kind == pl.String)
    estimated = ratio(rows["estimated_n"], rows["activity_n"].abs())
    coverage = ratio(rows["covered_us"], pl.repeat(plan.base_us, len(rows), dtype=pl.Int64, eager=True))
    rows = rows.join(plan.tagged, on="source", how="left", maintain_order="left").with_columns_seq(
        interval_end=pl.col("interval_start") + base,
        newest=pl.col("site").replace_strict(dict(clock), default=None, return_dtype=TIME),
        coverage=coverage.clip(0, 1),
        estimated_share=pl.when(pl.col("estimated_n") == 0).then(0.0).otherwise(estimated.clip(0, 1)),
        unpriced_share=pl.when("priced").then(0.0).otherwise(1.0),
        uncertainty_pct=pl.lit(None, dtype=pl.Float64),
    )
    rows = rows.with_columns_seq(
        in_units(rows["activity_n"], rows["activity_unit"]).alias("activity"),
        *(numbers(rows[f"{gas}_n"]).alias(shown) for gas, shown in SHOWN.items()),
        status=status(
            known=pl.col("activity_n").is_not_null(),
            priced=pl.col("priced"),
            provisional=pl.col("newest") <= pl.col("interval_end") + pl.duration(microseconds=plan.lateness_us),
            restated=pl.col("lag_us") > plan.lateness_us,
        ),
    )
    tags = [name for name in plan.tagged.columns if name != "source"]
    return rows.sort(*FIGURE_KEY, nulls_last=True).select_seq(*(pl.col(c).cast(t) for c, t in OUTPUT.items()), *tags)
