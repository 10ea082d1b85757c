"""The `config` of a figure: a hash of only those parts of the plant folder that its computation reads.

Whoever changes another source, feed or contract does not change it; whoever changes what this figure is made of does.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from processors.measured import Meters
from processors.slots import contracts_of, energy_of, grid_region
from processors.sources import Source
from schemas.feed import Feed
from schemas.plant import Plant, Site
from schemas.scalars import Model
from schemas.tables import Contract

LENGTH = 12
"""Hexadecimal digits shown."""

_SHOWN_ONLY = {"name", "tags", "expect"}
"""Parts of a source that change no figure."""


def fingerprint(parts: Any) -> str:
    """sha256 of the canonical JSON of some parts, shortened.

    >>> fingerprint({"b": 1, "a": [2]}) == fingerprint({"a": [2], "b": 1})
    True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


class Fingerprints:
    """Works out the parts of a plant that a source's figures read; answers are kept."""

    def __init__(self, plant: Plant, sources: Sequence[Source], meters: Meters):
        self.plant, self.sources, self.meters = plant, sources, meters
        self._known: dict[str, Any] = {}
        self._activities: dict[str, Any] = {}

    def meter(self, meter: str) -> Any:
        """What is said of a meter: its feeds with the channel, and its rows of the table. Of a pattern: all that can match."""
        if meter not in self._known:
            channel = meter.rpartition(":")[2]
            feeds, rows = self.meters.feeds(meter), self.meters.rows(meter)
            self._known[meter] = {
                "feeds": [_feed(feed, channel) for feed in feeds],
                "table": [{k: v for k, v in _plain(row).items() if k not in _SHOWN_ONLY} for row in rows],
            }
        return self._known[meter]

    def activity(self, source: Source, site: Site) -> Any:
        """What a source's activity reads, apart from its price."""
        if source.source not in self._activities:
            self._activities[source.source] = self._activity(source, site)
        return self._activities[source.source]

    def _activity(self, source: Source, site: Site) -> Any:
        found = self.meters.measured(source)
        return {
            "measured_by": source.measured_by,
            "over": source.over,
            "days": [source.valid_from, source.valid_to, site.timezone],
            "meters": {m: self.meter(m) for m in sorted((*found.meters, *found.patterns))},
            "base": str(self.plant.settings.reporting.base_interval),
        }

    def price(self, source: Source, site: Site, basis: str, scope: int | None) -> Any:
        """What the price of a source's figures reads, apart from the factors themselves."""
        rule = source.factor
        parts: dict[str, Any] = {
            "gwp": self.plant.settings.reporting.gwp,
            "who": [source.source, source.site, source.scope, source.category, source.method, source.biogenic_share],
            "rule": _plain(rule) if rule else None,
        }
        settings = self.plant.settings.reporting
        derived = scope == 3 and source.scope != 3
        if derived:
            parts["derive"] = [source.derive if source.derive is not None else settings.derive, settings.cat_3_basis]
        region = grid_region(self.plant, site) if source.category == "purchased_electricity" else None
        if energy_of(source):
            parts["grid"] = [site.grid_region, _plain(region) if region else None]
        if region and region.intensity and not rule:
            parts["intensity"] = self.meter(region.intensity)
        if basis == "market" or (derived and settings.cat_3_basis == "market"):
            parts["contracts"] = self._contracts(source, site)
        return parts

    def _contracts(self, source: Source, site: Site) -> Any:
        """Contracts couple the purchases of a site: each reads the activity of all and what others cover, not their price."""
        agreed = contracts_of(self.plant, source)
        if not agreed:
            return None
        key = f"contracts {site.site} {energy_of(source)}"
        if key not in self._known:
            coupled = [s for s in self.sources if s.site == source.site and energy_of(s) == energy_of(source)]
            meters = [c.covers.meter for c in agreed if c.covers.meter]
            self._known[key] = fingerprint(
                {
                    "contracts": [_cover(c) for c in sorted(agreed, key=lambda c: c.contract)],
                    "purchases": {s.source: self.activity(s, site) for s in sorted(coupled, key=lambda s: s.source)},
                    "meters": {m: self.meter(m) for m in meters},
                }
            )
        return self._known[key]

    def factor(self, factor_id: str | None, version: str | None) -> Any:
        """A factor as the plant says it: its pinned version, or the rows of an own factor."""
        name = (factor_id or "").partition("/")
        rows = [_plain(f) for f in self.plant.own_factors if name[0] == "own" and f.factor_id == name[2].partition("/")[0]]
        return [factor_id, version, rows]


def _plain(model: Model) -> Mapping[str, Any]:
    return model.model_dump(mode="json", by_alias=True)


def _cover(contract: Contract) -> Any:
    return {key: value for key, value in _plain(contract).items() if key not in ("factor", "evidence")}


def _feed(feed: Feed, channel: str) -> Any:
    """A feed without the channels that do not concern this meter, and without what it is called or where it connects."""
    parts = dict(_plain(feed))
    parts["channels"] = [_plain(c) for c in feed.channels if c.channel == channel]
    return parts
