"""Amounts and events of meters, brought up to date after readings came, changed or went: only where they can have changed.

Works inside the worker's transaction on what it shows, and writes only the rows that differ.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Protocol

import polars as pl

from processors import collapse
from processors import meters as rules
from schemas.frames import AMOUNTS, EVENTS, READINGS, TIME, empty, shaped
from scopeline import windows
from scopeline.log import Log, Working
from scopeline.peaks import Peaks

Needs = Callable[[pl.DataFrame], None]
"""Told (meter, at) before readings of a meter from `at` on are used: raises where the file may lack some of them."""

AMOUNT_KEY = ["meter", "interval_start"]
_NEAR = timedelta(minutes=5)
_NONE = empty(READINGS)
_KNOWN = [
    *(pl.col(name) for name in windows.SPAN),
    pl.col("first_observed_at").alias("first"),
    pl.col("last_observed_at").alias("last"),
    pl.duration(microseconds=pl.col("stretch_us").fill_null(0)).alias("stretch"),
    pl.col("eventful").fill_null(False),
]
"""A span with what METERS says of its meter."""


class Measure(Protocol):
    """scopeline.pipeline.measure."""

    def __call__(self, kept: Any, configuration: Any, window: Any, peaks: Any) -> Any: ...


class Remeter:
    """Remembers how far back each meter's neighbours lie, and the peaks of jittering counters; forgets nothing that matters."""

    def __init__(self, log: Log, measure: Measure, needs: Needs | None = None) -> None:
        self._log, self._measure, self._needs = log, measure, needs
        self._reach: dict[str, timedelta] = {}
        self._peaks = Peaks(needs)
        self._jitter: dict[tuple[Any, ...], int] = {}
        self._configuration: Any = None
        self._eventful: set[str] | None = None  # meters that may have events stored

    def forget(self) -> None:
        """After a rollback: what is remembered may not be so."""
        self._peaks.clear()
        self._eventful = None

    def __call__(self, spans: pl.DataFrame, configuration: Any, meters: pl.DataFrame) -> pl.DataFrame:
        """Recompute what readings at these spans (meter, start, end) can change; gives the (meter, interval_start) that did.

        meters: METERS of (at least) these meters, the new readings included.
        """
        if configuration is not self._configuration:
            self._configuration, self._jitter = configuration, {}
            self._peaks.clear()
        changed = []
        near = windows.merged(spans, gap=windows.NEAR)
        known = near.join(meters, on="meter", maintain_order="left").select_seq(_KNOWN)  # the others have no readings left
        for some in rounds(known):
            changed.append(self._round(some, configuration))
        if len(changed) == 1:
            return changed[0]
        return pl.concat([empty({name: AMOUNTS[name] for name in AMOUNT_KEY}), *changed]).unique()

    def _round(self, spans: pl.DataFrame, configuration: Any) -> pl.DataFrame:
        """One span a meter: load until the windows and what they need are certain, then compute and write the difference.

        spans: meter (sorted), start, end, and `_KNOWN` of the meter.
        """
        store = Working(self._log)
        names = pl.Enum(spans["meter"])  # cheaper to compare than texts
        removed = pl.DataFrame(schema={"meter": names, "at": TIME})
        while True:
            spans = self._jittering(spans, store, configuration)
            reach = [self._reach.get(name, _NEAR) for name in spans["meter"]]
            wide = pl.lit(pl.Series(reach, dtype=pl.Duration("us"))) + 2 * pl.col("stretch")
            begin, end = pl.col("start") - wide, pl.col("end") + wide
            spans = spans.with_columns_seq(
                loaded_from=begin, loaded_to=end, whole_before=begin <= pl.col("first"), whole_after=end >= pl.col("last")
            )
            if self._needs:
                self._needs(spans.select_seq("meter", at="loaded_from"))
            rows = self._load(store, spans).cast({"meter": names})
            kept = collapse.collapse(rows, store.payloads)
            instants = kept.select_seq("meter", at="observed_at")
            if kept["event"].null_count() < kept.height:  # several events may share an instant
                instants = instants.unique()
            if removed.height:
                removed = removed.join(instants, on=["meter", "at"], how="semi")
            found = windows.bounds(spans, instants, removed, configuration.base_us)
            if found.missing.height:
                for name in found.missing["meter"]:
                    self._reach[name] = 4 * self._reach.get(name, _NEAR)
                continue
            kept, peaks = self._seeded(spans, rows, kept, store, configuration)
            hull = (found.windows["start"].min(), found.windows["end"].max())
            metered = self._measure(kept, configuration, hull, peaks)
            if metered.events.height:
                out = metered.events.filter(pl.col("event").is_in(["spike", "glitch"]))
                out = out.select_seq(pl.col("meter").cast(names), "at").unique()
                if out.join(removed, on=["meter", "at"], how="anti").height:  # what was taken for kept is not: look further
                    removed = out
                    continue
            return self._write(store, found.windows, shaped(metered.amounts, AMOUNTS), shaped(metered.events, EVENTS))

    def _load(self, store: Working, spans: pl.DataFrame) -> pl.DataFrame:
        """READINGS of the spans' loaded ranges, every version; of events also the versions at other instants."""
        ranges = spans.select_seq("meter", start="loaded_from", end="loaded_to")
        rows = pl.concat([store.readings_within(some) for some in eras(ranges)])
        eventful = spans["meter"].filter(spans["eventful"])
        named = rows.filter(pl.col("meter").is_in(eventful.implode()) & pl.col("event").is_not_null()) if len(eventful) else _NONE
        if named.height:
            rows = pl.concat([rows, store.readings_named(named.select_seq("meter", "event").unique())]).unique(
                maintain_order=True
            )
        return rows

    def _jittering(self, spans: pl.DataFrame, store: Working, configuration: Any) -> pl.DataFrame:
        """Late readings of jittering counters can change everything after them."""
        late = spans["meter"].filter(spans["end"] < spans["last"]).to_list()
        if not late or not configuration.rules.jittering:
            return spans
        found = self._jitters(store.identities(late).filter(pl.col("kind") == "counter"), configuration)
        jittering = [name for name, n in found.items() if n > 0]
        return spans.with_columns_seq(end=pl.when(pl.col("meter").is_in(jittering)).then("last").otherwise("end"))

    def _seeded(
        self, spans: pl.DataFrame, rows: pl.DataFrame, kept: pl.DataFrame, store: Working, configuration: Any
    ) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """What is kept, of jittering counters from a kept reading on, and the peaks (meter, peak_n) with which these start."""
        if not configuration.rules.jittering:
            return kept, None
        counters = kept.filter(pl.col("kind") == "counter").cast({"meter": pl.String})
        jitter = self._jitters(counters, configuration)
        jittering = sorted(name for name, n in jitter.items() if n > 0)
        if not jittering:
            return kept, None
        ranges = spans.filter(pl.col("meter").is_in(jittering)).select_seq("meter", start="loaded_from", end="loaded_to")
        out = (
            store.within("events", ranges)
            .filter(pl.col("event").is_in(["spike", "glitch"]))
            .select_seq("meter", observed_at="at")
        )
        left = counters.filter(pl.col("meter").is_in(jittering)).join(out, on=["meter", "observed_at"], how="anti")
        begins = left.group_by("meter").agg(begin=pl.col("observed_at").min())
        seeds = []
        for name, start, first, begin in (
            spans.join(begins, on="meter").select_seq("meter", "start", "first", "begin").iter_rows()
        ):
            if begin > first:
                self._peaks.forget(name, start)
                seeds.append(
                    (name, self._peaks.at(store, name, begin, first, jitter[name], lambda r: self._rules(r, configuration)))
                )
        if not seeds:
            return kept, None
        seeded = begins.filter(pl.col("meter").is_in([name for name, _ in seeds]))
        late = rows.join(seeded.cast({"meter": rows.schema["meter"]}), on="meter", how="left", maintain_order="left")
        rows = late.filter(pl.col("begin").is_null() | (pl.col("observed_at") >= pl.col("begin"))).drop("begin")
        known = pl.DataFrame(seeds, schema={"meter": pl.String, "peak_n": pl.Int128}, orient="row")
        return collapse.collapse(rows, store.payloads), known

    def _jitters(self, counters: pl.DataFrame, configuration: Any) -> dict[str, int]:
        """Meter -> the greatest jitter of its devices among these readings."""
        identity = counters.select_seq(pl.col(rules.IDENTITY).cast(pl.String), "kind", "channel", "site").unique()
        if any(row not in self._jitter for row in identity.iter_rows()):
            found = self._rules(counters, configuration).rules
            by = {row[:4]: int(row[4]) for row in found.select_seq(*rules.IDENTITY, "jitter_n").iter_rows()}
            self._jitter.update({row: by.get(row[:4], 0) for row in identity.iter_rows()})
        jitter: dict[str, int] = {}
        for row in identity.iter_rows():
            jitter[row[0]] = max(jitter.get(row[0], 0), self._jitter[row])
        return jitter

    @staticmethod
    def _rules(readings: pl.DataFrame, configuration: Any) -> rules.Meters:
        found: rules.Meters = configuration.rules.attributes(readings)
        return found

    def _write(self, store: Working, spans: pl.DataFrame, amounts: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
        """Replace what differs within the windows; the intervals whose amount did."""
        new = windows.within(amounts, spans, "interval_start")
        old = pl.concat([store.within("amounts", some) for some in eras(spans)])
        changed = windows.different(old, new, AMOUNT_KEY)
        self._log.replace("amounts", changed, new.join(changed, on=AMOUNT_KEY, how="semi"))
        self._replace_events(store, spans, windows.within(events, spans, "at"))
        return changed

    def _replace_events(self, store: Working, spans: pl.DataFrame, new: pl.DataFrame) -> None:
        if self._eventful is None:
            self._eventful = store.eventful()
        if new.is_empty() and self._eventful.isdisjoint(spans["meter"]):
            return
        old = pl.concat([store.within("events", some) for some in eras(spans)])
        other = windows.different(old, new, ["meter", "at"])
        self._log.replace("events", other, new.join(other, on=["meter", "at"], how="semi"))
        self._eventful.update(new["meter"])


def rounds(spans: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Spans in rounds, at most one a meter in each, in time order: what lies between two spans of a meter is not loaded."""
    if spans["meter"].n_unique() == spans.height:
        if spans.height:
            yield spans
        return
    numbered = spans.sort("meter", "start").with_columns_seq(n=pl.int_range(pl.len()).over("meter"))
    for _, some in numbered.sort("n", maintain_order=True).group_by("n", maintain_order=True):
        yield some.drop("n")


def eras(spans: pl.DataFrame, gap: timedelta = timedelta(days=2)) -> Iterator[pl.DataFrame]:
    """Spans that lie near each other, so that a query reads no more of the table than it must."""
    if spans.height and spans["end"].max() - spans["start"].min() <= gap:  # type: ignore[operator]  # times
        yield spans
        return
    for start, end in windows.merged(spans, by=None, gap=gap).iter_rows():
        yield spans.filter(pl.col("start").is_between(start, end))
