"""Checks of feeds/*.yaml: what the feeds' own compiler refuses, channels, and messages that two feeds would count twice."""

import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations, islice

from ingest import topics
from ingest.decoders import DECODERS
from ingest.feeds import Fault, faults, filters
from schemas.feed import Feed, PeriodRule, TimeRule, UnitRule
from scopeline.check.channels import channel
from scopeline.check.context import REFERENCE, Context, each
from scopeline.check.meters import chain, is_open, pattern_of
from scopeline.check.settings import split
from scopeline.plant.documents import Keys
from scopeline.plant.explain import near

Item = tuple[str, int]


def check(c: Context) -> None:
    """Everything that feeds say of themselves and of each other."""
    c.unique("feeds", "feed", "feed")
    _compiled(c)
    for item, feed in c.items("feeds"):
        _site(c, item, feed)
        _ahead(c, item, feed)
        _elements(c, item, feed)
        if chain(feed)[-1:] == ("csv",) and feed.csv and feed.csv.columns:
            _columns(c, item, feed, feed.csv.columns)
        names: set[str] = set()
        for index, rule in enumerate(feed.channels):
            if rule.channel in names and not rule.where:
                remedy = "rename one, or tell them apart by where:"
                c.error(item, ("channels", index, "channel"), f"the channel {rule.channel} stands twice", remedy)
            names.add(rule.channel)
            channel(c, item, ("channels", index), feed, rule)
    _overlaps(c)
    accuracies = ((item, index) for item, feed in c.items("feeds") for index, rule in enumerate(feed.channels) if rule.accuracy)
    for item, index in islice(accuracies, 1):
        c.note(item, ("channels", index, "accuracy"), "accuracies are checked here; uncertainty is not computed yet")


def _compiled(c: Context) -> None:
    """What the compiler of feeds refuses: topics, decoders, paths, formats, captures."""
    items = {feed.feed: item for item, feed in reversed(list(c.items("feeds")))}
    for fault in dict.fromkeys(faults(c.plant)):
        if fault.key == "meters table" or (fault.key == "site" and "settings" in c.broken):
            continue  # scopeline.check.tables says it, with the row
        message, remedy = split(fault.message)
        c.error(items[fault.feed], _keys(fault.key), message, _hint(c, fault) or remedy)


def _keys(text: str) -> Keys:
    """A key as text -> as a path.

    >>> _keys("channels[2].unit.path")
    ('channels', 2, 'unit', 'path')
    """
    return tuple(int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", text))


def _hint(c: Context, fault: Fault) -> str:
    feed = next(feed for feed in c.plant.feeds if feed.feed == fault.feed)
    if fault.key == "decoder":
        return next((near(name, DECODERS) for name in chain(feed) if name not in DECODERS), "")
    return near(feed.broker, c.plant.settings.brokers) if fault.key == "broker" and feed.broker else ""


def _ahead(c: Context, item: Item, feed: Feed) -> None:
    """A worker that reads the log again from its horizon allows for clocks that are ahead by less than a day."""
    if c.plant.settings.profile == "cluster" and feed.accept.ahead > timedelta(hours=23):
        c.error(item, ("accept", "ahead"), "in a cluster a clock may be ahead by 23 h at most", "write ahead: 23h, or less")


def _site(c: Context, item: Item, feed: Feed) -> None:
    """The site of a message follows from feed and topic alone (the compiler sees to it), and it is one site."""
    first = (feed.meter or "").split("/")[0]
    if feed.site and first and "{" not in first and feed.site in c.sites and first != feed.site and feed.meters is None:
        c.error(item, "site", f"site {feed.site} is not the site of the meter, {first}", "correct one of the two")
    if feed.site == REFERENCE and feed.meter is None:
        return
    by_payload = feed.device is not None and feed.device.startswith(("$", "@"))
    stated = feed.unlisted if feed.meters == "table" else feed.meter or ""
    if c.plant.settings.profile == "cluster" and by_payload and "{device}" in stated.split("/")[0]:
        remedy = "write meter: with the site first, like {site}/{device}"
        c.error(item, "meter", "in a cluster the site of a message must follow from its topic, not its payload", remedy)
    elif c.plant.settings.profile == "cluster" and by_payload and feed.site is None:
        sites = {row.meter.split("/")[0] for row in c.plant.meters if row.feed == feed.feed}
        if "{site}" not in pattern_of(feed) and len(sites) > 1:
            remedy = "give each site a feed with site:, or let its sites share a partition: and a topic level"
            c.error(item, "device", "in a cluster the site of a message must follow from its topic, not its payload", remedy)


def _elements(c: Context, item: Item, feed: Feed) -> None:
    """Paths that start with @ look into an element, which only `each`, csv rows and self-describing formats have."""
    if feed.each is not None or is_open(feed) or chain(feed)[-1:] == ("csv",):
        return
    for path, text in _paths(feed):
        if text.startswith("@"):
            c.error(item, path, f"{text} starts with @, but the feed has no each:", "start it with $, or add each:")


def _columns(c: Context, item: Item, feed: Feed, known: tuple[str, ...]) -> None:
    named = [(path, text) for path, text in _paths(feed) if not text.startswith(("$", "@"))]
    if isinstance(feed.observed_at, TimeRule):
        named += [(("observed_at", "columns"), text) for text in feed.observed_at.columns or ()]
    for path, text in named:
        if text not in known:
            c.error(item, path, f"there is no column {text}", near(text, known) or f"columns: {', '.join(known)}")


def _paths(feed: Feed) -> Iterator[tuple[Keys, str]]:
    """Every path of a feed into the payload, with the key where it stands."""
    if feed.device and "{" not in feed.device:
        yield ("device",), feed.device
    if isinstance(feed.observed_at, TimeRule) and feed.observed_at.path:
        yield ("observed_at", "path"), feed.observed_at.path
    if feed.quality:
        yield ("quality", "path"), feed.quality.path
    for index, rule in enumerate(feed.channels):
        at: Keys = ("channels", index)
        period = rule.period if isinstance(rule.period, PeriodRule) else None
        quality = rule.quality.path if rule.quality else None
        unit = rule.unit.path if isinstance(rule.unit, UnitRule) else None
        single = {"value": rule.value, "event": rule.event, "quality": quality, "unit": unit}
        yield from (((*at, key), text) for key, text in single.items() if text)
        if period:
            yield (*at, "period", "from"), period.from_
            yield (*at, "period", "to"), period.to
        yield from (((*at, "where"), text) for text in rule.where)


def _overlaps(c: Context) -> None:
    """Two feeds of one broker that read the same value of the same message count it twice."""
    default = next(iter(c.plant.settings.brokers), None)
    feeds = [(item, feed, topic) for item, feed in c.items("feeds") for topic in _sound(feed)]
    for (_, a, one), (item, b, other) in combinations(feeds, 2):
        if a is b or (a.broker or default) != (b.broker or default) or not topics.overlaps(one, other):
            continue
        if any(_covers(skip, other) for skip in a.skip) or any(_covers(skip, one) for skip in b.skip):
            continue
        path = "topic" if b.topic is not None else "decoder"
        place = c.places["feeds", c.plant.feeds.index(a)]
        where = f"{a.feed} ({place.file}:{place.line(('topic',))})"
        if chain(a) != chain(b):
            message = (
                f"topics of this feed are read by {where} too, with another decoder: one of the two quarantines each message"
            )
            c.warning(item, path, message, "narrow one topic, or list the topic in skip:")
        elif same := _both(a, b):
            message = f"topics of this feed are read by {where} too: {same} would count twice"
            c.error(item, path, message, "narrow one topic, list it in skip:, or read the value in one of the two only")


def _sound(feed: Feed) -> list[str]:
    """The filters of a feed that can be read."""
    try:
        return [topic for topic in filters(feed) if topics.parse(topic)]
    except ValueError:
        return []


def _covers(wide: str, narrow: str) -> bool:
    """Whether every topic of the narrow filter matches the wide one."""
    a, b = topics.subscription(wide).split("/"), topics.subscription(narrow).split("/")
    for place, level in enumerate(a):
        if level == "#":
            return True
        if place >= len(b) or b[place] == "#" or (level != "+" and level != b[place]):
            return False
    return len(a) == len(b)


def _both(a: Feed, b: Feed) -> str:
    """The values that both feeds read of one message, as text; '' when there is none."""
    if is_open(a) or is_open(b):
        return "its values"
    mine = {(a.each, rule.value) for rule in a.channels if not rule.drop and not rule.where}
    return each(str(rule.value) for rule in b.channels if not rule.drop and not rule.where and (b.each, rule.value) in mine)
