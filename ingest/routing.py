"""Where in the log a message belongs: the sites that its topic speaks of, and the partition key of each.

The sites follow from feed and topic alone, by the rules that name the meters (ingest.naming): whatever `ingest.decode` can find
in a message belongs to one of these sites. What names no site (a device that the meters table does not list) is logged as well.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from ingest import naming
from ingest.ready import Feeds, ReadyFeed
from schemas.plant import Plant

REF = "ref"
"""Site and key of reference feeds, which have a log of their own."""
MOST_TOPICS = 100_000


class Route(NamedTuple):
    """One place of a message in the log: its site (the first of those that share the key) and the partition key."""

    site: str
    key: str


def keys(plant: Plant) -> dict[str, str]:
    """The partition key of each site: its `partition:`, else itself."""
    return {REF: REF, **{site.site: site.partition or site.site for site in plant.settings.sites}}


class Routes:
    """The routes of a plant's topics, remembered: devices publish to the same topics again and again."""

    def __init__(self, feeds: Feeds, plant: Plant) -> None:
        self._feeds, self._keys = feeds, keys(plant)
        first = plant.settings.sites[0].site
        self.fallback = Route(first, self._keys[first])
        self.find = lru_cache(MOST_TOPICS)(self._find)

    def of(self, topic: str, broker: str | None = None) -> tuple[Route, ...]:
        """Where a message on this topic goes, never nowhere; `broker` as in MESSAGES: null is the plant's first."""
        return self.find(topic, broker) or (self.fallback,)

    def _find(self, topic: str, broker: str | None) -> tuple[Route, ...]:
        """Empty where no feed reads the topic."""
        here = broker or self._feeds.first_broker
        found: dict[str, Route] = {}
        for feed in self._feeds.feeds:
            if self._feeds.first_broker is not None and feed.broker != here:
                continue
            captured = next((taken for one in feed.filters if (taken := one.match(topic)) is not None), None)
            if captured is not None:
                for site in sites(feed, captured) or (self._otherwise(feed, captured),):
                    found.setdefault(self._keys[site], Route(site, self._keys[site]))
        return tuple(found.values())

    def _otherwise(self, feed: ReadyFeed, captured: Mapping[str, str]) -> str:
        """Where a message that names no site waits, quarantined, for its meters table to be completed."""
        stated = (captured.get("site"), feed.naming.site, self.fallback.site)
        return next(site for site in stated if site in self._keys)


def sites(feed: ReadyFeed, captured: Mapping[str, str]) -> list[str]:
    """The sites of all meters that a topic's messages can speak of, sorted; empty where none is known."""
    rule = feed.naming
    # where the payload names it: any device of the table, or one that is not listed
    devices = [naming.device_of(rule, captured)] if rule.device_path is None else [*rule.table, "?"]
    found = set()
    for device in devices:
        rows = rule.table.get(device, ()) if device is not None else ()
        for channel in {row.channel or "" for row in rows} | {""}:
            named = naming.names(rule, captured, device, channel)
            found |= set() if isinstance(named, str) else {one.site for one in named}
    return sorted(found)
