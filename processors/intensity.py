"""Live grid intensity: what a reference meter says in place of the annual factor of a region.

A value holds from its observed_at until the next, at most `max_age`; an interval takes the value at its start. Where none
holds, the annual factor stands in and the figure counts as estimated. A feed of CO2 alone takes CH4 and N2O of the annual factor;
the figure then names both, and is as old as that factor.
"""

import polars as pl

from processors.product import E18, scale
from processors.spans import LIFE_CYCLE, OPEN
from schemas.frames import EXACT, GASES
from schemas.numeric import N
from schemas.units import UnitProblem, unit

LIVE = "live"
"""factor_version of a figure that a live intensity priced."""


def intensity(frame: pl.DataFrame, levels: pl.DataFrame, base_us: int) -> pl.DataFrame:
    """Rows of activity with their factors, where `live` names a reference meter with the factors it says.

    frame: activity with plan.FACTS; levels: READINGS of reference meters in kg/kWh, collapsed. `live_role` says what becomes
    of a row: `use` (priced by the intensity, by the annual factor where none holds), `losses` (only where one holds),
    `annual` (only where none holds). `live_share` is the part of the intensity that is the row's, in 1e-18.
    """
    known = (
        levels.filter(~pl.col("unit").cast(pl.String).is_in(_strange(levels)).fill_null(False))
        .select_seq(
            live=pl.col("meter").cast(pl.String),
            at="observed_at",
            value="value_n",
            came="received_at",
            doubtful=pl.col("quality") != "good",
        )
        .sort("at", "live")
    )
    rows = frame.with_row_index("row").filter(pl.col("live").is_not_null()).sort("interval_start")
    rows = rows.join_asof(known, left_on="interval_start", right_on="at", by="live", check_sortedness=False, coalesce=False)
    age = (pl.col("interval_start") - pl.col("at")).dt.total_microseconds()
    rows = rows.with_columns_seq(held=(age < pl.col("live_max_age_us")).fill_null(False))
    rows = rows.filter((pl.col("live_role") == "use") | (pl.col("held") == (pl.col("live_role") == "losses")))
    rows = _priced(rows, base_us)
    plain = frame.with_row_index("row").filter(pl.col("live").is_null())
    return pl.concat([plain, rows.select_seq(plain.columns)]).sort("row").drop("row")


def _strange(levels: pl.DataFrame) -> list[str]:
    """Units of readings that are no intensity: such readings price nothing."""
    stated = levels["unit"].cast(pl.String).drop_nulls().unique().to_list()
    return [text for text in stated if not _intensity(text)]


def _intensity(text: str) -> bool:
    try:
        return unit(text).base == "kg/kWh"
    except UnitProblem:
        return False


def _priced(rows: pl.DataFrame, base_us: int) -> pl.DataFrame:
    held, alone = pl.col("held"), pl.col("live_gas") == "CO2"
    # value in 1e-9 kg/kWh x share in 1e-18 -> 1e-18 kg/kWh
    said = scale(rows["value"], rows["live_share"], E18 // N).alias("said")
    end = pl.col("interval_start") + pl.duration(microseconds=base_us)
    late = (pl.col("came") - pl.max_horizontal(end, "at")).dt.total_microseconds()
    null = pl.lit(None, dtype=EXACT)
    factors = {f"{gas}_f": null for gas in GASES}
    factors["co2_f"] = pl.when(alone).then("said").otherwise(null)
    factors["unsplit_f"] = pl.when(alone).then(null).otherwise("said")
    factors["co2e_f"] = pl.col("said") + pl.when(alone).then(pl.col("rest_f").fill_null(0)).otherwise(pl.lit(0, dtype=EXACT))
    for gas in ("ch4_f", "n2o_f"):
        factors[gas] = pl.when(alone).then(gas).otherwise(null)
    mixed = alone & (pl.col("ch4_f").is_not_null() | pl.col("n2o_f").is_not_null())
    version = pl.when("live_whole").then(pl.lit(f"{LIFE_CYCLE};{LIVE}")).otherwise(pl.lit(LIVE))
    facts = {
        **factors,
        "priced": pl.lit(True),
        "factor_id": pl.when(mixed).then(_both(pl.col("live"), pl.col("factor_id"))).otherwise("live"),
        "factor_version": pl.when(mixed).then(_both(version, pl.col("factor_version"))).otherwise(version),
        "published": pl.when(mixed).then("published").otherwise(pl.lit(OPEN, dtype=pl.Int32)),
        "activity_unit": pl.lit("kWh"),
        "suspect": pl.col("suspect") | pl.col("doubtful"),
        "lag_us": pl.max_horizontal("lag_us", late),
    }
    changed = {name: pl.when(held).then(value).otherwise(pl.col(name)) for name, value in facts.items()}
    fallback = pl.col("fallback") | (~held & (pl.col("live_role") == "use"))
    return rows.with_columns_seq(said).with_columns_seq(**changed, fallback=fallback)


def _both(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """The distinct words of two texts, sorted, joined by `;`."""
    words = pl.concat_list(one.str.split(";"), other.fill_null("").str.split(";")).list.unique().list.sort()
    return words.list.eval(pl.element().filter(pl.element() != "")).list.join(";")
