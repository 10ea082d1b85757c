"""A plant's feeds made ready for decoding: the shapes that `compile` builds once and `decode` reads for every batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from ingest import paths, timestamps, topics
from ingest.decoders.decoder import Decoder, Field, channel_name
from ingest.naming import Naming
from schemas.feed import Channel, Feed, PeriodRule, TimeRule, UnitRule


@dataclass(frozen=True, eq=False, slots=True)
class Spec:
    """What is the same for every reading of one channel, or of one field of a preset."""

    feed: int
    channel: str
    native: str
    kind: str
    unit: str | None = None
    scale: Decimal = Decimal(1)
    allow: tuple[str, ...] | None = None  # units that a payload may state; () is any
    time_format: str | None = None  # null: received_at
    zone: str | None = None
    stamped: bool = False  # a missing stamp is an error, not received_at
    period_us: int | None = None
    periods: bool = False
    event: bool = False
    good: tuple[Any, ...] | None = None
    optional: bool = False  # text and null are no reading, not an error: undeclared fields


@dataclass(frozen=True, eq=False, slots=True)
class ReadyChannel:
    """A channel of a feed with its paths parsed. `value` is None where a preset's field gives it."""

    channel: Channel
    spec: Spec
    value: paths.Path | None
    unit: paths.Path | None
    event: paths.Path | None
    start: paths.Path | None
    end: paths.Path | None
    quality: paths.Path | None
    where: tuple[tuple[paths.Path, Any], ...]


@dataclass(frozen=True, eq=False)
class ReadyFeed:
    """One feed made ready."""

    number: int
    feed: Feed
    broker: str | None
    filters: tuple[topics.Filter, ...]
    skip: tuple[topics.Filter, ...]
    openers: tuple[Decoder, ...]
    decoder: Decoder
    each: paths.Path | None
    stamp: tuple[paths.Path, ...]  # csv columns: several, joined by a blank
    channels: tuple[ReadyChannel, ...]
    by_native: Mapping[str, tuple[ReadyChannel, ...]]
    by_channel: Mapping[str, tuple[ReadyChannel, ...]]
    naming: Naming
    short: bool  # short native names are certain: no level of the topic is open
    specs: dict[Any, Spec] = field(default_factory=dict)

    def spec(self, declared: ReadyChannel | None, found: Field) -> Spec:
        """The spec of a preset's field, as declared or by itself."""
        key = (declared and declared.spec, found.native, found.channel, found.unit, found.stamp_format)
        spec = self.specs.get(key)
        if spec is None:
            if len(self.specs) > 10_000:  # names come from devices
                self.specs.clear()
            spec = self.specs[key] = _preset_spec(self, declared, found)
        return spec


@dataclass(frozen=True, eq=False)
class Feeds:
    """All feeds of a plant made ready."""

    feeds: tuple[ReadyFeed, ...]
    first_broker: str | None
    zones: Mapping[str, str]  # by site
    routes: dict[tuple[str | None, str], tuple[Any, ...]] = field(default_factory=dict)
    named: dict[tuple[Any, ...], list[tuple[Any, ...]]] = field(default_factory=dict)  # ingest.readings: what a topic names


def channel_spec(number: int, feed: Feed, one: Channel, native: str, found: Field | None = None) -> Spec:
    """What a channel's readings have in common; `found` is the field of a preset that gives them."""
    rule = feed.observed_at
    own = found is not None and found.stamp is not None
    explicit = isinstance(rule, TimeRule) and (rule.path is not None or rule.columns is not None)
    time_format: str | None = None
    if isinstance(rule, TimeRule):
        stated = rule.format if explicit or "format" in rule.model_fields_set else None
        time_format = stated or (found.stamp_format if found else "iso8601")
    elif rule is None and found is not None:
        time_format = found.stamp_format
    length = None if isinstance(one.period, PeriodRule) else one.period
    quality = one.quality or feed.quality
    return Spec(
        feed=number,
        channel=one.channel,
        native=native,
        kind=one.kind or (found.kind if found else "level"),
        unit=one.unit if isinstance(one.unit, str) else None if one.unit else found.unit if found else None,
        scale=one.scale,
        allow=one.unit.allow if isinstance(one.unit, UnitRule) else () if found and one.unit is None else None,
        time_format=time_format if explicit or own or found is not None else None,
        zone=rule.timezone if isinstance(rule, TimeRule) else None,
        stamped=explicit,
        period_us=None if length is None else length // timestamps.MICROSECOND,
        periods=isinstance(one.period, PeriodRule),
        event=one.event is not None,
        good=quality.good if quality else None,
    )


def _preset_spec(feed: ReadyFeed, declared: ReadyChannel | None, found: Field) -> Spec:
    if declared is not None:
        return channel_spec(feed.number, feed.feed, declared.channel, found.native, found)
    bare = Channel.model_validate({"channel": found.channel or channel_name(found.native)})
    return replace(channel_spec(feed.number, feed.feed, bare, found.native, found), optional=True)
