"""The whole way from messages to figures, wired from the rooms' pure functions. Service, `compute` and tests all use this."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import polars as pl

import ingest
from ingest.feeds import Feeds
from processors import accept, activity, clean, collapse, meters, plan, price, sources, split, steps
from processors.factors import Catalogue
from schemas.frames import READINGS, REJECTS, shaped
from schemas.plant import Plant

Payloads = Callable[[list[int]], pl.DataFrame]
"""Message ids -> frame (message, topic, payload): asked only where two readings tie (processors.collapse)."""


@dataclass(frozen=True)
class Configuration:
    """A plant, compiled: what every step needs, nothing read at run time."""

    plant: Plant
    catalogue: Catalogue
    feeds: Feeds
    channels: accept.Channels
    rules: meters.Rulebook
    plan: plan.Plan

    @property
    def base_us(self) -> int:
        return round(self.plant.settings.reporting.base_interval.total_seconds() * 1_000_000)


def configure(
    plant: Plant, catalogue: Catalogue, seen: Mapping[str, str] | None = None, before: Configuration | None = None
) -> Configuration:
    """Compile a plant. `seen`: meter -> unit of its readings, of all meters ever seen; `before` spares what did not change."""
    same = before is not None and before.plant == plant
    feeds = before.feeds if same and before else ingest.compile(plant)
    channels = before.channels if same and before else accept.channels(plant)
    rules = before.rules if same and before else meters.Rulebook(plant)
    units = seen or {}
    expanded = sources.expand(plant, sorted(units), units)
    return Configuration(plant, catalogue, feeds, channels, rules, plan.compile(plant, catalogue, expanded))


class Read(NamedTuple):
    readings: pl.DataFrame
    rejects: pl.DataFrame
    outcomes: pl.DataFrame


def read(messages: pl.DataFrame, configuration: Configuration) -> Read:
    """MESSAGES -> READINGS (not yet collapsed), REJECTS and OUTCOMES."""
    decoded = ingest.decode(messages, configuration.feeds)
    readings, refused = accept.accept(decoded.decoded, configuration.channels)
    rejects = pl.concat([shaped(decoded.rejects, REJECTS), shaped(refused, REJECTS)])
    return Read(shaped(readings, READINGS), rejects, decoded.outcomes)


class Metered(NamedTuple):
    amounts: pl.DataFrame
    events: pl.DataFrame
    levels: pl.DataFrame
    clocks: pl.DataFrame


def meter(readings: pl.DataFrame, configuration: Configuration, payloads: Payloads) -> Metered:
    """READINGS of some meters, every version that came -> AMOUNTS by base interval, EVENTS, levels, clocks."""
    kept = collapse.collapse(readings, payloads)
    clocks = kept.group_by(pl.col("site").cast(pl.String)).agg(newest=pl.col("received_at").max())
    return Metered(*measure(kept, configuration), kept.filter(pl.col("kind") == "level"), clocks)


class Measured(NamedTuple):
    amounts: pl.DataFrame
    events: pl.DataFrame


def measure(
    kept: pl.DataFrame,
    configuration: Configuration,
    window: tuple[datetime, datetime] | None = None,
    peaks: pl.DataFrame | None = None,
) -> Measured:
    """Collapsed READINGS -> AMOUNTS by base interval and EVENTS: of whole series, or of a window with context."""
    attributes = configuration.rules.attributes(kept)
    cleaned, taken_out, counters = clean.clean(kept, attributes)
    found, named = steps.steps(cleaned, attributes, peaks, counters)
    return Measured(split.split(found, configuration.base_us, window), pl.concat([taken_out, named]))


def figures(amounts: pl.DataFrame, levels: pl.DataFrame, first: pl.DataFrame, configuration: Configuration) -> pl.DataFrame:
    """AMOUNTS of whole base intervals (whole UTC hours where contracts allocate) -> FIGURES."""
    active = activity.activity(amounts, configuration.plan.sources, first, configuration.base_us)
    return price.price(active, amounts, levels, configuration.plan)
