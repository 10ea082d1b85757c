"""Figures of sources, brought up to date after amounts or reference levels changed: only rows that differ are written.

Works inside the worker's transaction on what it shows. Where contracts allocate, windows are whole UTC hours.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl

from processors import collapse
from schemas.frames import FIGURE_KEY, FIGURES, READINGS, TIME, empty, instant, shaped
from scopeline import windows
from scopeline.log import Log, Working
from scopeline.remeter import Needs

HOUR_US = 3_600_000_000
_ROWS = 15_000
"""Source intervals in one part, about: some hundred thousand rows of figures and their copies."""
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
        self._meters: dict[str, list[str]] = {}
        for name, source in pairs:
            self._meters.setdefault(source, []).append(name)
        self.align_us = max(configuration.base_us, HOUR_US) if plan.contracts.height else configuration.base_us
        self.summing = [source.source for source in plan.sources if "sum(" in source.measured_by.replace(" ", "")]

    def aligned(self, spans: pl.DataFrame) -> pl.DataFrame:
        """(meter, start, end) of interval starts, end excluded -> (source, start, end), aligned and merged."""
        found = spans.join(self.pairs, on="meter")
        start = windows.floor(pl.col("start"), self.align_us)
        end = windows.floor(pl.col("end") - timedelta(microseconds=1), self.align_us) + timedelta(microseconds=self.align_us)
        return windows.merged(found.select_seq("source", start=start, end=end), by="source")

    def meters_of(self, sources: list[str]) -> list[str]:
        return sorted({meter for source in sources for meter in self._meters.get(source, ())})


class Reprice:
    """Computes FIGURES of sources in windows and writes the difference."""

    def __init__(self, log: Log, price: Price, needs: Needs | None = None) -> None:
        self._log, self._price, self._needs = log, price, needs

    def __call__(
        self, wanted: pl.DataFrame, configuration: Any, dependents: Dependents, first: pl.DataFrame, compare: bool
    ) -> dict[str, int]:
        """Bring the windows (source, start, end) up to date; source -> how many figures changed.

        first: (meter, first_observed_at) of every meter seen. compare: look at what is stored, and write only what differs (where
        contracts couple whole hours, and where it matters what changed); else the windows are replaced, and nothing is counted.
        """
        counts: Counter[str] = Counter()
        for part in windows.parts(wanted, longest(wanted, configuration.base_us)):
            changed = self._part(part, configuration, dependents, first, compare)
            if changed.height:
                counts.update(dict(changed.group_by("source").len().iter_rows()))
        return dict(sorted(counts.items()))

    def _part(
        self,
        part: windows.Part,
        configuration: Any,
        dependents: Dependents,
        first: pl.DataFrame,
        compare: bool,
    ) -> pl.DataFrame:
        store = Working(self._log)
        sources = part.sources
        meters = dependents.meters_of(sources)
        if self._needs:
            self._needs(pl.DataFrame({"meter": meters}, schema={"meter": pl.String}).with_columns_seq(at=instant(part.start)))
        amounts = store.amounts(meters, part.start, part.end)
        since = part.start - timedelta(microseconds=configuration.plan.max_age_us)
        references = [name for name in meters if name.startswith("ref/")]
        levels = empty(READINGS)
        if references:
            levels = store.readings(references, since, part.end).filter(pl.col("kind") == "level")
            levels = collapse.collapse(levels, store.payloads)
        computed = shaped(self._price(amounts, levels, first, _only(configuration, sources)), FIGURES)
        new = windows.within(computed, part.windows, "interval_start", by="source")
        if not compare and not configuration.plan.contracts.height:
            self._log.clear_within("figures", "source", part.windows, "interval_start")
            self._log.append("figures", new)
            return new.clear().select_seq(FIGURE_KEY)
        stored = store.figures_within(sources, part.start, part.end)
        old = windows.within(stored, part.windows, "interval_start", by="source")
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


def longest(wanted: pl.DataFrame, base_us: int) -> timedelta:
    """How long a part of these windows may be for about so many rows; whole hours."""
    hours = _ROWS * base_us // HOUR_US // max(1, wanted["source"].n_unique())
    return max(timedelta(microseconds=base_us), timedelta(hours=max(1, hours)))


def intervals_of(wanted: pl.DataFrame, base_us: int) -> int:
    """How many base intervals of sources lie in windows."""
    return int((wanted["end"] - wanted["start"]).dt.total_microseconds().sum()) // base_us


def sources_fingerprints(plan: Any) -> dict[str, str]:
    """Source -> what decides its figures: expression, factors with their values, contracts, configuration."""
    rows = plan.segments.join(plan.spans.drop("span"), on="segment").drop("segment")
    texts = rows.select_seq(
        "source", text=pl.concat_str([pl.col(name).cast(pl.String).fill_null("~") for name in rows.columns], separator="\x1f")
    )
    found = texts.group_by("source").agg(pl.col("text").sort().str.join("\x1e"))
    expressions = {source.source: source.measured_by for source in plan.sources}
    factors = dict(found.iter_rows())
    return {name: _digest(text, factors.get(name, ""), plan.gwp) for name, text in expressions.items()}


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
