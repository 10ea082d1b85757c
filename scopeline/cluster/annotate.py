"""Events that dashboards show beside figures: hours in which late readings restated them, instants at which a factor changed."""

import polars as pl

from schemas.frames import EVENTS, TIME
from schemas.influx import FACTOR_CHANGED, RESTATED
from scopeline.cluster.sums import SERIES, Asks
from scopeline.log.tables import loaded

EVENT = {"site": pl.String, **{name: EVENTS[name] for name in ("meter", "at", "event", "detail")}}
"""site, meter (here: the source), at, event, detail."""


def restated(output: pl.DataFrame) -> pl.DataFrame:
    """A point for each source and hour in which a figure was restated. output: OUTPUT without provisional figures."""
    found = output.filter(pl.col("status") == "restated")
    hours = found.group_by("site", meter="source", at=pl.col("interval_start").dt.truncate("1h")).agg(n=pl.len())
    detail = pl.format("{} figures restated by late readings", "n")
    return hours.with_columns(event=pl.lit(RESTATED), detail=detail).select(EVENT.keys())


def factors(log: Asks, changed: pl.DataFrame) -> pl.DataFrame:
    """A point for each source and instant from which changed figures (FIGURE_KEY, lost) have another factor than before.

    Live intensities have one factor id, so that an hourly value is no change of factor.
    """
    if changed.is_empty():
        return pl.DataFrame(schema=EVENT)
    series = ", ".join(f'f."{name}"' for name in SERIES)
    same = " AND ".join(f'f."{name}" IS NOT DISTINCT FROM k."{name}"' for name in SERIES)
    spans = changed.group_by(SERIES).agg(a=pl.col("interval_start").min(), b=pl.col("interval_start").max())
    found = log.asked(
        f"""WITH rows AS (SELECT f.site, f.source, f.interval_start, k.a,
            concat_ws(' ', f.factor_id, f.factor_version) AS factor,
            lag(concat_ws(' ', f.factor_id, f.factor_version)) OVER (PARTITION BY {series} ORDER BY f.interval_start) AS before
            FROM figures f JOIN spans k ON {same} WHERE f.interval_start <= k.b AND f.interval_start >= k.a - INTERVAL 2 DAY)
        SELECT site, source AS meter, interval_start AS at, 'factor' AS event,
        string_agg(DISTINCT before || ' -> ' || factor, '; ') AS detail
        FROM rows WHERE interval_start >= a AND factor <> before AND factor <> '' AND before <> ''
        GROUP BY site, source, interval_start ORDER BY ALL""",
        spans=spans.with_columns(pl.col("a", "b").dt.replace_time_zone(None)),
    )
    return loaded(found, {**EVENT, "at": TIME}).with_columns(event=pl.lit(FACTOR_CHANGED))
