"""A bound on series: how many meters of one feed are written to InfluxDB."""

import polars as pl

from schemas.frames import Columns

MEMBERS: Columns = {"feed": pl.String, "meter": pl.String}
"""Meters of feeds."""


class Bound:
    """Admits at most `max_series` meters a feed; whoever is admitted stays. In a batch the first by name come first."""

    def __init__(self, max_series: int, known: pl.DataFrame | None = None) -> None:
        """known: MEMBERS admitted before (from the state), so that a restart admits the same ones."""
        self._most = max_series
        self.members = pl.DataFrame(schema=MEMBERS)
        if known is not None:
            self.admit(known)

    def admit(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows with columns feed and meter -> (those admitted, in their order; MEMBERS refused).

        >>> bound = Bound(2)
        >>> kept, refused = bound.admit(pl.DataFrame({"feed": ["f"] * 4, "meter": ["c", "a", "b", "a"]}))
        >>> kept["meter"].to_list(), refused.rows()
        (['a', 'b', 'a'], [('f', 'c')])
        """
        named = rows.with_columns(pl.col(name).cast(kind) for name, kind in MEMBERS.items())
        asked = named.select(*MEMBERS).unique()
        fresh = asked.join(self.members, on=[*MEMBERS], how="anti", nulls_equal=True).sort(*MEMBERS)
        taken = self.members.group_by("feed").len("taken")
        place = (
            fresh.join(taken, on="feed", how="left", nulls_equal=True, maintain_order="left")
            .with_columns(place=pl.int_range(pl.len()).over("feed") + pl.col("taken").fill_null(0))
            .select(*MEMBERS, fits=pl.col("place") < self._most)
        )
        self.members = pl.concat([self.members, place.filter("fits").select(*MEMBERS)])
        refused = place.filter(~pl.col("fits")).select(*MEMBERS)
        return rows.filter(_inside(named, self.members)), refused


def _inside(rows: pl.DataFrame, members: pl.DataFrame) -> pl.Series:
    there = members.with_columns(inside=pl.lit(True))
    found = rows.select(*MEMBERS).join(there, on=[*MEMBERS], how="left", nulls_equal=True, maintain_order="left")
    return found["inside"].fill_null(False)
