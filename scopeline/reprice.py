"""Figures of sources, brought up to date after amounts or reference levels changed: only rows that differ are written.

Works inside the worker's transaction on what it shows. Where contracts allocate, windows are whole UTC hours.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl

from processors import collapse
from schemas.frames import FIGURE_KEY, FIGURES, READINGS, TIME, empty, shaped
from scopeline import windows
from scopeline.log import Log, Working

HOUR_US = 3_600_000_000
_ROWS = 300_000
SOURCE_WINDOW = {"source": pl.String, "start": TIME, "end": TIME}

Price = Callable[[pl.DataFrame, pl.DataFrame, pl.DataFrame, Any], pl.DataFrame]
"""scopeline.pipeline.figures."""


class Dependents:
    """Which sources a meter's readings change, and which meters a source needs, under one configuration."""

    def __init__(self, configuration: Any, meters: list[str]) -> None:
        plan = configuration.plan
        self.sources: Mapping[str, list[str]] = {name: sorted(plan.dependents(name)) for name in meters}
        pairs = [(name, source) for name, sources in self.sources.items() for source in sources]
        self.pairs = pl.DataFrame(pairs, schema={"meter": pl.String, "source": pl.String}, orient="row")
        self.align_us = max(configuration.base_us, HOUR_US) if plan.contracts.height else configuration.base_us

    def aligned(self, spans: pl.DataFrame) -> pl.DataFrame:
        """(meter, start, end) of interval starts, end excluded -> (source, start, end), aligned and merged."""
        found = spans.join(self.pairs, on="meter")
        start = windows.floor(pl.col("start"), self.align_us)
        end = windows.floor(pl.col("end") - timedelta(microseconds=1), self.align_us) + timedelta(microseconds=self.align_us)
        return windows.merged(found.select("source", start=start, end=end), by="source")

    def meters_of(self, sources: list[str]) -> list[str]:
        return sorted(self.pairs.filter(pl.col("source").is_in(sources))["meter"].unique())


class Reprice:
    """Computes FIGURES of sources in windows and writes the difference."""

    def __init__(self, log: Log, price: Price) -> None:
        self._log, self._price = log, price

    def __call__(
        self, wanted: pl.DataFrame, configuration: Any, dependents: Dependents, first: pl.DataFrame, compare: bool
    ) -> pl.DataFrame:
        """Bring the windows (source, start, end) up to date; the keys of figures that changed.

        first: (meter, first_observed_at) of every meter seen. compare: look at what is stored, and write only what differs (where
        contracts couple whole hours, and where it matters what changed); else the windows are replaced, and no keys given.
        """
        changed = [empty({name: FIGURES[name] for name in FIGURE_KEY})]
        for part in windows.parts(wanted, self._longest(wanted, configuration.base_us)):
            changed.append(self._part(part, wanted, configuration, dependents, first, compare))
        return pl.concat(changed)

    def _longest(self, wanted: pl.DataFrame, base_us: int) -> timedelta:
        """How long a window may be for about so many rows; whole hours."""
        hours = _ROWS * base_us // HOUR_US // max(1, wanted["source"].n_unique())
        return max(timedelta(microseconds=base_us), timedelta(hours=max(1, hours)))

    def _part(
        self,
        part: windows.Part,
        wanted: pl.DataFrame,
        configuration: Any,
        dependents: Dependents,
        first: pl.DataFrame,
        compare: bool,
    ) -> pl.DataFrame:
        store = Working(self._log)
        meters = dependents.meters_of(part.sources)
        amounts = store.amounts(meters, part.start, part.end)
        since = part.start - timedelta(microseconds=configuration.plan.max_age_us)
        references = [name for name in meters if name.startswith("ref/")]
        levels = empty(READINGS)
        if references:
            levels = store.readings(references, since, part.end).filter(pl.col("kind") == "level")
            levels = collapse.collapse(levels, store.payloads)
        computed = shaped(self._price(amounts, levels, first, _only(configuration, part.sources)), FIGURES)
        mine = wanted.filter(pl.col("source").is_in(part.sources), pl.col("start") < part.end, pl.col("end") > part.start)
        mine = mine.with_columns(
            start=pl.max_horizontal("start", pl.lit(part.start, dtype=TIME)),
            end=pl.min_horizontal("end", pl.lit(part.end, dtype=TIME)),
        )
        new = windows.within(computed, mine, "interval_start", by="source")
        if not compare and not configuration.plan.contracts.height:
            self._log.clear_within("figures", "source", mine, "interval_start")
            self._log.append("figures", new)
            return new.clear().select(FIGURE_KEY)
        old = windows.within(store.figures_within(part.sources, part.start, part.end), mine, "interval_start", by="source")
        changed = windows.different(old, new, list(FIGURE_KEY))
        self._log.replace("figures", changed, new.join(changed, on=FIGURE_KEY, how="semi", nulls_equal=True))
        return changed


def _only(configuration: Any, sources: list[str]) -> Any:
    """The configuration for some of its sources: the others' expressions need not be looked at, unless contracts couple them."""
    plan = configuration.plan
    if plan.contracts.height or len(sources) == len(plan.sources):
        return configuration
    wanted = set(sources)
    return replace(configuration, plan=replace(plan, sources=tuple(s for s in plan.sources if s.source in wanted)))
