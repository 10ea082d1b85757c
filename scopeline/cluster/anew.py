"""Series of roll-ups that are told anew as a whole: their source is gone, or tagged otherwise, or another plant folder told them.

Sums of intervals in which a series was silent stand where no figure does, so that no figure that changes leads to them.
"""

import polars as pl

from schemas.frames import FIGURE_KEY, FIGURES, TIME
from scopeline.cluster.replica import Replica
from scopeline.cluster.sums import RECENT, SERIES, SILENCE
from scopeline.log.tables import loaded

_SERIES = {name: FIGURES[name] for name in SERIES}
_NAMES = ", ".join(f'"{name}"' for name in SERIES)


def emptied(replica: Replica, changed: pl.DataFrame) -> pl.DataFrame:
    """SERIES of the changed figures (FIGURE_KEY, lost) that have no figure but those which were lost, or none at all.

    None where the file does not hold all of history: then nobody here knows what else they have.
    """
    lost = changed.filter("lost").select(FIGURE_KEY)
    if lost.is_empty() or replica.reach.complete_from is not None:
        return pl.DataFrame(schema=_SERIES)
    series, figure = (_same(names) for names in (SERIES, FIGURE_KEY))
    found = replica.log.asked(
        f"""SELECT {", ".join(f'l."{name}"' for name in SERIES)} FROM (SELECT DISTINCT {_NAMES} FROM lost) l
        LEFT JOIN figures f ON {series.format("f", "l")} LEFT JOIN lost k ON {figure.format("k", "f")}
        GROUP BY ALL HAVING count(f.source) = count(k.source)""",
        lost=lost.with_columns(pl.col("interval_start").dt.replace_time_zone(None)),
    )
    return loaded(found, _SERIES)


def silence(replica: Replica, series: pl.DataFrame) -> pl.DataFrame:
    """SILENCE of these SERIES: from a figure to the next one or the site's clock, for as long as one is expected."""
    clocks = replica.upkeep.state.clocks.select("site", pl.col("newest").dt.replace_time_zone(None))
    found = replica.log.asked(
        f"""SELECT {_NAMES}, start, least("end", start + INTERVAL {RECENT.days} DAY) AS "end" FROM (
            SELECT {", ".join(f'f."{name}"' for name in SERIES)}, interval_start AS start,
            lead(interval_start, 1, newest) OVER (PARTITION BY {_NAMES_OF_F} ORDER BY interval_start) AS "end"
            FROM figures f JOIN series s ON {_same(SERIES).format("f", "s")} JOIN clocks c ON c.site = f.site
        ) WHERE "end" > start + INTERVAL 15 MINUTE""",
        series=series,
        clocks=clocks,
    )
    return loaded(found, SILENCE)


def coarse(replica: Replica) -> pl.DataFrame:
    """FIGURE_KEY, lost: a quarter of an hour of each series that has figures in it, which is all that sums must know."""
    sql = f"SELECT DISTINCT time_bucket(INTERVAL 15 MINUTE, interval_start) AS interval_start, {_NAMES} FROM figures"
    found = loaded(replica.log.asked(sql), {"interval_start": TIME, **_SERIES})
    return found.select(FIGURE_KEY).with_columns(lost=pl.lit(False))


def _same(names: list[str] | tuple[str, ...]) -> str:
    """Two tables, to be named, agree in these columns; scope and category may be null in both."""
    return " AND ".join(f'{{0}}."{name}" IS NOT DISTINCT FROM {{1}}."{name}"' for name in names)


_NAMES_OF_F = ", ".join(f'f."{name}"' for name in SERIES)
