"""The status of a figure: how far it can be relied on."""

import polars as pl

STATUSES = ("missing", "unpriced", "provisional", "restated", "final")
"""In order: the first that applies is the status."""


def status(known: pl.Expr, priced: pl.Expr, provisional: pl.Expr, restated: pl.Expr) -> pl.Expr:
    """The first of missing, unpriced, provisional, restated that applies, else final. Unknown conditions do not apply.

    known: something is known of the activity; priced: all of it has a factor; provisional: the site's newest received_at is not
    yet past interval end + lateness; restated: a reading that counts came later than that.

    >>> rows = pl.DataFrame({"k": [True, True, True, True, True, False], "p": [True, False, True, True, True, True],
    ...     "v": [False, True, True, False, None, True], "r": [False, True, True, True, None, True]})
    >>> rows.select_seq(status(*(pl.col(c) for c in "kpvr"))).to_series().to_list()
    ['final', 'unpriced', 'provisional', 'restated', 'final', 'missing']
    """
    return (
        pl.when(~known.fill_null(False))
        .then(pl.lit("missing"))
        .when(~priced.fill_null(True))
        .then(pl.lit("unpriced"))
        .when(provisional.fill_null(False))
        .then(pl.lit("provisional"))
        .when(restated.fill_null(False))
        .then(pl.lit("restated"))
        .otherwise(pl.lit("final"))
        .alias("status")
    )
