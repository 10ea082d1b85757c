"""Consolidation: figures times the reporting organisation's share of their site.

Source: GHG Protocol Corporate Standard (2004), chapter 3 (equity share and control approaches).
"""

import polars as pl

from processors.plan import Plan
from processors.product import scale
from schemas.frames import GASES

_PARTS = ("activity_n", "estimated_n", *(f"{gas}_n" for gas in GASES))


def consolidated(figures: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """FIGURES times the site's share on the day (in its zone), rounded half to even; days without a share count nothing."""
    shares = plan.shares.sort("start")
    rows = figures.sort("interval_start").join_asof(
        shares, left_on="interval_start", right_on="start", by="site", check_sortedness=False
    )
    share = rows["share_n"].fill_null(0)
    return rows.with_columns_seq(scale(rows[name], share).alias(name) for name in _PARTS).drop("start", "share_n")
