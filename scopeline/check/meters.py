"""Which meters the feeds, the meters table and the virtual meters can give: patterns, since devices are not all known."""

import re
from functools import lru_cache
from typing import NamedTuple

from ingest import topics
from ingest.decoders import DECODERS
from ingest.feeds import filters
from schemas.feed import Channel, Feed, UnitRule
from schemas.plant import Plant
from schemas.units import Unit, UnitProblem, unit
from scopeline.plant.explain import near

_HOLE = re.compile(r"\{[^{}]*\}")
ANY = "\0"
"""In a pattern: any characters, more than one level of a meter's path too (a device that a payload names)."""


class Giver(NamedTuple):
    """Something that gives meters: a pattern of the part before `:channel`, its channels, and whether others may come."""

    pattern: str
    channels: dict[str, Channel | None]
    open: bool
    feed: str | None
    """None: a virtual meter."""
    unit: str | None = None
    """The unit that the meters table or the virtual meter states."""


class Found(NamedTuple):
    """A meter as one giver gives it; kind and units None where only the device knows."""

    giver: Giver
    channel: Channel | None
    kind: str | None
    units: tuple[Unit, ...] | None


class Known(NamedTuple):
    """All givers of a plant."""

    givers: tuple[Giver, ...]

    def find(self, meter: str) -> list[Found]:
        """Who gives a meter, or meters of a pattern with `*`."""
        place, _, name = meter.rpartition(":")
        found = []
        for giver in self.givers:
            if meet(place, giver.pattern):
                named = [channel for channel in giver.channels if meet(name, channel)]
                found += [_found(giver, channel, giver.channels[channel]) for channel in named]
                if not named and giver.open:
                    found.append(_found(giver, name, None))
        return found

    def remedy(self, meter: str) -> str:
        """What to do about a meter that nobody gives."""
        place, _, name = meter.rpartition(":")
        there = [channel for giver in self.givers if meet(place, giver.pattern) for channel in giver.channels]
        if there:
            return near(name, there) or f"channels of {place}: {', '.join(dict.fromkeys(there))}"
        every = [f"{giver.pattern.replace(ANY, '*')}:{channel}" for giver in self.givers for channel in giver.channels or ("*",)]
        given = f"given are: {', '.join(every[:8])}" + (" ..." if len(every) > 8 else "") if every else "add a feed that gives it"
        return near(meter, every) or given


def known(plant: Plant) -> Known:
    """The givers of a plant."""
    givers: list[Giver] = []
    feeds = {feed.feed: feed for feed in plant.feeds}
    for feed in plant.feeds:
        if feed.meters != "table" or feed.unlisted != "quarantine":
            givers.append(Giver(pattern_of(feed), channels(feed), is_open(feed), feed.feed))
    for row in plant.meters:
        of = feeds.get(row.feed)
        if of is not None:
            named = channels(of)
            given = named if row.channel is None else {row.channel: named.get(row.channel)}
            givers.append(Giver(row.meter, given, is_open(of) and row.channel is None, of.feed, row.unit))
    for virtual in plant.virtual_meters:
        place, _, name = virtual.meter.rpartition(":")
        givers.append(Giver(place, {name: None}, False, None, virtual.unit))
    return Known(tuple(givers))


def channels(feed: Feed) -> dict[str, Channel | None]:
    """The channels that a feed declares; a plain payload without any is the channel `value`."""
    if not feed.channels and chain(feed)[-1:] == ("plain",):
        return {"value": Channel(channel="value")}
    return {channel.channel: channel for channel in feed.channels if not channel.drop}


def pattern_of(feed: Feed) -> str:
    """A feed's meter pattern (the part before `:channel`) with `*` for what topics and devices fill in."""
    captured = _captured(feed)
    if feed.meters == "table":
        text = feed.unlisted
    else:
        text = feed.meter or ("{site}/{device}" if feed.device or "device" in captured else f"{{site}}/{feed.feed}")
    if feed.site and "site" not in captured:
        text = text.replace("{site}", feed.site)
    if feed.device and "{" not in feed.device:
        text = text.replace("{device}", ANY)
    return _HOLE.sub("*", text)


def _captured(feed: Feed) -> tuple[str, ...]:
    try:
        return tuple(name for topic in filters(feed) for name in topics.captures(topic))
    except ValueError:
        return ()


def chain(feed: Feed) -> tuple[str, ...]:
    """The decoders of a feed, outermost first."""
    return (feed.decoder,) if isinstance(feed.decoder, str) else feed.decoder


def is_open(feed: Feed) -> bool:
    """Whether the format names values itself, so that channels may come that the feed does not declare."""
    last = chain(feed)[-1] if chain(feed) else ""
    return last in DECODERS and DECODERS[last].fields is not None


def _found(giver: Giver, name: str, channel: Channel | None) -> Found:
    stated = giver.unit if giver.unit else channel.unit if channel else None
    texts = stated.allow if isinstance(stated, UnitRule) else (stated,) if isinstance(stated, str) else None
    try:
        units = None if texts is None else tuple(unit(text) for text in texts)
    except UnitProblem:
        units = None
    kind = "virtual" if giver.feed is None else (channel.kind or (None if giver.open else "level")) if channel else None
    return Found(giver, channel, kind, units)


_STARS = {"*": r"[^/]*", ANY: r".*"}


@lru_cache(maxsize=65536)
def meet(one: str, other: str) -> bool:
    """Whether some text matches both patterns; `*` stands for any characters of one level, ANY for any characters.

    >>> meet("a/*/c", "a/b/*"), meet("a/b", "a/*"), meet("a/b/c", "a/*"), meet("a/b", "a/c")
    (True, True, False, False)
    """
    if not _STARS.keys() & set(one):
        one, other = other, one
    if not _STARS.keys() & set(other):
        return re.fullmatch("".join(_STARS.get(sign) or re.escape(sign) for sign in one), other, re.DOTALL) is not None
    reached, todo = {(0, 0)}, [(0, 0)]
    while todo:
        i, j = todo.pop()
        if i == len(one) and j == len(other):
            return True
        for step in _steps(one[i : i + 1], other[j : j + 1]):
            after = (i + step[0], j + step[1])
            if after not in reached:
                reached.add(after)
                todo.append(after)
    return False


def _steps(a: str, b: str) -> list[tuple[int, int]]:
    """How far two patterns can go on from two signs: a star ends, or takes what the other one has next."""
    steps = [(1, 1)] if a and a == b else []
    for star, sign, ends, takes in ((a, b, (1, 0), (0, 1)), (b, a, (0, 1), (1, 0))):
        if star in _STARS:
            steps.append(ends)
            if sign and (star == ANY or sign != "/"):
                steps.append(takes)
    return steps
