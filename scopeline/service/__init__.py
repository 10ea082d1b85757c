"""The one door to a plant's data: console, HTTP API and commands all ask here.

`Service` stands on a Host: the running instance (scopeline.runtime), or the data file opened by a command when nothing runs
(`scopeline.service.local`). `scopeline.remote.Remote` offers what commands need with the same names over HTTP.
Every method is safe to call from any thread (each reads through a cursor of its own) and reads one consistent state.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import polars as pl

from schemas.plant import Plant
from schemas.problem import Problem
from scopeline.pipeline import Configuration
from scopeline.query import FigureQuery, QueryError, candidates, figure_query, instant
from scopeline.service import factors as _factors
from scopeline.service import feeds as _feeds
from scopeline.service import health as _health
from scopeline.service import live as _live
from scopeline.service import messages as _messages
from scopeline.service import quarantine as _quarantine
from scopeline.service.figures import Figures
from scopeline.service.host import Host
from scopeline.service.live import Live
from scopeline.trace import Trace, trace

__all__ = ["Host", "Live", "Service"]


class Service:
    """Questions and the few actions of one plant. Frames are polars; times are UTC; unknown is null, never 0."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._live = _live.Cache(host)

    # what is configured -------------------------------------------------------------------------------------------------
    @property
    def plant(self) -> Plant:
        return self.host.configuration.plant

    @property
    def configuration(self) -> Configuration:
        """The compiled plant in force (pipeline.Configuration)."""
        return self.host.configuration

    def about(self) -> dict[str, Any]:
        """organisation, running, position, and sites: site, name, timezone."""
        settings = self.plant.settings
        sites = [{"site": s.site, "name": s.name, "timezone": s.timezone} for s in settings.sites]
        return {
            "organisation": settings.organisation,
            "running": self.host.running,
            "position": self.host.store.position(),
            "sites": sites,
        }

    def problems(self) -> list[Problem]:
        """What the last reading of the plant folder found: errors of an edit that was not taken, warnings, notes."""
        return list(self.host.problems)

    # watching -----------------------------------------------------------------------------------------------------------
    def live(self, by: str = "scope", basis: str = "location") -> Live:
        """The Live page in one value: flows now, kgCO2e/h, today, last 24 h, coverage strip, provisional and final.

        `by`: what the 24 h series is stacked by, `scope` or `source`. Cached until the log moves; cheap to call each second.
        """
        return self._live.get(by, basis)

    def feeds(self) -> list[dict[str, Any]]:
        """One dict a configured feed, plus one with feed None for messages that no feed matched.

        feed, topic, decoder, broker, last_received_at, last_topic, messages, last_hour, rate_per_minute, silent_s, silent (bool),
        decoded, skipped, quarantined, quarantine_reasons {reason: count}, unmatched (of the feed None).
        """
        return _feeds.feeds(self.host)

    def feed(self, feed: str) -> dict[str, Any]:
        """One feed in full: the dict of `feeds()` plus last_payload ({payload} or {payload_base64}), readings and
        rejects of the last message (like `try_`). LookupError when unknown."""
        return _feeds.feed(self.host, feed)

    def ready(self) -> bool:
        """Whether messages come in and the store answers."""
        return _health.ready(self.host)

    def metrics(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Name -> values with labels, as scopeline.api.health.METRICS describes them."""
        return _health.metrics(self.host)

    # figures ------------------------------------------------------------------------------------------------------------
    def query(self, start: str, end: str, **arguments: Any) -> FigureQuery:
        """A question from texts, checked (scopeline.query.figure_query); QueryError names the remedy."""
        return figure_query(self.plant, start, end, **arguments)

    def figures(self, query: FigureQuery) -> Figures:
        """Figures in chunks: iterate once for sorted frames; `facts()` afterwards is what an export's meta file says.

        interval `base`: schemas.frames.OUTPUT plus tag columns, ungrouped; else: period, interval_start, interval_end, the
        grouping columns, basis, and the figure columns that a sum defines. All frames of one call see one state of the log.
        """
        return Figures(self.host, query)

    def figures_frame(self, query: FigureQuery) -> pl.DataFrame:
        """All of them in one frame, for a screen."""
        return Figures(self.host, query).frame()

    def trace(self, source: str, at: datetime, basis: str | None = None) -> Trace:
        """The figure of a source in the base interval that holds `at`, back to its messages. LookupError when there is none."""
        return trace(self.host, source, at, basis)

    def source_instant(self, source: str, at: str) -> datetime:
        """A time as asked for (scopeline.query.moment) as an instant, local times in the zone of the source's site."""
        site = next((s.site for s in self.configuration.plan.sources if s.source == source), None)
        if site is None:
            known = [s.source for s in self.configuration.plan.sources]
            raise QueryError(f"There is no source {source!r}", candidates(source, known, "Sources"))
        return instant(at, "at", self.plant.site(site).timezone)

    def factors(
        self, search: str = "", set: str | None = None, region: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Factors of the catalogue that match, as dicts (see `factor`)."""
        return _factors.search(self.configuration, search, set, region, limit)

    def factor(self, factor_id: str) -> dict[str, Any]:
        """One factor with gases, unit, validity and citation. LookupError when unknown."""
        return _factors.show(self.configuration, factor_id)

    # readings and messages ----------------------------------------------------------------------------------------------
    def meters(self) -> pl.DataFrame:
        """Meters seen: meter, site, kind, unit, first_observed_at, last_observed_at, last_value (base unit), last_received_at."""
        return _messages.meters(self.host)

    def meter(self, meter: str) -> dict[str, Any]:
        """One row of `meters`. LookupError when it has no readings."""
        return _messages.meter(self.host, meter)

    def readings(self, meter: str, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Readings of a meter (collapsed): observed_at, value, unit (base), quality, event, received_at, message, stated unit."""
        return _messages.readings(self.host, meter, start, end)

    def messages(self, start: datetime | None, end: datetime | None, topic: str | None = None) -> Iterator[pl.DataFrame]:
        """The log by received_at: schemas.frames.MESSAGES in the log's order, quarantined ones too; `topic` may hold + and #."""
        return _messages.messages(self.host, start, end, topic)

    def publish(self, topic: str, payload: bytes, received_at: datetime | None = None) -> int:
        """Put a message into the log as if it had come by MQTT; returns its place after the commit. Needs a running instance."""
        return self.host.publish(topic, payload, received_at)

    def try_(self, topic: str, payload: bytes, feed: str | None = None, received_at: datetime | None = None) -> dict[str, Any]:
        """What a message would give, changing nothing: {readings: [...], rejects: [...], outcomes: [...]}.

        A reading: feed, meter, channel, observed_at, value and unit as stated (text), kind, quality, native.
        """
        return _feeds.try_(self.host, topic, payload, feed, received_at)

    # quarantine ---------------------------------------------------------------------------------------------------------
    def quarantine(self, feed: str | None = None, reason: str | None = None, limit: int = 100, offset: int = 0) -> pl.DataFrame:
        """What could not be read, newest first: message, index, feed, meter, observed_at, reason, detail, topic, received_at."""
        return _quarantine.quarantine(self.host, feed, reason, limit, offset)

    def quarantined(self, message: int) -> dict[str, Any]:
        """One message with its payload (payload, or payload_base64), and every reject of it. LookupError when unknown."""
        return _quarantine.quarantined(self.host, message)

    def replay(self, start: datetime, end: datetime) -> dict[str, Any]:
        """Read and compute a range again: {messages, readings, figures, sources: {source: n}}, the last three: what changed."""
        return self.host.replay(start, end)

    def redrive(self, message: int | None = None, feed: str | None = None) -> dict[str, int]:
        """Read quarantined messages again under the configuration in force: {tried, read, still}. All of them by default."""
        _quarantine.known_feed(self.host, feed)
        return self.host.redrive(message, feed)
