"""Market basis of scope 2: which contract covers which part of what a site bought, hour by hour.

Contracts come in the order certificates, PPA, supplier, within a kind by id; together they never cover more than the site
bought of that energy in the UTC hour. What a contract covers is spread over sources and intervals pro rata to activity, by
differences of floor(cumulated share), so that the parts are whole numbers that add up to what is covered, in any run.
Source: GHG Protocol Scope 2 Guidance (2015), table 6.3 (hierarchy of market-based emission factors) and chapter 7.
"""

from typing import Any

import polars as pl

from processors.product import E18, floor_part
from schemas.frames import EXACT, TIME

CONTRACTS: dict[str, Any] = {
    "contract": pl.String,
    "site": pl.String,
    "energy": pl.String,  # electricity, heat, steam, cooling
    "rank": pl.Int32,  # place in the order within site and energy
    "from": TIME,
    "until": TIME,
    "share_n": EXACT,  # of 1e18; else null
    "volume_n": EXACT,  # over all its hours; else null
    "meter": pl.String,  # what the meter shows; else null
}

_GROUP = ["site", "energy", "hour"]
_ZERO = pl.lit(0, dtype=EXACT)
_HOUR_END = pl.col("hour") + pl.duration(hours=1)


def allocate(activity: pl.DataFrame, amounts: pl.DataFrame, contracts: pl.DataFrame) -> pl.DataFrame:
    """Split activity into what each contract covers and the rest.

    activity: ACTIVITY with `site`, `energy` and any further columns, all purchases of the sites in whole UTC hours; amounts:
    AMOUNTS, for contracts that cover what a meter shows; contracts: CONTRACTS. Returns the rows of activity split by `part` (a
    contract id, or `rest`); parts of nothing are left out. A negative activity is no purchase: it stays in the rest.

    A site buys 7 and 3 in two intervals of an hour; a PPA covers 40 %:

    >>> from datetime import UTC, datetime
    >>> new_year, times = datetime(2026, 1, 1, tzinfo=UTC), [datetime(2026, 1, 1, 0, m, tzinfo=UTC) for m in (0, 30)]
    >>> bought = pl.DataFrame({"source": "main", "interval_start": times, "quantity_n": [7, 3], "estimated_n": [0, 0],
    ...     "site": "s", "energy": "electricity"}, schema_overrides={"quantity_n": EXACT, "estimated_n": EXACT})
    >>> ppa = pl.DataFrame({"contract": "wind", "site": "s", "energy": "electricity", "rank": 0, "from": new_year,
    ...     "until": datetime(2027, 1, 1, tzinfo=UTC), "share_n": 4 * 10**17, "volume_n": None, "meter": None},
    ...     schema_overrides=CONTRACTS)
    >>> allocate(bought, bought.clear().select_seq("interval_start", meter="source", amount_n="quantity_n"), ppa).select_seq(
    ...     "part", "quantity_n").rows()
    [('wind', 2), ('rest', 5), ('wind', 2), ('rest', 1)]
    """
    columns = activity.columns
    rows = activity.with_columns_seq(hour=pl.col("interval_start").dt.truncate("1h")).sort("interval_start", "source")
    rows = rows.with_columns_seq(left=pl.col("quantity_n").clip(0), left_estimated=pl.col("estimated_n"))
    parts = []
    for rank in sorted(contracts["rank"].unique()):
        rows = _cover(rows, amounts, contracts.filter(rank=rank).drop("rank"))
        parts.append(
            rows.filter(pl.col("taken") > 0).select_seq(
                *_but(columns), part="contract", quantity_n="taken", estimated_n="estimated"
            )
        )
        rows = rows.with_columns_seq(
            left=pl.col("left") - pl.col("taken"), left_estimated=pl.col("left_estimated") - pl.col("estimated")
        )
        rows = rows.drop("contract", "taken", "estimated")
    # a row that no contract touched stays as it is, 0 and negative ones too
    rest = rows.filter((pl.col("left") > 0) | (pl.col("quantity_n") <= 0)).select_seq(
        *_but(columns),
        part=pl.lit("rest"),
        quantity_n=pl.when(pl.col("quantity_n") < 0).then("quantity_n").otherwise("left"),
        estimated_n="left_estimated",
    )
    split = pl.concat([*parts, rest]).select_seq(*columns, "part")
    return split.sort("interval_start", "source", pl.col("part") == "rest", maintain_order=True)


def _but(columns: list[str]) -> list[str]:
    return [c for c in columns if c not in ("quantity_n", "estimated_n")]


def _cover(rows: pl.DataFrame, amounts: pl.DataFrame, contracts: pl.DataFrame) -> pl.DataFrame:
    """One contract a site and energy, spread over its rows; adds contract, taken and estimated (the estimated part of taken)."""
    rows = rows.join(contracts, on=["site", "energy"], how="left", maintain_order="left")
    inside = ((pl.col("interval_start") >= pl.col("from")) & (pl.col("interval_start") < pl.col("until"))).fill_null(False)
    rows = rows.with_columns_seq(
        weight=pl.when(inside).then("left").otherwise(_ZERO),
        bought=pl.when(inside & (pl.col("quantity_n") > 0)).then("quantity_n").otherwise(_ZERO),
    )
    rows = rows.with_columns_seq(
        pl.col("weight", "bought").sum().over(_GROUP).name.prefix("all_"), until_here=pl.col("weight").cum_sum().over(_GROUP)
    )
    claims = rows.select_seq(*_GROUP, "contract", "from", "until", "share_n", "volume_n", "meter", "all_bought").unique(_GROUP)
    claims = claims.with_columns_seq(_claim(claims, amounts)).select_seq(*_GROUP, "claim")
    rows = rows.join(claims, on=_GROUP, maintain_order="left").with_columns_seq(claim=pl.min_horizontal("claim", "all_weight"))
    upper = floor_part(rows["claim"], rows["until_here"], rows["all_weight"])
    lower = floor_part(rows["claim"], rows["until_here"] - rows["weight"], rows["all_weight"])
    rows = rows.with_columns_seq((upper - lower).fill_null(0).alias("taken"))
    estimated = floor_part(rows["left_estimated"], rows["taken"], rows["left"]).fill_null(0)
    added = [
        "from",
        "until",
        "share_n",
        "volume_n",
        "meter",
        "weight",
        "bought",
        "all_weight",
        "all_bought",
        "until_here",
        "claim",
    ]
    return rows.with_columns_seq(estimated.alias("estimated")).drop(added)


def _claim(hours: pl.DataFrame, amounts: pl.DataFrame) -> pl.Series:
    """What each contract would cover in each hour: a share of what was bought, even parts of a volume, what a meter shows."""
    share = floor_part(hours["all_bought"], hours["share_n"], pl.repeat(E18, len(hours), dtype=EXACT, eager=True))
    begin, end = pl.max_horizontal("hour", "from"), pl.min_horizontal(_HOUR_END, "until")
    volume = _before(hours, end) - _before(hours, pl.min_horizontal(begin, end))
    wanted = hours.select_seq("meter", "from", "until").drop_nulls("meter").unique()
    shown = amounts.join(wanted, on="meter").filter(pl.col("interval_start").is_between("from", "until", closed="left"))
    shown = shown.group_by("meter", "from", "until", hour=pl.col("interval_start").dt.truncate("1h")).agg(
        shown=pl.col("amount_n").sum()
    )
    joined = hours.with_columns_seq(share.alias("share"), volume.alias("volume"))
    joined = joined.join(shown, on=["meter", "from", "until", "hour"], how="left", maintain_order="left")
    return joined.select_seq(pl.coalesce("share", "volume", "shown", _ZERO).clip(0).alias("claim")).to_series()


def _before(hours: pl.DataFrame, instant: pl.Expr) -> pl.Series:
    """What of a contract's volume lies before an instant: floor(volume x elapsed / duration)."""
    spans = hours.select_seq(
        "volume_n",
        elapsed=(instant - pl.col("from")).dt.total_microseconds().cast(EXACT),
        duration=(pl.col("until") - pl.col("from")).dt.total_microseconds().cast(EXACT),
    )
    return floor_part(spans["volume_n"], spans["elapsed"], spans["duration"])
