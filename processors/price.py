"""Activity to figures: the activity of a source times each factor that is in force, exactly.

kg = activity x factor, gas by gas; co2e joins the gases by the plant's GWP set in a factor of its own and is rounded once.
Source: GHG Protocol Corporate Standard (2004), chapter 6 (activity data x emission factor); Scope 2 Guidance (2015), chapter 6.
"""

from typing import Any

import polars as pl

from processors.intensity import intensity
from processors.plan import Plan
from processors.product import scale
from processors.scope2 import allocate
from processors.spans import OPEN
from schemas.frames import ACTIVITY, FIGURE_KEY, FIGURES, GASES, shaped

_TEXTS = ("method", "activity_unit", "factor_id", "factor_version", "instrument", "gwp", "config")

_ACTIVITY = [pl.col(name).cast(pl.String) if name == "source" else pl.col(name) for name in ACTIVITY]
_PRICED: dict[str, Any] = {**FIGURES, "part": pl.String}

SLICE = 100_000
"""Rows that are priced at a time, which bounds the memory that factors take."""


def price(activity: pl.DataFrame, amounts: pl.DataFrame, levels: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """FIGURES of an ACTIVITY frame, sorted by key.

    amounts: AMOUNTS, read where a contract covers what a meter shows; levels: READINGS of reference meters, collapsed, from
    `plan.max_age_us` before the window on. Where contracts exist the window is whole UTC hours, so that one call or many give
    the same rows. Activity before a source's valid_from or after its valid_to gives no figure.

    Formula: figure_n = round half to even (quantity_n x factor / 1e18), the factor in 1e-18 kg for a base unit of activity.
    """
    rows = _segmented(activity.select_seq(_ACTIVITY), plan)
    whole = rows.join(plan.whole, on="segment")
    if plan.purchases.height:
        bought = rows.join(plan.purchases, on="source")
        whole = pl.concat([whole, _market(bought, amounts, plan)]) if len(bought) else whole
    found = [_figures(rows, plan.facts[rows["span"]], levels, plan) for rows in whole.iter_slices(SLICE)]
    figures = pl.concat(found) if found else pl.DataFrame(schema=_PRICED)
    return shaped(_merged(figures).sort(*FIGURE_KEY, nulls_last=True), FIGURES)


def _segmented(activity: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Activity with the segment of its source's time in which no factor changes; what lies outside of all segments goes."""
    if not plan.dated:
        rows = activity.join(plan.segments, on="source")
        return rows.filter(pl.col("interval_start") >= pl.col("start")).drop("start")
    ordered = activity.sort("interval_start")
    rows = ordered.join_asof(plan.segments, left_on="interval_start", right_on="start", by="source", check_sortedness=False)
    return rows.drop_nulls("segment").drop("start")


def _market(bought: pl.DataFrame, amounts: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """The rows of sources at sites with contracts, split by what covers them, with the spans of each part."""
    shown = (amounts if plan.contracts["meter"].count() else amounts.clear()).with_columns_seq(pl.col("meter").cast(pl.String))
    parts = allocate(bought, shown, plan.contracts)
    parts = _latest(parts, bought, shown, plan.contracts).drop("site", "energy")
    return parts.join(plan.spans.select_seq("segment", "part", "span"), on=["segment", "part"]).drop("part")


def _latest(parts: pl.DataFrame, bought: pl.DataFrame, shown: pl.DataFrame, contracts: pl.DataFrame) -> pl.DataFrame:
    """An hour's parts depend on all that the site bought in it, and on what contracts' meters show: the latest reading counts."""
    hour = pl.col("interval_start").dt.truncate("1h").alias("hour")
    key = ["site", "energy", "hour"]
    metered = shown.join(contracts.select_seq("site", "energy", "meter"), on="meter")
    both = pl.concat([frame.select_seq("site", "energy", hour, newest="lag_us") for frame in (bought, metered)])
    newest = both.group_by(key).agg(pl.col("newest").max())
    parts = parts.with_columns_seq(hour).join(newest, on=key, how="left").drop("hour")
    return parts.with_columns_seq(lag_us=pl.max_horizontal("lag_us", "newest")).drop("newest")


def _figures(rows: pl.DataFrame, facts: pl.DataFrame, levels: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    frame = pl.concat([rows, facts], how="horizontal")
    if frame["live"].null_count() < len(frame):
        frame = intensity(frame, levels, plan.base_us)
    products = [
        scale(frame["quantity_n"], frame[f"{gas}_f"]).alias(f"{gas}_n")
        for gas in GASES
        if frame[f"{gas}_f"].null_count() < len(frame)
    ]
    estimated = pl.when("fallback").then(pl.col("quantity_n").abs()).otherwise("estimated_n")
    priced = frame.with_columns_seq(
        *products,
        activity_n="quantity_n",
        estimated_n=estimated,
        gwp=pl.lit(plan.gwp),
        factor_age_years=_age(frame),
    )
    return shaped(priced, _PRICED)


def _age(frame: pl.DataFrame) -> pl.Expr:
    """Years from the last year for which the factor was published to the activity's year in the site's zone."""
    year = pl.lit(None, dtype=pl.Int32)
    for zone in set(frame["zone"].filter(frame["published"] < OPEN)):
        local = pl.col("interval_start").dt.convert_time_zone(zone).dt.year()
        year = pl.when(zone=zone).then(local).otherwise(year)
    never = pl.when(pl.col("published") == OPEN).then(pl.lit(0, dtype=pl.Int32))
    return never.otherwise((year - pl.col("published")).clip(0))


def _merged(figures: pl.DataFrame) -> pl.DataFrame:
    """One row a key: parts of a purchase whose category 3 figures share a component are added."""
    split = (figures["part"] != "all") & (figures["basis"] == "")
    if not split.any():
        return figures
    several = figures.filter(split)
    sums = [*(f"{gas}_n" for gas in GASES), "activity_n", "estimated_n"]
    total = several.group_by(FIGURE_KEY).agg(
        *(pl.when(pl.col(c).count() > 0).then(pl.col(c).sum()).alias(c) for c in sums),
        *(pl.col(c).drop_nulls().unique().sort().str.join(";").replace("", None).alias(c) for c in _TEXTS),
        pl.col("covered_us", "lag_us", "suspect", "factor_age_years").max(),
        pl.col("priced").all(),
    )
    return pl.concat([figures.filter(~split), total], how="diagonal")
