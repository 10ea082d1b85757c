"""Readings of a whole message file in little memory: what repeats from reading to reading is kept once, as a series."""

from collections.abc import Iterator

import polars as pl

from schemas.frames import EXACT, READINGS, Columns, shaped

KEY = ["meter", "site", "feed", "channel", "device", "kind", "unit", "quality"]
_OPTIONAL = ["event", "period_start", "period_end"]
_SMALL = 2**62


class Readings:
    """Collects READINGS frames, about 40 bytes a reading, and gives them back by groups of meters."""

    def __init__(self) -> None:
        self._series = pl.DataFrame(schema={**{name: READINGS[name] for name in KEY}, "series": pl.UInt32})
        self._chunks: list[pl.DataFrame] = []

    def add(self, readings: pl.DataFrame) -> None:
        """Take in a frame of READINGS."""
        if readings.is_empty():
            return
        unknown = readings.select(KEY).unique(maintain_order=True).join(self._series, on=KEY, how="anti", nulls_equal=True)
        if len(unknown):
            more = unknown.with_row_index("series", offset=len(self._series)).select(*KEY, "series")
            self._series = pl.concat([self._series, more])
        small = bool(readings.select((pl.col("value_n").abs() < _SMALL).all()).item())
        numbered = readings.join(self._series, on=KEY, how="left", nulls_equal=True, maintain_order="left")
        self._chunks.append(
            numbered.select(
                "series",
                "observed_at",
                "received_at",
                pl.col("message").cast(pl.UInt32),
                pl.col("index").cast(pl.UInt32),
                pl.col("value_n").cast(pl.Int64 if small else EXACT),
                *(name for name in _OPTIONAL if numbered[name].null_count() < len(numbered)),
            )
        )

    def meters(self) -> dict[str, str]:
        """Meter -> the unit of its readings (the first by name, where payloads state several)."""
        return dict(self._series.group_by("meter").agg(pl.col("unit").min()).sort("meter").iter_rows())

    def first(self) -> pl.DataFrame:
        """Frame (meter, first_observed_at): when each meter begins to speak, which for a period is its start."""
        starts = ({"observed_at", "period_start"}.intersection(chunk.columns) for chunk in self._chunks)
        parts = [
            chunk.group_by("series").agg(first_observed_at=pl.min_horizontal(pl.col(name).min() for name in sorted(names)))
            for chunk, names in zip(self._chunks, starts, strict=True)
        ]
        if not parts:
            return pl.DataFrame(schema={"meter": pl.String, "first_observed_at": READINGS["observed_at"]})
        joined = pl.concat(parts).join(self._series, on="series")
        return joined.group_by("meter").agg(pl.col("first_observed_at").min()).sort("meter")

    def groups(self, limit: int = 1_000_000) -> Iterator[pl.DataFrame]:
        """READINGS of some whole meters at a time, about `limit` rows; a larger meter comes alone. Texts are categories."""
        if not self._chunks:
            return
        sizes = pl.concat([chunk.group_by("series").len() for chunk in self._chunks]).group_by("series").agg(pl.col("len").sum())
        by_meter = self._series.join(sizes, on="series").group_by("meter").agg(pl.col("len").sum(), "series").sort("meter")
        wanted: list[int] = []
        rows = 0
        for _, size, series in by_meter.iter_rows():
            if wanted and rows + size > limit:
                yield self._expand(wanted)
                wanted, rows = [], 0
            wanted += series
            rows += size
        yield self._expand(wanted)

    def _expand(self, series: list[int]) -> pl.DataFrame:
        chosen = pl.Series("series", series, dtype=pl.UInt32)
        parts = [chunk.filter(pl.col("series").is_in(chosen.implode())) for chunk in self._chunks]
        together = pl.concat([part for part in parts if len(part)], how="diagonal_relaxed")
        words = self._series.filter(pl.col("series").is_in(chosen.implode()))
        types: Columns = {name: pl.Categorical() for name in KEY}
        types["meter"] = pl.Enum(sorted(words["meter"].unique().to_list()))
        words = words.with_columns(pl.col(name).cast(dtype) for name, dtype in types.items())
        return shaped(together.join(words, on="series", how="left", maintain_order="left"), {**READINGS, **types})
