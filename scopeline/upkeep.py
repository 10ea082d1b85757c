"""Keeps readings, amounts, figures and clocks in step with the log: what the worker does inside its transaction.

Everything stored is a function of the messages and the configuration; here only what a batch, a correction or an edit can have
changed is computed again, by the same pure functions as offline.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

import polars as pl

from schemas.frames import OUTCOMES, READINGS, REJECTS, TIME, empty, shaped
from schemas.plant import Plant
from scopeline import arrivals, windows
from scopeline.log import Log, Working
from scopeline.log.tables import METERS
from scopeline.remeter import Needs, Remeter
from scopeline.reprice import SOURCE_WINDOW, Dependents, Reprice, intervals_of, longest, sources_fingerprints

AT_ONCE = 150_000
"""Source intervals that one transaction computes again; more is pending and follows part by part."""
_TICK = timedelta(microseconds=1)
_LEVELS = {"meter": pl.String, "at": TIME}


class Steps(Protocol):
    """scopeline.pipeline: the pure functions between messages and figures."""

    configure: Any
    read: Any
    measure: Any
    figures: Any


@dataclass(frozen=True)
class State:
    """What is known after the last commit. A new one takes its place when the next commit succeeded."""

    configuration: Any
    dependents: Dependents
    meters: pl.DataFrame
    clocks: pl.DataFrame
    pending: pl.DataFrame  # windows (source, start, end) still to be computed


class Upkeep:
    """All methods but `__init__` and `load` run inside `log.transaction()`; the worker puts `state` back after a rollback."""

    def __init__(self, log: Log, steps: Steps, needs: Needs | None = None) -> None:
        self.log, self.steps = log, steps
        self.store = Working(log)
        self._remeter, self._reprice = Remeter(log, steps.measure, needs), Reprice(log, steps.figures, needs)
        self._stored_for: Any = None  # the configuration whose sources are those of the file
        self.state: State

    def load(self, configuration: Any) -> None:
        """Take up the state of the data file under a configuration that was compiled for the meters in it."""
        meters = self.store.meters()
        dependents = Dependents(configuration, meters["meter"].to_list())
        self.state = State(configuration, dependents, meters, self.store.clocks(), self.store.pending())

    def rolled_back(self, state: State) -> None:
        self.state, self._stored_for = state, None
        self._remeter.forget()

    def reopened(self) -> None:
        """The data file was closed and opened again."""
        self.store, self._stored_for = Working(self.log), None
        self._remeter.forget()
        self.load(self.state.configuration)

    # a batch -------------------------------------------------------------------------------------------------------------
    def add(self, messages: pl.DataFrame, read: Any) -> None:
        """Messages that are in the log for the first time, and what they say (pipeline.Read)."""
        self.log.append("messages", messages)
        self.log.append("outcomes", read.outcomes)
        self.log.count(arrivals.traffic(read.outcomes, messages))
        self.log.append("rejects", read.rejects)
        if read.readings.is_empty():
            return
        known = self.store.readings_known(arrivals.perhaps_known(read.readings, self.state.meters))
        came = arrivals.arrivals(read.readings, known)
        self.log.append("readings", read.readings)
        before = self.state.meters
        self._grow(came.fresh)
        self._clock(came)
        touched = came.fresh
        if touched["event"].null_count() < touched.height:  # what events said before at other instants
            events = touched.filter(pl.col("event").is_not_null()).select_seq("meter", "event").unique()
            touched = pl.concat([touched, known.join(events, on=["meter", "event"], how="semi")])
        self.update(*touching(touched), before)

    def _grow(self, readings: pl.DataFrame) -> None:
        """Take note of the meters; a new one may make new sources."""
        if readings.is_empty():
            return
        rows, named = arrivals.grown(self.state.meters, readings)
        meters = arrivals.replaced(self.state.meters, rows)
        self.log.put("meters", rows)
        self.state = replace(self.state, meters=meters)
        if named:
            self.configure(self.state.configuration.plant)

    def configure(self, plant: Plant) -> None:
        """Compile for this plant and the meters seen."""
        was, seen = self.state.configuration, units_seen(self.state.meters)
        configuration = self.steps.configure(plant, was.catalogue, seen, was)
        self.state = replace(self.state, configuration=configuration, dependents=Dependents(configuration, sorted(seen)))

    def _clock(self, came: arrivals.Arrivals) -> None:
        known, news = self.state.clocks, came.clocks
        if news.is_empty() and not came.earlier:
            return
        if came.earlier:
            other = ~pl.col("site").is_in(came.earlier)
            known, news = pl.concat([known.filter(other), self.store.clocks_of(came.earlier)]), news.filter(other)
        clocks = arrivals.moved(known, news)
        self.log.put("clocks", clocks.filter(pl.col("site").is_in([*news["site"], *came.earlier])))
        self.state = replace(self.state, clocks=clocks)

    # whatever changed ----------------------------------------------------------------------------------------------------
    def update(
        self, spans: pl.DataFrame, levels: pl.DataFrame, before: pl.DataFrame, also: pl.DataFrame | None = None
    ) -> dict[str, int]:
        """Bring amounts and figures up to date; source -> figures that changed (of a correction: where `also` is given).

        spans: (meter, start, end) where readings came, went or changed; levels: (meter, at) of levels that did; before: METERS as
        they were; also: further windows (source, start, end).
        """
        state = self.state
        base = timedelta(microseconds=state.configuration.base_us)
        dirty = []
        days = self.store.days(spans) if windows.long(spans) else None
        for some in windows.slices(spans, days, state.configuration.base_us):
            changed = self._remeter(some, state.configuration, state.meters)
            intervals = changed.select_seq("meter", start="interval_start", end=pl.col("interval_start") + base)
            dirty.append(windows.merged(intervals))
        dirty.append(self._levels(levels))
        wanted = [state.dependents.aligned(pl.concat(dirty)), self._earlier(before), self._other_sources()]
        merged = windows.merged(pl.concat(wanted if also is None else [*wanted, also]), by="source")
        if merged.is_empty():
            return {}
        if intervals_of(merged, state.configuration.base_us) > AT_ONCE:
            self._postpone(pl.concat([state.pending, merged]))
            return {}
        return self._price(merged, compare=also is not None)

    def _price(self, wanted: pl.DataFrame, compare: bool) -> dict[str, int]:
        state = self.state
        first = state.meters.select_seq("meter", "first_observed_at")
        return self._reprice(wanted, state.configuration, state.dependents, first, compare)

    def _postpone(self, pending: pl.DataFrame) -> None:
        self.state = replace(self.state, pending=windows.merged(pending, by="source"))
        self.log.clear("pending")
        self.log.append("pending", self.state.pending)

    def catch_up(self) -> dict[str, int]:
        """Compute a part of what is pending; source -> figures that changed. Until then the old ones stand."""
        state = self.state
        part = next(windows.parts(state.pending, longest(state.pending, state.configuration.base_us)))
        changed = self._price(windows.inside(state.pending, part), compare=True)
        self._postpone(windows.outside(state.pending, part))
        return changed

    def _levels(self, levels: pl.DataFrame) -> pl.DataFrame:
        """Spans of interval starts that may take a reference level that came or changed."""
        if levels.is_empty():
            return empty(windows.SPAN)
        used = [name for name, sources in self.state.dependents.sources.items() if sources]
        mine = levels.filter(pl.col("meter").is_in(used))
        if mine.is_empty():
            return empty(windows.SPAN)
        age = timedelta(microseconds=self.state.configuration.plan.max_age_us)
        spans = windows.merged(mine.select_seq("meter", start="at", end="at"), gap=age)
        near = self.store.readings_within(spans.with_columns_seq(pl.col("end") + age)).filter(pl.col("kind") == "level")
        return windows.held(spans, near.select_seq("meter", at="observed_at").unique(), age)

    def _earlier(self, before: pl.DataFrame) -> pl.DataFrame:
        """Sums expect a meter from its first reading on: where that moved, their coverage did."""
        state = self.state
        summing = state.dependents.summing
        pairs = state.dependents.pairs.filter(pl.col("source").is_in(summing)) if summing else empty(SOURCE_WINDOW)
        if pairs.is_empty():
            return empty(SOURCE_WINDOW)
        was = before.select_seq("meter", was="first_observed_at")
        horizon = state.meters["last_observed_at"].max()
        found = state.meters.join(was, on="meter", how="left").filter(pl.col("meter").is_in(pairs["meter"].implode()))
        found = found.filter(pl.col("was").is_null() | (pl.col("was") != pl.col("first_observed_at")))
        other = pl.col("was").fill_null(pl.lit(horizon, dtype=TIME))
        low, high = pl.min_horizontal("first_observed_at", other), pl.max_horizontal("first_observed_at", other)
        spans = found.select_seq("meter", start=low, end=high + _TICK)
        return state.dependents.aligned(spans).filter(pl.col("source").is_in(summing))

    def _other_sources(self) -> pl.DataFrame:
        """Whole windows of sources that are computed otherwise than what is stored; those that are gone lose their figures."""
        none = empty(SOURCE_WINDOW)
        if self.state.configuration is self._stored_for:
            return none
        self._stored_for = self.state.configuration
        now, stored = sources_fingerprints(self.state.configuration.plan), self.store.fact("sources", {})
        if now == stored:
            return none
        self.log.set("sources", now)
        self.log.remove("figures", "source", [name for name in stored if name not in now])
        other = [name for name, value in now.items() if stored.get(name) != value]
        pairs = self.state.dependents.pairs.filter(pl.col("source").is_in(other))
        extent = self.store.extent(pairs["meter"].unique().to_list())
        base = timedelta(microseconds=self.state.configuration.base_us)
        spans = extent.select_seq("meter", "start", end=pl.col("end") + base)
        found = self.state.dependents.aligned(spans).filter(pl.col("source").is_in(other))
        figures = self.store.extent_of_figures(other)  # what is stored and may have to go
        return windows.merged(pl.concat([found, figures.select_seq("source", "start", end=pl.col("end") + base)]), by="source")

    # reading again -------------------------------------------------------------------------------------------------------
    def reread(self, messages: pl.DataFrame, read: Any) -> pl.DataFrame:
        """Put what messages of the log say now in the place of what they said; the READINGS that came, went or changed."""
        places = messages["message"].to_list()
        old = self.store.readings_of(places)
        other = self._exchange("readings", old, shaped(read.readings, READINGS))
        self._exchange("rejects", self.store.rejects_of(places), shaped(read.rejects, REJECTS))
        outcomes = self.store.outcomes_of(places)
        told = self._exchange("outcomes", outcomes, shaped(read.outcomes, OUTCOMES))
        counted = outcomes.join(told, on="message", how="semi")
        self.log.count(arrivals.traffic(counted, messages).with_columns_seq(messages=-pl.col("messages")))
        self.log.count(arrivals.traffic(shaped(read.outcomes, OUTCOMES).join(told, on="message", how="semi"), messages))
        self.log.uncount()
        return pl.concat([old, shaped(read.readings, READINGS)]).join(other, on="message", how="semi")

    def _exchange(self, table: str, old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
        """Replace the rows of messages where they differ; these messages."""
        other = windows.different(old, new, ["message"])
        self.log.replace(table, other, new.join(other, on="message", how="semi"))
        return other

    def settled(self, names: list[str], spans: pl.DataFrame, levels: pl.DataFrame, also: pl.DataFrame) -> dict[str, int]:
        """After `reread` or an edit: meters, clocks, amounts and figures follow; source -> figures that changed.

        names: meters whose readings came, went or changed; spans, levels: where (see `update`); also: further source windows.
        """
        before = self.state.meters
        rows = self.store.meters_of(names)
        self.log.remove("meters", "meter", names)
        self.log.append("meters", rows)
        kept = before.filter(~pl.col("meter").is_in(names))
        clocks = self.store.clocks_of(None)
        self.log.clear("clocks")
        self.log.append("clocks", clocks)
        self.state = replace(self.state, meters=pl.concat([kept, rows]).sort("meter").select_seq(METERS.keys()), clocks=clocks)
        self._remeter.forget()
        gone = sorted(set(names) - set(rows["meter"]))
        base = timedelta(microseconds=self.state.configuration.base_us)
        lost = Dependents(self.state.configuration, gone).aligned(self.store.extent(gone).with_columns_seq(pl.col("end") + base))
        self.log.remove("amounts", "meter", gone)
        self.log.remove("events", "meter", gone)
        self.configure(self.state.configuration.plant)
        return self.update(spans, levels, before, pl.concat([lost, also]))


def touching(readings: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Where READINGS that came, went or changed touch: spans (meter, start, end), and levels (meter, at)."""
    level = readings["kind"] == "level"
    if not level.any():
        return windows.touched(readings), empty(_LEVELS)
    levels = readings.filter(level).select_seq("meter", at="observed_at").unique()
    return windows.touched(readings.filter(~level)), levels


def units_seen(meters: pl.DataFrame) -> dict[str, str]:
    """Meter -> unit, as pipeline.configure takes them."""
    return dict(meters.select_seq("meter", "named_unit").iter_rows())
