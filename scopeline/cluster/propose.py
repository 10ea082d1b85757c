"""Feed files for messages that no feed reads yet: topics grouped into patterns, formats recognised by the decoders themselves.

A proposal says only what the samples show. A unit is proposed where the format fixes it, or where a name ends with it; what
nobody says stays a comment for the operator. Pure: messages in, text out.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

import ingest
from ingest import topics
from ingest.decoders import DECODERS
from ingest.decoders.decoder import MAX_PAYLOAD, Field, Unreadable, channel_name
from ingest.feeds import filters
from schemas.feed import Feed
from schemas.plant import Plant
from schemas.units import UnitProblem, unit
from scopeline.cluster.propose_values import Value, stamp, values

SELF_NAMING = ("tasmota", "shelly", "zigbee2mqtt", "senml", "influx")
"""Formats that name their values themselves, in the order in which they are tried."""
_GZIP = b"\x1f\x8b"
_SAMPLES = 50
"""Payloads of one topic that are looked at."""


class Seen(NamedTuple):
    """One topic, and what its payloads are."""

    topic: str
    messages: int
    decoder: tuple[str, ...]
    """A chain of decoders; empty: none reads it."""
    values: tuple[Value, ...]
    """Of json and plain: what could be channels."""
    stamp: str | None
    """The observed_at of json, as YAML."""
    each: bool


class Proposal(NamedTuple):
    """A feed that reads some of the topics."""

    feed: str
    topic: str
    topics: int
    messages: int
    text: str
    """The YAML of its file."""
    problem: str | None
    """Why it would not pass as it stands; None: it reads the samples."""
    readings: int


def propose(messages: pl.DataFrame, plant: Plant) -> tuple[list[Proposal], list[Seen]]:
    """MESSAGES -> feeds for what no feed of the plant reads, and the topics that no decoder reads."""
    fresh = messages.filter(
        ~pl.col("topic").is_in(_read(messages["topic"].unique().to_list(), plant)), ~pl.col("topic").str.starts_with("$")
    )
    seen = [_look(topic, group["payload"].to_list()) for (topic,), group in fresh.group_by("topic", maintain_order=True)]
    names = {feed.feed for feed in plant.feeds}
    found = []
    for group in _grouped([one for one in seen if one.decoder]):
        made = _proposal(group, fresh, plant, names)
        names.add(made.feed)
        found.append(made)
    return sorted(found, key=lambda one: (-one.messages, one.feed)), [one for one in seen if not one.decoder]


def _read(known: Iterable[str], plant: Plant) -> list[str]:
    """The topics that a feed of the plant reads or skips already."""
    ours = [topics.parse(text) for feed in plant.feeds for text in (*filters(feed), *feed.skip)]
    return [topic for topic in known if any(one.match(topic) is not None for one in ours)]


def _look(topic: str, payloads: Sequence[bytes]) -> Seen:
    votes: Counter[tuple[str, ...]] = Counter()
    found: dict[str, Value] = {}
    stamps: Counter[str | None] = Counter()
    each = False
    for payload in payloads[:_SAMPLES]:
        chain, opened = (("gzip",), _opened(payload)) if payload[:2] == _GZIP else ((), payload)
        name, document = _decoder(topic, opened)
        votes[(*chain, name) if name else ()] += 1
        if name in ("json", "plain"):
            each = each or isinstance(document, list)
            element = document[0] if isinstance(document, list) and document else document
            for value in values(element, "@" if isinstance(document, list) else "$"):
                found.setdefault(value.path, value)
            stamps[stamp(element, "@" if isinstance(document, list) else "$")] += 1
    best = max(votes, key=lambda chain: (bool(chain), votes[chain]), default=())
    mine = tuple(found.values()) if best[-1:] in (("json",), ("plain",)) else ()
    if best[-1:] == ("json",) and not mine:
        best = ()
    return Seen(topic, len(payloads), best, mine, stamps.most_common(1)[0][0] if stamps else None, each)


def _opened(payload: bytes) -> bytes:
    try:
        return DECODERS["gzip"].open(payload) if DECODERS["gzip"].open else b""
    except Unreadable:
        return b""


def _decoder(topic: str, payload: bytes) -> tuple[str | None, Any]:
    """The decoder that reads a payload, and what it makes of it."""
    if not payload or len(payload) > MAX_PAYLOAD:
        return None, None
    for name in SELF_NAMING:
        decoder = DECODERS[name]
        if decoder.topics and not any(topics.parse(text).match(topic) is not None for text in decoder.topics):
            continue
        if any(_number(field) for field in _fields(name, topic, payload)):
            return name, None
    for name in ("plain", "json"):
        parse = DECODERS[name].parse
        try:
            document = parse(payload, None) if parse else None
        except (Unreadable, ValueError, RecursionError):
            continue
        if (name == "json" and isinstance(document, dict | list)) or (
            name == "plain" and isinstance(document, str) and values(document, "$")
        ):
            return name, document
    return None, None


def _fields(name: str, topic: str, payload: bytes) -> list[Field]:
    decoder = DECODERS[name]
    try:
        document = decoder.parse(payload, None) if decoder.parse else None
        return decoder.fields(document, decoder.place(topic)) if decoder.fields else []
    except (Unreadable, ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError):
        return []


def _number(field: Field) -> bool:
    return isinstance(field.value, str) and bool(values(field.value, "$"))


def _grouped(seen: Iterable[Seen]) -> Iterator[list[Seen]]:
    """Topics that one feed can read: of one format, one shape of topic, one kind of content."""
    groups: dict[Any, list[Seen]] = defaultdict(list)
    for one in seen:
        levels = one.topic.split("/")
        if DECODERS[one.decoder[-1]].topics:
            key: tuple[Any, ...] = (one.decoder,)
        elif one.decoder[-1] == "plain":
            key = (one.decoder, len(levels), levels[0], levels[-1] if _unit_of(levels[-1]) else None)
        else:
            key = (one.decoder, len(levels), levels[0], tuple(sorted(value.path for value in one.values)), one.stamp)
        groups[key].append(one)
    yield from groups.values()


def _proposal(group: list[Seen], messages: pl.DataFrame, plant: Plant, names: set[str]) -> Proposal:
    decoder, preset = group[0].decoder, bool(DECODERS[group[0].decoder[-1]].topics)
    pattern, captured = (
        ("", ("device",)) if preset else _pattern([one.topic for one in group], {s.site for s in plant.settings.sites})
    )
    name = _name(pattern or decoder[-1], decoder[-1], names)
    lines = [f"feed: {name}"]
    if not preset:
        lines.append(f"topic: {json.dumps(pattern, ensure_ascii=False)}")
    lines.append(f"decoder: {decoder[0] if len(decoder) == 1 else '[' + ', '.join(decoder) + ']'}")
    sites = [site.site for site in plant.settings.sites]
    if "site" not in captured:
        lines.append(f"site: {sites[0]}" + ("" if len(sites) == 1 else f"   # check: one of {', '.join(sites)}"))
    if "site" not in captured or captured != ("site", "device"):
        place = [f"{{{one}}}" for one in captured if one != "site"] or [name]
        lines.append(f'meter: "{{site}}/{"/".join(place)}"'.replace("{site}", "{site}" if "site" in captured else sites[0]))
    each = any(one.each for one in group)
    lines += ['each: "$[*]"'] if each else []
    stamps = Counter(one.stamp for one in group).most_common(1)[0][0]
    lines += [f"observed_at: {stamps}"] if stamps else []
    if decoder[-1] in ("json", "plain"):
        lines.append("channels:")
        lines += [
            _channel(one, decoder[-1], pattern) for one in _unique({v.path: v for seen in group for v in seen.values}.values())
        ]
    like = group[0].topic if group[0].topic.isprintable() else "one with control characters"
    head = [f"# topics: {len(group)}, messages: {sum(one.messages for one in group)}, like {like}"]
    text = "\n".join([*head, *lines]) + "\n"
    problem, readings = _tried(text, name, messages.filter(pl.col("topic").is_in([one.topic for one in group])), plant)
    shown = pattern or ", ".join(DECODERS[decoder[-1]].topics)
    return Proposal(name, shown, len(group), sum(one.messages for one in group), text, problem, readings)


def _pattern(known: Sequence[str], sites: set[str]) -> tuple[str, tuple[str, ...]]:
    """One topic filter for topics of one length, and its captures.

    >>> _pattern(["acme/essen/p1/power", "acme/essen/p2/power"], {"essen"})
    ('acme/{site}/{device}/power', ('site', 'device'))
    """
    levels, captured = [], list[str]()
    varying = [set(column) for column in zip(*(topic.split("/") for topic in known), strict=True)]
    others = [number for number, found in enumerate(varying) if len(found) > 1 and not found <= sites]
    for number, found in enumerate(varying):
        if found <= sites and "site" not in captured:
            captured.append("site")
        elif len(found) == 1:
            levels.append(next(iter(found)))
            continue
        else:
            captured.append("device" if number == others[-1] else f"part{others.index(number) + 1}")
        levels.append(f"{{{captured[-1]}}}")
    return "/".join(levels), tuple(captured)


def _name(pattern: str, decoder: str, names: set[str]) -> str:
    words = [word for word in re.split(r"[^a-z0-9]+", re.sub(r"\{[^{}]*\}", "", pattern.lower())) if word]
    text = "-".join(words[:4]) or decoder
    return next(one for one in (text, *(f"{text}-{number}" for number in range(2, 10_000))) if one not in names)


def _unique(found: Iterable[Value]) -> Iterator[tuple[str, Value]]:
    """Each value with a channel name of its own."""
    taken: set[str] = set()
    for value in found:
        short, long = channel_name(value.name), channel_name(value.path.lstrip("$@."))
        name = next(one for one in (short, long, *(f"{long}_{n}" for n in range(2, 10_000))) if one not in taken)
        taken.add(name)
        yield name, value


def _channel(one: tuple[str, Value], decoder: str, pattern: str) -> str:
    name, value = one
    named = pattern.rsplit("/", 1)[-1] if decoder == "plain" else value.name
    if decoder == "plain" and "{" not in named:
        name = channel_name(named)
    place = "" if decoder == "plain" else f", value: {json.dumps(value.path, ensure_ascii=False)}"
    if found := _unit_of(named):
        known, kind = found
        return f"  - {{channel: {name}{place}, unit: {known}, kind: {kind}}}   # by its name, like {value.sample}: check"
    return f"  - {{channel: {name}{place}}}   # like {value.sample}; say unit: and kind:"


_ENDINGS: Mapping[str, tuple[str, str]] = {
    "kwh": ("kWh", "counter"),
    "mwh": ("MWh", "counter"),
    "wh": ("Wh", "counter"),
    "kw": ("kW", "rate"),
    "watts": ("W", "rate"),
    "watt": ("W", "rate"),
    "w": ("W", "rate"),
    "m3": ("m3", "counter"),
    "m3h": ("m3/h", "rate"),
}


def _unit_of(name: str) -> tuple[str, str] | None:
    """Unit and usual kind where the last word of a name is a unit.

    >>> _unit_of("total_kWh"), _unit_of("power_w"), _unit_of("raw")
    (('kWh', 'counter'), ('W', 'rate'), None)
    """
    words = re.split(r"[^A-Za-z0-9]+|(?<=[a-z])(?=[A-Z](?![a-z]*h$))", name)
    found = _ENDINGS.get(words[-1].lower()) if words else None
    if found is None and name.lower().endswith("kwh"):
        found = _ENDINGS["kwh"]
    try:
        return (unit(found[0]).name, found[1]) if found else None
    except UnitProblem:
        return None


def _tried(text: str, name: str, samples: pl.DataFrame, plant: Plant) -> tuple[str | None, int]:
    """What a proposed feed makes of the samples."""
    from scopeline.plant import documents

    try:
        feed = Feed.model_validate(documents.parse(text).data)
        feeds = ingest.compile(plant.model_copy(update={"feeds": (*plant.feeds, feed)}))
    except ValueError as problem:
        return str(problem).splitlines()[0], 0
    done = ingest.decode(samples, feeds, only_feed=name)
    if done.decoded.height:
        return None, done.decoded.height
    said = done.rejects["detail"].drop_nulls()
    return (said[0] if said.len() else "it reads none of the samples"), 0
