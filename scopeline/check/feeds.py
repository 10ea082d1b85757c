"""Checks of feeds/*.yaml: topics, decoders, paths, sites, channels, and messages that two feeds would count twice."""

from itertools import combinations

from ingest import paths, topics
from ingest.decoders import DECODERS
from schemas.feed import Channel, Feed, PeriodRule, TimeRule
from scopeline.check.channels import channel
from scopeline.check.context import REFERENCE, Context, each
from scopeline.check.meters import DEFAULT, captured, chain, is_open, topic_filters
from scopeline.check.settings import split, zone
from scopeline.plant.documents import Keys
from scopeline.plant.explain import near

Item = tuple[str, int]
_FORMATS = ("iso8601", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns")


def check(c: Context) -> None:
    """Everything that feeds say of themselves and of each other."""
    c.unique("feeds", "feed", "feed")
    brokers = c.plant.settings.brokers
    for item, feed in c.items("feeds"):
        if feed.broker and feed.broker not in brokers:
            known = near(feed.broker, brokers) or (
                f"brokers: {', '.join(brokers)}" if brokers else "add it under brokers: in plant.yaml"
            )
            c.error(item, "broker", f"there is no broker {feed.broker}", known)
        readable = _topics(c, item, feed)
        _decoder(c, item, feed)
        _paths(c, item, feed)
        _time(c, item, feed)
        if readable:
            _names(c, item, feed)
            _site(c, item, feed)
        names: set[str] = set()
        for index, rule in enumerate(feed.channels):
            path: Keys = ("channels", index)
            if rule.channel in names and not rule.where:
                c.error(
                    item,
                    (*path, "channel"),
                    f"the channel {rule.channel} stands twice",
                    "rename one, or tell them apart by where:",
                )
            names.add(rule.channel)
            channel(c, item, path, feed, rule)
    _overlaps(c)


def _topics(c: Context, item: Item, feed: Feed) -> bool:
    filters = topic_filters(feed)
    if not filters:
        c.error(item, "topic", "the feed has no topic", "add topic:, like acme/{site}/{device}/SENSOR")
        return False
    good = True
    for key, texts in (("topic", filters), ("skip", feed.skip)):
        for index, text in enumerate(texts):
            try:
                topics.parse(text)
            except ValueError as problem:
                c.error(item, (key, index) if key == "skip" else key, *split(str(problem)))
                good = good and key == "skip"
    return good


def _decoder(c: Context, item: Item, feed: Feed) -> None:
    names = chain(feed)
    for place, name in enumerate(names):
        if name not in DECODERS:
            c.error(item, "decoder", f"there is no decoder {name}", near(name, DECODERS) or f"decoders: {', '.join(DECODERS)}")
        elif place < len(names) - 1 and DECODERS[name].open is None:
            c.error(
                item,
                "decoder",
                f"{name} reads a payload and stands before {names[place + 1]}",
                "write the chain from outside to inside",
            )
        elif place == len(names) - 1 and DECODERS[name].parse is None:
            c.error(item, "decoder", f"{name} only unpacks", f"add what reads the content: [{name}, json]")
    if not names:
        c.error(item, "decoder", "the chain is empty", f"decoders: {', '.join(DECODERS)}")
    elif names[-1] in DECODERS and not is_open(feed) and not feed.channels:
        c.error(item, "channels", f"{names[-1]} does not name its values, and the feed has no channels", "add channels:")
    if feed.csv is not None and "csv" not in names:
        c.warning(item, "csv", "has no effect: the decoder is not csv", "write decoder: csv, or remove csv:")


def _paths(c: Context, item: Item, feed: Feed) -> None:
    """Paths can be read, and `@` stands only where `each` gives elements."""
    tabular = chain(feed)[-1:] == ("csv",)
    if feed.each is not None:
        _path(c, item, ("each",), feed.each, feed, each=True)
    found: list[tuple[Keys, str]] = []
    if feed.device and feed.device.startswith(("$", "@")):
        found.append((("device",), feed.device))
    if isinstance(feed.observed_at, TimeRule) and feed.observed_at.path:
        found.append((("observed_at", "path"), feed.observed_at.path))
    if feed.quality:
        found.append((("quality", "path"), feed.quality.path))
    for index, rule in enumerate(feed.channels):
        found += [((("channels", index, *path)), text) for path, text in _channel_paths(rule, named=is_open(feed))]
    for path, text in found:
        if not (tabular and not text.startswith(("$", "@"))):
            _path(c, item, path, text, feed)
    if tabular and feed.csv and feed.csv.columns:
        _columns(c, item, feed, found)


def _channel_paths(rule: Channel, named: bool) -> list[tuple[Keys, str]]:
    found: list[tuple[Keys, str]] = []
    if rule.value and not (named and not rule.value.startswith(("$", "@"))):
        found.append((("value",), rule.value))
    if rule.event:
        found.append((("event",), rule.event))
    if isinstance(rule.period, PeriodRule):
        found += [(("period", "from"), rule.period.from_), (("period", "to"), rule.period.to)]
    if rule.unit is not None and not isinstance(rule.unit, str):
        found.append((("unit", "path"), rule.unit.path))
    if rule.quality:
        found.append((("quality", "path"), rule.quality.path))
    return found + [(("where", path), path) for path in rule.where]


def _path(c: Context, item: Item, path: Keys, text: str, feed: Feed, *, each: bool = False) -> None:
    try:
        root = paths.parse(text, each=each).root
    except ValueError as problem:
        c.error(item, path, *split(str(problem)))
        return
    if root == "@" and not each and feed.each is None and not is_open(feed) and chain(feed)[-1:] != ("csv",):
        c.error(item, path, f"{text} starts with @, but the feed has no each:", "start it with $, or add each:")


def _columns(c: Context, item: Item, feed: Feed, found: list[tuple[Keys, str]]) -> None:
    known = feed.csv.columns if feed.csv and feed.csv.columns else ()
    named = [(path, text) for path, text in found if not text.startswith(("$", "@"))]
    if isinstance(feed.observed_at, TimeRule) and feed.observed_at.columns:
        named += [(("observed_at", "columns"), text) for text in feed.observed_at.columns]
    for path, text in named:
        if text not in known:
            c.error(item, path, f"there is no column {text}", near(text, known) or f"columns: {', '.join(known)}")


def _time(c: Context, item: Item, feed: Feed) -> None:
    rule = feed.observed_at
    if not isinstance(rule, TimeRule):
        return
    if (rule.path is None) == (rule.columns is None):
        c.error(item, "observed_at", "says neither or both of path and columns", "write path:, or columns: for csv")
    if rule.format not in _FORMATS and "%" not in rule.format:
        remedy = near(rule.format, _FORMATS) or f"write {', '.join(_FORMATS)}, or a pattern like %d.%m.%Y %H:%M"
        c.error(item, ("observed_at", "format"), f"there is no time format {rule.format}", remedy)
    if rule.timezone:
        zone(c, item, ("observed_at", "timezone"), rule.timezone)


def _names(c: Context, item: Item, feed: Feed) -> None:
    """Every {name} in device, meter and unlisted is captured by the topic, or is the feed's site or device."""
    known = {*captured(feed), *(["site"] if feed.site else []), *(["device"] if feed.device else [])}
    texts = {"device": feed.device, "meter": feed.meter}
    if feed.unlisted != "quarantine":
        texts["unlisted"] = feed.unlisted
    if feed.meter is None and feed.meters is None:
        texts["meter"] = DEFAULT
    for key, text in texts.items():
        if text is None or text.startswith(("$", "@")):
            continue
        mine = known - {"device"} if key == "device" else known
        for level in text.split("/"):
            name = level[1:-1] if level.startswith("{") and level.endswith("}") else None
            if name is not None and name not in mine and not (name == "site" and key != "device"):
                where = " (the default meter)" if text == DEFAULT and feed.meter is None else ""
                remedy = f"capture it in topic:, like a/{{{name}}}/b, or write {key}: without it"
                c.error(item, key, f"{{{name}}} is captured nowhere{where}", remedy)
        if key != "device" and ":" in text.rsplit("/", 1)[-1] and not text.endswith("}"):
            c.error(item, key, f"{text} holds a channel", "write the part before the colon; the channel comes from channels:")


def _site(c: Context, item: Item, feed: Feed) -> None:
    """The site of a message follows from feed and topic alone."""
    c.site(item, "site", feed.site)
    if feed.meters == "table":
        return  # the rows say it; scopeline.check.tables looks at them
    first = (feed.meter or DEFAULT).split("/")[0]
    if not first.startswith("{"):
        if first != REFERENCE:
            c.site(item, "meter", first)
        if feed.site and feed.site != first:
            c.error(item, "site", f"site {feed.site} is not the site of the meter, {first}", "correct one of the two")
    elif first == "{site}" and feed.site is None and "site" not in captured(feed):
        remedy = "add site:, capture {site} in the topic, or begin meter: with the site, like duisburg/main"
        c.error(item, "meter", "the site of a message does not follow from feed and topic", remedy)
    elif first != "{site}":
        c.error(item, "meter", f"a meter begins with its site, not with {first}", "write {site}/... or a site's id")


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
        return [topic for topic in topic_filters(feed) if topics.parse(topic)]
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
