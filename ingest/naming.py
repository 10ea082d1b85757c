"""Which meter a device's channel is: by the feed's pattern, or by the meters table with its dates.

A meter is `<site>/<path>:<channel>`. Names that come from topics and payloads are percent-encoded for `%`, `[`, `]`, white space
and control characters; a channel holds no `:`, so a meter splits at its last colon whatever a device is called.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import quote

from ingest import timestamps
from ingest.paths import Path
from ingest.topics import Filter
from schemas.feed import Feed
from schemas.plant import Plant

_HOLE = re.compile(r"\{([^{}]*)\}")


class Row(NamedTuple):
    """One row of the meters table, with its dates as microseconds of UTC."""

    channel: str | None
    meter: str
    site: str
    unit: str | None
    scale: Decimal
    start_us: int | None
    end_us: int | None


class Naming(NamedTuple):
    """How one feed names its meters."""

    device: str | None  # text with {captures}; None: a path, or no device
    device_path: Path | None
    pattern: str | None  # None: quarantine what the table does not list
    table: Mapping[str, tuple[Row, ...]]
    site: str | None
    zones: Mapping[str, str]


class Named(NamedTuple):
    """A meter that a device's channel may be, from start to end (exclusive)."""

    site: str
    meter: str
    zone: str
    unit: str | None = None
    scale: Decimal = Decimal(1)
    start_us: int | None = None
    end_us: int | None = None


def encode(name: str) -> str:
    """A device's name as part of a meter.

    >>> encode("pump 7%[a]"), encode("a:b")
    ('pump%207%25%5Ba%5D', 'a:b')
    """
    if name.isalnum():
        return name
    return "".join(quote(c, safe="") if c in "%[]" or c.isspace() or c < " " or c == "\x7f" else c for c in name)


def naming(plant: Plant, feed: Feed, filters: tuple[Filter, ...], device_path: Path | None, zones: Mapping[str, str]) -> Naming:
    """Parse a feed's device, meter and table; a ValueError carries key and message."""
    captured = set.intersection(*(set(one.captures) for one in filters)) if filters else set()
    device = feed.device if device_path is None else None
    if feed.device is None and "device" in captured:
        device = "{device}"
    _holes("device", device or "", captured)
    rows = _table(plant, feed, zones)
    if feed.meters == "table":
        pattern = None if feed.unlisted == "quarantine" else feed.unlisted
        key = "unlisted"
    else:
        has_device = device is not None or device_path is not None
        pattern = feed.meter or ("{site}/{device}" if has_device else f"{{site}}/{feed.feed}")
        key = "meter"
    known = set(captured)
    if feed.site is not None:
        known.add("site")
    if device is not None or device_path is not None:
        known.add("device")
    if feed.meters == "table" and "device" not in known:
        raise ValueError(
            "device", "meters: table needs to know the device: capture {device} in the topic, or write device: with a path"
        )
    if feed.site is not None and feed.site not in zones:
        raise ValueError("site", f"there is no site {feed.site}: name one of plant.yaml's sites: {', '.join(zones)}")
    if pattern is not None:
        _holes(key, pattern, known)
        if ":" in _HOLE.sub("", pattern):
            raise ValueError(key, f"{pattern!r} holds ':': write the part before the channel only")
        first = pattern.split("/")[0]
        if "/" not in pattern:
            raise ValueError(key, f"{pattern!r} has no path: write <site>/<path>, like {{site}}/press/{{device}}")
        if "{" not in first and first not in zones:
            raise ValueError(key, f"there is no site {first}: name one of plant.yaml's sites: {', '.join(zones)}")
    return Naming(device, device_path, pattern, rows, feed.site, zones)


def _holes(key: str, text: str, known: set[str]) -> None:
    for hole in _HOLE.findall(text):
        if hole not in known:
            remedy = "write site:, or capture {site} in the topic" if hole == "site" else f"capture {{{hole}}} in the topic"
            raise ValueError(key, f"{text!r} needs {{{hole}}}, which nothing gives: {remedy}")


def _table(plant: Plant, feed: Feed, zones: Mapping[str, str]) -> dict[str, tuple[Row, ...]]:
    found: dict[str, tuple[Row, ...]] = {}
    for row in plant.meters:
        if row.feed != feed.feed:
            continue
        site = row.site or row.meter.split("/")[0]
        zone = zones.get(site, "UTC")
        dates = []
        for column, stated in (("valid_from", row.valid_from), ("valid_to", row.valid_to)):
            at = timestamps.instant(stated, zone) if stated else None
            if stated and at is None:
                raise ValueError(
                    "meters table", f"device {row.device}: {column} {stated!r} is no time: write 2026-03-01 or iso8601"
                )
            dates.append(at)
        scale = row.scale if row.scale is not None else Decimal(1)
        found[row.device] = (*found.get(row.device, ()), Row(row.channel, row.meter, site, row.unit, scale, *dates))
    return found


def names(rule: Naming, captured: Mapping[str, str], device: str | None, channel: str) -> list[Named] | str:
    """The meters that a device's channel is, table rows first, the pattern last; text says why there is none."""
    found = []
    rows = rule.table.get(device, ()) if device is not None else ()
    own = [row for row in rows if row.channel == channel]
    for row in own or [row for row in rows if row.channel is None]:
        if row.site not in rule.zones:
            return f"the meters table puts {device} at site {row.site}, which is not in plant.yaml: add the site"
        found.append(
            Named(row.site, f"{row.meter}:{channel}", rule.zones[row.site], row.unit, row.scale, row.start_us, row.end_us)
        )
    if rule.pattern is not None:
        last = _by_pattern(rule, rule.pattern, captured, device, channel)
        if isinstance(last, Named):
            found.append(last)
        elif not found:
            return last
    return found or f"device {device!r} is not in the meters table: add a row, or set unlisted: to a meter pattern"


def _by_pattern(rule: Naming, pattern: str, captured: Mapping[str, str], device: str | None, channel: str) -> Named | str:
    values = {"site": rule.site, **captured}
    if device is not None:
        values["device"] = device
    for hole in _HOLE.findall(pattern):
        if not values.get(hole):
            return f"the name for {{{hole}}} is empty or missing: every device needs a name"
    filled = _HOLE.sub(lambda hole: encode(values[hole[1]] or ""), pattern)
    site = filled.split("/")[0]
    if site not in rule.zones:
        return f"site {site!r} is not in plant.yaml: add it, or set the feed's site:"
    return Named(site, f"{filled}:{channel}", rule.zones[site])


def device_of(rule: Naming, captured: Mapping[str, str]) -> str | None:
    """The device as the topic names it.

    >>> device_of(Naming("{gateway}-{slot}", None, None, {}, None, {}), {"gateway": "g1", "slot": "4"})
    'g1-4'
    """
    return None if rule.device is None else _HOLE.sub(lambda hole: captured[hole[1]], rule.device)
