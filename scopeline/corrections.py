"""What an edit of the plant folder, a redrive or a replay changes: messages are read again, and all that follows from them.

All functions run inside the worker's transaction.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl

from ingest import topics
from ingest.feeds import filters
from schemas.frames import READINGS, empty
from schemas.plant import Plant
from scopeline import windows
from scopeline.reprice import SOURCE_WINDOW
from scopeline.upkeep import Upkeep, touching

_LEVELS = {"meter": pl.String, "at": READINGS["observed_at"]}


class Change(NamedTuple):
    """What an action did: messages read again, readings that came, went or changed, source -> figures that changed."""

    messages: int
    readings: int
    sources: dict[str, int]

    @property
    def figures(self) -> int:
        """How many figures changed."""
        return sum(self.sources.values())


def feeds_read(plant: Plant) -> dict[str, dict[str, Any]]:
    """Feed -> its topic filters and a hash of all that decides what its messages say."""
    zones = sorted((site.site, site.timezone) for site in plant.settings.sites)
    found = {}
    for feed in plant.feeds:
        rows = [row.model_dump(mode="json") for row in plant.meters if row.feed == feed.feed]
        parts = [feed.model_dump(mode="json", by_alias=True), rows, zones, list(plant.settings.brokers)]
        text = json.dumps(parts, sort_keys=True, default=str)
        found[feed.feed] = {"hash": hashlib.sha256(text.encode()).hexdigest()[:16], "topics": list(filters(feed))}
    return found


def edited(upkeep: Upkeep, plant: Plant, fingerprint: str) -> Change:
    """Put a new configuration in force: what it reads otherwise is read again, what it computes otherwise is computed again."""
    store, before = upkeep.store, upkeep.state.configuration
    upkeep.configure(plant)
    now, stored = feeds_read(plant), store.fact("feeds", {})
    other = sorted(name for name in {*now, *stored} if now.get(name) != stored.get(name))
    base = store.fact("base_us")
    reread = _Reread(upkeep)
    if other:
        wanted = {topic for name in other for entry in (now.get(name), stored.get(name)) if entry for topic in entry["topics"]}
        reread.messages(topics_matching(store.topics(), wanted))
    if base is not None and base != upkeep.state.configuration.base_us:
        for table in ("amounts", "events", "figures"):
            upkeep.log.clear(table)
        reread.whole(upkeep.state.meters["meter"].to_list())
        before = None
    elif other:
        reread.whole(store.meters_fed(other))
    for key, value in (("feeds", now), ("base_us", upkeep.state.configuration.base_us), ("plant", fingerprint)):
        upkeep.log.set(key, value)
    also = empty(SOURCE_WINDOW)
    if before is None:
        also = _everything(upkeep)
    return reread.settle(also)


def redriven(upkeep: Upkeep, message: int | None, feed: str | None) -> dict[str, int]:
    """Read quarantined messages again: {tried, read, still}."""
    store = upkeep.store
    rejects = store.rejects_by(feed) if message is None else store.rejects_of([message])
    places = sorted(rejects["message"].drop_nulls().unique())
    reread = _Reread(upkeep)
    for begin in range(0, len(places), 50_000):
        reread.again(store.messages_at(places[begin : begin + 50_000]))
    reread.settle(empty(SOURCE_WINDOW))
    still = store.rejects_of(places)["message"].n_unique() if places else 0
    return {"tried": len(places), "read": len(places) - still, "still": still}


def replayed(upkeep: Upkeep, start: datetime, end: datetime) -> Change:
    """Read the messages received in [start, end) again, and compute that range again."""
    reread = _Reread(upkeep)
    for messages in upkeep.store.messages(start, end):
        reread.again(messages)
    reread.between(start, end)
    sources = [source.source for source in upkeep.state.configuration.plan.sources]
    align = upkeep.state.dependents.align_us
    first = windows.floor(pl.lit(start, dtype=READINGS["observed_at"]), align)
    last = windows.floor(pl.lit(end, dtype=READINGS["observed_at"]), align)
    return reread.settle(
        pl.DataFrame({"source": sources}, schema={"source": pl.String})
        .with_columns(start=first, end=last)
        .filter(pl.col("start") < pl.col("end"))
    )


class _Reread:
    """Collects where messages that are read again say something else."""

    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep
        self._names: set[str] = set()
        self._spans, self._levels = [empty(windows.SPAN)], [empty(_LEVELS)]
        self._messages = self._readings = 0

    def messages(self, wanted: list[str]) -> None:
        """All messages on these topics."""
        if wanted:
            for messages in self._upkeep.store.messages(topics=wanted):
                self.again(messages)

    def again(self, messages: pl.DataFrame) -> None:
        touched = self._upkeep.reread(messages, self._upkeep.steps.read(messages, self._upkeep.state.configuration))
        self._messages += messages.height
        self._readings += touched.height
        self._names |= set(touched["meter"])
        self._add(*touching(touched))

    def _add(self, spans: pl.DataFrame, levels: pl.DataFrame) -> None:
        self._spans = [windows.merged(pl.concat([*self._spans, spans]), gap=windows.NEAR)]
        self._levels = [pl.concat([*self._levels, levels]).unique()]

    def whole(self, meters: list[str]) -> None:
        """Everything of these meters is computed again."""
        self._within(meters, None, None)

    def between(self, start: datetime, end: datetime) -> None:
        """Everything in this range is computed again."""
        self._within(self._upkeep.state.meters["meter"].to_list(), start, end)

    def _within(self, meters: list[str], start: datetime | None, end: datetime | None) -> None:
        low, high = pl.col("first_observed_at"), pl.col("last_observed_at")
        known = self._upkeep.state.meters.filter(pl.col("meter").is_in(meters))
        stretch = pl.duration(microseconds=pl.col("stretch_us"))
        spans = known.select("meter", "kind", start=low - stretch, end=high + stretch)
        if start is not None and end is not None:
            spans = spans.with_columns(
                start=pl.max_horizontal("start", pl.lit(start, dtype=READINGS["observed_at"])),
                end=pl.min_horizontal("end", pl.lit(end, dtype=READINGS["observed_at"])),
            ).filter(pl.col("start") <= pl.col("end"))
        self._add(spans.filter(pl.col("kind") != "level").select(windows.SPAN.keys()), empty(_LEVELS))

    def settle(self, also: pl.DataFrame) -> Change:
        sources = self._upkeep.settled(sorted(self._names), self._spans[0], self._levels[0], also)
        return Change(self._messages, self._readings, sources)


def topics_matching(known: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """The topics that one of the filters matches.

    >>> topics_matching(["a/b", "c"], ["a/{x}"])
    ['a/b']
    """
    parsed = [topics.parse(text) for text in wanted]
    return sorted(topic for topic in known if any(one.match(topic) is not None for one in parsed))


def _everything(upkeep: Upkeep) -> pl.DataFrame:
    """The whole range of every source."""
    meters = upkeep.state.meters
    span = meters.select("meter", start="first_observed_at", end=pl.col("last_observed_at") + timedelta(microseconds=1))
    return upkeep.state.dependents.aligned(span)
