"""What an edit of the plant folder changes, before it is put in force: feeds, tables, and sources with the time from which on."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import polars as pl

from processors import plan as plans
from processors import sources
from processors.factors import Catalogue
from processors.formula import matches
from processors.periods import day_start
from processors.replacements import instant
from schemas.plant import Plant
from schemas.source import MeterRow
from scopeline.corrections import feeds_read
from scopeline.reprice import sources_fingerprints


class Difference(NamedTuple):
    """One thing that is new, gone or changed. `since`: figures from then on change; None: no figure does."""

    what: str
    name: str
    change: Literal["new", "gone", "changed"]
    since: datetime | None
    detail: str = ""


NAMED = {"virtual_meters": "meter", "contracts": "contract", "budgets": "budget", "rules": "rule"}
ROWS = {"meters": "rows of meters/*.csv", "conversions": "rows of conversions.csv", "own_factors": "rows of factors/*.csv"} | {
    "prices": "rows of prices.csv"
}
EVER = plans.EVER
_PROVENANCE = ("config", "published")
"""Columns of a span that say where a number comes from, and change none."""


def differences(old: Plant | None, new: Plant, catalogue: Catalogue) -> list[Difference]:
    """From the plant in force (None: none yet) to the new one; sources of a `for_each` by the meters that the tables list."""
    return [*_feeds(old, new), *_settings(old, new), *_items(old, new), *_rows(old, new), *_sources(old, new, catalogue)]


def _feeds(old: Plant | None, new: Plant) -> Iterator[Difference]:
    before, after = feeds_read(old) if old else {}, feeds_read(new)
    for name in sorted({*before, *after}):
        topics = ", ".join((after.get(name) or before[name])["topics"])
        if name not in before:
            yield Difference("feed", name, "new", None, f"reads {topics}")
        elif name not in after:
            yield Difference("feed", name, "gone", EVER, f"{topics} is no longer read")
        elif before[name] != after[name] and old:
            edited = [_feed(plant, name) for plant in (old, new)]
            since = EVER if edited[0] != edited[1] else _rows_since(old, new, name)
            yield Difference("feed", name, "changed", since, f"messages on {topics} are read again")


def _feed(plant: Plant, name: str) -> Any:
    zones = sorted((site.site, site.timezone) for site in plant.settings.sites)
    return next(one for one in plant.feeds if one.feed == name), zones, list(plant.settings.brokers)


def _rows_since(old: Plant, new: Plant, feed: str | None = None) -> datetime | None:
    """From when on the rows of the meters table differ: a row that only ends, and the next that begins, from that day on."""
    zones = {site.site: site.timezone for plant in (old, new) for site in plant.settings.sites}
    begun: tuple[dict[Any, MeterRow], ...] = tuple(
        {row.model_copy(update=_ENDS).model_dump_json(): row for row in plant.meters if feed in (None, row.feed)}
        for plant in (old, new)
    )
    found: list[datetime] = []
    for key in {*begun[0], *begun[1]}:
        left, right = begun[0].get(key), begun[1].get(key)
        for one in (left, right):
            if left is None or right is None:
                found += [_at(one.valid_from, one, zones)] if one else []
            elif left != right and one:
                found += [_at(one.valid_to, one, zones)] if one.valid_to else []
    return min(found, default=None)


_ENDS = {"valid_to": None, "last_reading": None}


def _at(text: str | None, row: MeterRow, zones: dict[str, str]) -> datetime:
    return instant(text, zones.get(row.site or row.meter.split("/")[0], "UTC")) if text else EVER


def _settings(old: Plant | None, new: Plant) -> Iterator[Difference]:
    if old is None:
        return
    for key in type(new.settings).model_fields:
        if getattr(old.settings, key) != getattr(new.settings, key):
            yield Difference("plant.yaml", key, "changed", None, "")


def _items(old: Plant | None, new: Plant) -> Iterator[Difference]:
    for field, key in NAMED.items():
        before = {getattr(one, key): one for one in getattr(old, field)} if old else {}
        after = {getattr(one, key): one for one in getattr(new, field)}
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                yield Difference(field.removesuffix("s").replace("_", " "), name, _change(name in before, name in after), None)


def _rows(old: Plant | None, new: Plant) -> Iterator[Difference]:
    for field, what in ROWS.items():
        before, after = (
            Counter(one.model_dump_json() for one in getattr(plant, field)) if plant else Counter() for plant in (old, new)
        )
        if before != after:
            counts = [((after - before).total(), "new"), ((before - after).total(), "gone")]
            yield Difference(what, "", "changed", None, ", ".join(f"{count} {word}" for count, word in counts if count))


def _change(before: bool, after: bool) -> Literal["new", "gone", "changed"]:
    return "changed" if before and after else "new" if after else "gone"


def _sources(old: Plant | None, new: Plant, catalogue: Catalogue) -> Iterator[Difference]:
    after = _plan(new, catalogue)
    if old is None:
        for name, span in _spans(after).items():
            yield Difference("source", name, "new", min(span), _factors(after, name))
        return
    before = _plan(old, catalogue)
    marks = (sources_fingerprints(before), sources_fingerprints(after))
    spans = (_spans(before), _spans(after))
    measured = tuple({one.source: one.measured_by for one in plan.sources} for plan in (before, after))
    tables = [_rows_since(old, new), _contracts_since(old, new)]
    everything = before.base_us != after.base_us
    for name in sorted({*marks[0], *marks[1]}):
        if marks[0].get(name) == marks[1].get(name) and not everything:
            continue
        there = tuple(name in mark for mark in marks)
        if all(there) and (everything or measured[0][name] != measured[1][name]):
            since: datetime | None = EVER
        else:
            dated = [_first_difference(spans[0].get(name, {}), spans[1].get(name, {})), *tables]
            since = min((at for at in dated if at is not None), default=EVER)
        yield Difference("source", name, _change(*there), since, _factors(after if there[1] else before, name))


def _contracts_since(old: Plant, new: Plant) -> datetime | None:
    other = [one for one in (*old.contracts, *new.contracts) if one not in old.contracts or one not in new.contracts]
    zones = {site.site: site.timezone for plant in (old, new) for site in plant.settings.sites}
    return min((day_start(one.valid_from, zones[one.site]) for one in other), default=None)


def _plan(plant: Plant, catalogue: Catalogue) -> plans.Plan:
    return plans.compile(plant, catalogue, sources.expand(plant, _probes(plant), {}))


def _probes(plant: Plant) -> list[str]:
    """Meters over which a `for_each` runs: those that the tables list, else one that stands for all."""
    channels = {feed.feed: [one.channel for one in feed.channels if not one.drop] for feed in plant.feeds}
    listed = [
        f"{row.meter}:{one}" for row in plant.meters for one in ([row.channel] if row.channel else channels.get(row.feed, []))
    ]
    listed += [one.meter for one in plant.virtual_meters]
    found: list[str] = []
    for pattern in (one.for_each for one in plant.sources if one.for_each):
        found += [meter for meter, _ in matches(pattern, listed)] or [pattern.replace("*", "x")]
    return sorted({*found, *listed})


def _spans(plan: plans.Plan) -> dict[str, dict[datetime, frozenset[str]]]:
    """Source -> start of a segment -> what decides its figures from then on."""
    rows = plan.segments.join(plan.spans.drop("span"), on="segment").drop("segment")
    found: dict[str, dict[datetime, set[str]]] = {one.source: {} for one in plan.sources}
    for start, source in plan.segments.select("start", "source").iter_rows():
        found[source].setdefault(start, set())
    names = [name for name in rows.columns if name not in ("source", "start", *_PROVENANCE)]
    texts = rows.select("source", "start", text=pl.concat_str([pl.col(name).cast(pl.String).fill_null("~") for name in names]))
    for source, start, text in texts.iter_rows():
        found[source][start].add(text)
    return {
        source: {start: frozenset(some) for start, some in starts.items()} or {EVER: frozenset()}
        for source, starts in found.items()
    }


def _first_difference(before: dict[datetime, frozenset[str]], after: dict[datetime, frozenset[str]]) -> datetime | None:
    """From when on two step functions differ; None: nowhere.

    >>> a, b = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    >>> _first_difference({a: frozenset("x")}, {a: frozenset("x"), b: frozenset("y")}).year
    2027
    """
    left: frozenset[str] = frozenset()
    right: frozenset[str] = frozenset()
    for at in sorted({*before, *after}):
        left, right = before.get(at, left), after.get(at, right)
        if left != right:
            return at
    return None


def _factors(plan: plans.Plan, source: str) -> str:
    mine = plan.segments.filter(pl.col("source") == source)
    found = (
        plan.spans.filter(pl.col("segment").is_in(mine["segment"].implode()))["factor_id"]
        .drop_nulls()
        .unique(maintain_order=True)
    )
    return ", ".join(found.to_list()[:3]) + (" ..." if found.len() > 3 else "")


def before(found: Iterable[Difference], limit: datetime) -> list[Difference]:
    """Those that change figures before a time."""
    return [one for one in found if one.since is not None and one.since < limit]


def told(since: datetime | None) -> str:
    """From when on, for people.

    >>> told(EVER), told(datetime(2026, 1, 1, tzinfo=UTC))
    ('from the beginning', 'from 2026-01-01 00:00 UTC on')
    """
    return (
        "" if since is None else "from the beginning" if since == EVER else f"from {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC on"
    )


def rows(found: list[Difference]) -> list[dict[str, Any]]:
    """As JSON can carry it."""
    return [{**one._asdict(), "since": one.since.isoformat() if one.since and one.since != EVER else None} for one in found]
