"""Amounts and events of meters, brought up to date after readings came, changed or went: only where they can have changed.

Works inside the worker's transaction on what it shows, and writes only the rows that differ.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Protocol

import polars as pl

from processors import collapse
from processors import meters as rules
from schemas.frames import AMOUNTS, EVENTS, READINGS, empty, shaped
from scopeline import windows
from scopeline.log import Log, Working
from scopeline.peaks import Peaks

Needs = Callable[[pl.DataFrame], None]
"""Told (meter, at) before readings of a meter from `at` on are used: raises where the file may lack some of them."""

AMOUNT_KEY = ["meter", "interval_start"]
_NEAR = timedelta(minutes=5)
_REMOVED = {"meter": pl.String, "at": READINGS["observed_at"]}


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
        changed = [empty({name: AMOUNTS[name] for name in AMOUNT_KEY})]
        known = spans.join(meters, on="meter", how="semi")  # the others have no readings left
        for some in rounds(windows.merged(known, gap=windows.NEAR)):
            changed.append(self._round(some, configuration, meters))
        return pl.concat(changed).unique()

    def _round(self, spans: pl.DataFrame, configuration: Any, meters: pl.DataFrame) -> pl.DataFrame:
        """One span a meter: load until the windows and what they need are certain, then compute and write the difference."""
        known = meters.select(
            "meter",
            first="first_observed_at",
            last="last_observed_at",
            stretch=pl.duration(microseconds=pl.col("stretch_us").fill_null(0)),
            eventful=pl.col("eventful").fill_null(False),
        )
        spans = spans.join(known, on="meter", how="inner")
        store = Working(self._log)
        removed = empty(_REMOVED)
        while True:
            spans = self._jittering(spans, store, configuration)
            reach = [self._reach.get(name, _NEAR) for name in spans["meter"]]
            spans = spans.with_columns(reach=pl.Series(reach, dtype=pl.Duration("us")))
            wide = pl.col("reach") + 2 * pl.col("stretch")
            spans = spans.with_columns(loaded_from=pl.col("start") - wide, loaded_to=pl.col("end") + wide)
            if self._needs:
                self._needs(spans.select("meter", at="loaded_from"))
            rows = self._load(store, spans)
            kept = collapse.collapse(rows, store.payloads)
            instants = kept.select(pl.col("meter").cast(pl.String), at="observed_at").unique()
            removed = removed.join(instants, on=["meter", "at"], how="semi")
            whole = {
                "whole_before": pl.col("loaded_from") <= pl.col("first"),
                "whole_after": pl.col("loaded_to") >= pl.col("last"),
            }
            limits = spans.select("meter", "stretch", "loaded_from", "loaded_to", **whole)
            found = windows.bounds(spans.select("meter", "start", "end"), instants, removed, limits, configuration.base_us)
            if found.missing.height:
                for name in found.missing["meter"]:
                    self._reach[name] = 4 * self._reach.get(name, _NEAR)
                continue
            kept, peaks = self._seeded(spans, rows, kept, store, configuration)
            hull = (found.windows["start"].min(), found.windows["end"].max())
            names = pl.Enum(spans["meter"].sort())  # cheaper to compare than texts
            metered = self._measure(kept.cast({"meter": names}), configuration, hull, peaks)
            taken = shaped(metered.events, EVENTS)
            out = taken.filter(pl.col("event").is_in(["spike", "glitch"])).select("meter", "at").unique()
            if not out.join(removed, on=["meter", "at"], how="anti").is_empty():  # what was taken for kept is not: look further
                removed = out
                continue
            return self._write(store, found.windows, shaped(metered.amounts, AMOUNTS), taken)

    def _load(self, store: Working, spans: pl.DataFrame) -> pl.DataFrame:
        """READINGS of the spans' loaded ranges, every version; of events also the versions at other instants."""
        ranges = spans.select("meter", start="loaded_from", end="loaded_to")
        parts = []
        for some in eras(ranges):
            parts.append(store.readings_within(some))
        rows = pl.concat(parts)
        eventful = spans.filter("eventful")["meter"].to_list()
        named = rows.filter(pl.col("meter").is_in(eventful) & pl.col("event").is_not_null()) if eventful else rows.clear()
        if named.height:
            rows = pl.concat([rows, store.readings_named(named.select("meter", "event").unique())]).unique(maintain_order=True)
        return rows

    def _jittering(self, spans: pl.DataFrame, store: Working, configuration: Any) -> pl.DataFrame:
        """Late readings of jittering counters can change everything after them."""
        late = spans.filter(pl.col("end") < pl.col("last"))["meter"].to_list()
        if not late:
            return spans
        found = self._jitters(store.identities(late).filter(pl.col("kind") == "counter"), configuration)
        jittering = [name for name, n in found.items() if n > 0]
        return spans.with_columns(end=pl.when(pl.col("meter").is_in(jittering)).then("last").otherwise("end"))

    def _seeded(
        self, spans: pl.DataFrame, rows: pl.DataFrame, kept: pl.DataFrame, store: Working, configuration: Any
    ) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """What is kept, of jittering counters from a kept reading on, and the peaks (meter, peak_n) with which these start."""
        counters = kept.filter(pl.col("kind") == "counter")
        jitter = self._jitters(counters, configuration)
        jittering = sorted(name for name, n in jitter.items() if n > 0)
        if not jittering:
            return kept, None
        ranges = spans.filter(pl.col("meter").is_in(jittering)).select("meter", start="loaded_from", end="loaded_to")
        out = store.within("events", ranges).filter(pl.col("event").is_in(["spike", "glitch"])).select("meter", observed_at="at")
        left = counters.filter(pl.col("meter").is_in(jittering)).join(out, on=["meter", "observed_at"], how="anti")
        begins = left.group_by("meter").agg(begin=pl.col("observed_at").min())
        seeds = []
        for name, start, first, begin in spans.join(begins, on="meter").select("meter", "start", "first", "begin").iter_rows():
            if begin > first:
                self._peaks.forget(name, start)
                seeds.append(
                    (name, self._peaks.at(store, name, begin, first, jitter[name], lambda r: self._rules(r, configuration)))
                )
        if not seeds:
            return kept, None
        seeded = begins.filter(pl.col("meter").is_in([name for name, _ in seeds]))
        late = rows.join(seeded, on="meter", how="left", maintain_order="left")
        rows = late.filter(pl.col("begin").is_null() | (pl.col("observed_at") >= pl.col("begin"))).drop("begin")
        known = pl.DataFrame(seeds, schema={"meter": pl.String, "peak_n": pl.Int128}, orient="row")
        return collapse.collapse(rows, store.payloads), known

    def _jitters(self, counters: pl.DataFrame, configuration: Any) -> dict[str, int]:
        """Meter -> the greatest jitter of its devices among these readings."""
        identity = counters.select(pl.col(rules.IDENTITY).cast(pl.String), "kind", "channel", "site").unique()
        if any(row not in self._jitter for row in identity.iter_rows()):
            found = self._rules(counters, configuration).rules
            by = {row[:4]: int(row[4]) for row in found.select(*rules.IDENTITY, "jitter_n").iter_rows()}
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
    numbered = spans.sort("meter", "start").with_columns(n=pl.int_range(pl.len()).over("meter"))
    for _, some in numbered.sort("n", maintain_order=True).group_by("n", maintain_order=True):
        yield some.drop("n")


def eras(spans: pl.DataFrame, gap: timedelta = timedelta(days=2)) -> Iterator[pl.DataFrame]:
    """Spans that lie near each other, so that a query reads no more of the table than it must."""
    if spans.height and spans["end"].max() - spans["start"].min() <= gap:  # type: ignore[operator]  # times
        yield spans
        return
    for start, end in windows.merged(spans, by=None, gap=gap).iter_rows():
        yield spans.filter(pl.col("start").is_between(start, end))
