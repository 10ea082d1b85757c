"""Feeds made ready: everything that feeds/*.yaml and meters/*.csv say, parsed once, before any message comes."""

from typing import NamedTuple

from ingest import paths, timestamps, topics
from ingest.decoders import DECODERS
from ingest.decoders.decoder import Decoder
from ingest.naming import naming
from ingest.ready import Feeds, ReadyChannel, ReadyFeed, channel_spec
from schemas.feed import Channel, Feed, PeriodRule, TimeRule, UnitRule
from schemas.plant import Plant


class Fault(NamedTuple):
    """What is wrong with a feed: `key` is the place inside it, like channels[2].value."""

    feed: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"feed {self.feed}: {self.key}: {self.message}"


class FeedError(ValueError):
    """A plant whose feeds cannot be compiled; `faults` lists all that is wrong."""

    def __init__(self, faults: list[Fault]):
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def compile(plant: Plant) -> Feeds:
    """Make the feeds of a plant ready; FeedError where they cannot be.

    >>> from schemas.plant import Plant, PlantFile, Site
    >>> plant = Plant(settings=PlantFile(organisation="o", sites=(Site(site="s", timezone="UTC"),)),
    ...               feeds=(Feed(feed="f", topic="s/#/x", site="s", decoder="json"),))
    >>> compile(plant)
    Traceback (most recent call last):
    ingest.feeds.FeedError: feed f: channels: decoder json gives no channels by itself: name them with value: paths
    feed f: topic: '#' must be the last level: write 's/#'
    """
    ready, faults = _all(plant)
    if faults:
        raise FeedError(faults)
    return Feeds(tuple(ready), next(iter(plant.settings.brokers), None), _zones(plant))


def faults(plant: Plant) -> list[Fault]:
    """All that is wrong with the plant's feeds, for `check`; empty where `compile` succeeds."""
    return _all(plant)[1]


def filters(feed: Feed) -> tuple[str, ...]:
    """The topic filters of a feed: its own, or its decoder's default.

    >>> filters(Feed(feed="f", decoder="zigbee2mqtt"))
    ('zigbee2mqtt/{device}', 'zigbee2mqtt/{device}/+')
    """
    if feed.topic is not None:
        return (feed.topic,)
    names = (feed.decoder,) if isinstance(feed.decoder, str) else feed.decoder
    return DECODERS[names[-1]].topics if names and names[-1] in DECODERS else ()


def _zones(plant: Plant) -> dict[str, str]:
    return {"ref": "UTC", **{site.site: site.timezone for site in plant.settings.sites}}


def _all(plant: Plant) -> tuple[list[ReadyFeed], list[Fault]]:
    ready: list[ReadyFeed] = []
    found: list[Fault] = []
    for number, feed in enumerate(plant.feeds):
        reader = _Reader(number, feed, plant)
        one = reader.feed_ready()
        found += reader.faults
        if one is not None:
            ready.append(one)
    return ready, found


class _Reader:
    """Parses one feed and keeps every fault it meets."""

    def __init__(self, number: int, feed: Feed, plant: Plant):
        self.number, self.feed, self.plant = number, feed, plant
        self.faults: list[Fault] = []
        names = (feed.decoder,) if isinstance(feed.decoder, str) else feed.decoder
        self.names = names
        self.csv = bool(names) and names[-1] == "csv"

    def fault(self, key: str, message: object) -> None:
        self.faults.append(Fault(self.feed.feed, key, str(message)))

    def path(self, key: str, text: str | None, *, each: bool = False) -> paths.Path | None:
        if text is None:
            return None
        if self.csv and text[:1] not in ("$", "@"):
            return paths.column(text)
        try:
            return paths.parse(text, each=each)
        except ValueError as error:
            self.fault(key, error)
            return None

    def filters(self, key: str, texts: tuple[str, ...]) -> tuple[topics.Filter, ...]:
        found = []
        for text in texts:
            try:
                found.append(topics.parse(text))
            except ValueError as error:
                self.fault(key, error)
        return tuple(found)

    def feed_ready(self) -> ReadyFeed | None:
        feed = self.feed
        unknown = [name for name in self.names if name not in DECODERS]
        if unknown or not self.names:
            self.fault("decoder", f"there is no decoder {', '.join(unknown)}: use one of {', '.join(DECODERS)}")
            return None
        chain = [DECODERS[name] for name in self.names]
        for name, one in zip(self.names, chain, strict=True):
            if (one.open is None) != (one is chain[-1]):
                self.fault("decoder", f"{name} cannot stand there: a chain opens first and reads last, like [gzip, json]")
                return None
        own = chain[-1]
        if not filters(feed):
            self.fault("topic", f"decoder {self.names[-1]} has no topic by default: write topic:")
        if feed.csv and not self.csv:
            self.fault("csv", "belongs to decoder: csv: take it out")
        each = self.path("each", feed.each, each=True) or (paths.parse("$[*]", each=True) if self.csv else None)
        if feed.each and own.fields:
            self.fault("each", f"decoder {self.names[-1]} finds its readings itself: take each: out")
        stamp = self.stamp(own)
        channels = self.channels(own)
        read = self.filters("topic", filters(feed))
        device = self.path("device", feed.device) if self._device_is_path() else None
        try:
            names = naming(self.plant, feed, read, device, _zones(self.plant))
        except ValueError as error:
            self.fault(*(str(part) for part in error.args))
            return None
        brokers = self.plant.settings.brokers
        if feed.broker and feed.broker not in brokers:
            self.fault(
                "broker", f"there is no broker {feed.broker}: name one of plant.yaml's brokers: {', '.join(brokers) or 'none'}"
            )
        by_native: dict[str, tuple[ReadyChannel, ...]] = {}
        by_channel: dict[str, tuple[ReadyChannel, ...]] = {}
        for one_channel in channels:
            if one_channel.value is None:
                native = one_channel.channel.value
                index, key = (by_channel, one_channel.channel.channel) if native is None else (by_native, native)
                index[key] = (*index.get(key, ()), one_channel)
        return ReadyFeed(
            number=self.number,
            feed=feed,
            broker=feed.broker or next(iter(brokers), None),
            filters=read,
            skip=self.filters("skip", feed.skip),
            openers=tuple(chain[:-1]),
            decoder=own,
            each=each,
            stamp=stamp,
            channels=tuple(c for c in channels if c.value is not None and not c.channel.drop),
            by_native=by_native,
            by_channel=by_channel,
            naming=names,
            short=not any(one.open for one in read),
        )

    def _device_is_path(self) -> bool:
        device = self.feed.device
        return device is not None and (device[:1] in ("$", "@") or (self.csv and "{" not in device))

    def stamp(self, own: Decoder) -> tuple[paths.Path, ...]:
        rule = self.feed.observed_at
        if not isinstance(rule, TimeRule):
            return ()
        try:
            timestamps.check(rule.format, rule.timezone)
        except ValueError as error:
            self.fault("observed_at", error)
        if rule.columns:
            if not self.csv:
                self.fault("observed_at.columns", "belongs to decoder: csv: write path: instead")
            return tuple(paths.column(name) for name in rule.columns)
        found = self.path("observed_at.path", rule.path)
        if rule.path is None and own.fields is None:
            self.fault("observed_at", "does not say where the stamp stands: write path: or columns:")
        return (found,) if found else ()

    def channels(self, own: Decoder) -> list[ReadyChannel]:
        declared = self.feed.channels
        if not declared and own.fields is None:
            if self.names[-1] != "plain":
                self.fault("channels", f"decoder {self.names[-1]} gives no channels by itself: name them with value: paths")
                return []
            declared = (Channel.model_validate({"channel": "value"}),)
        return [self.channel(f"channels[{place}]", one, own) for place, one in enumerate(declared)]

    def channel(self, key: str, one: Channel, own: Decoder) -> ReadyChannel:
        value: paths.Path | None = None
        if one.value is None:
            if own.fields is None:
                if self.names[-1] == "plain":
                    value = paths.parse("$")
                else:
                    self.fault(f"{key}.value", "is missing: write the path of the value, like $.energy")
        elif own.fields is None or one.value[:1] in ("$", "@"):
            value = self.path(f"{key}.value", one.value)
        quality = one.quality or self.feed.quality
        period = one.period if isinstance(one.period, PeriodRule) else None
        where = [(self.path(f"{key}.where", path), wanted) for path, wanted in one.where.items()]
        return ReadyChannel(
            channel=one,
            spec=channel_spec(self.number, self.feed, one, value.native if value else one.value or one.channel),
            value=value,
            unit=self.path(f"{key}.unit.path", one.unit.path) if isinstance(one.unit, UnitRule) else None,
            event=self.path(f"{key}.event", one.event),
            start=self.path(f"{key}.period.from", period.from_) if period else None,
            end=self.path(f"{key}.period.to", period.to) if period else None,
            quality=self.path("quality.path", quality.path) if quality else None,
            where=tuple((path, wanted) for path, wanted in where if path is not None),
        )
