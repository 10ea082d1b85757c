"""Sources as they are computed: `for_each` unrolled over the meters seen, virtual meters written out, unit worked out."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property

import schemas.source
from processors.expressions import parse, substituted
from processors.formula import ExpressionProblem, matches
from schemas.feed import Channel, Feed
from schemas.plant import Plant
from schemas.units import UnitProblem, unit


class Source(schemas.source.Source):
    """A source, ready to compute: virtual meters in measured_by are written out."""

    meters: tuple[str, ...] = ()
    """The meters it reads: those named, and those seen that its patterns match."""
    unit: str | None = None
    """Base unit of its activity; None where neither plant nor readings nor factor tell (then nothing has been measured)."""


class Declared:
    """What feeds and tables declare of a meter, without any message."""

    def __init__(self, plant: Plant):
        self.plant = plant

    @cached_property
    def _feeds(self) -> list[tuple[Feed, list[re.Pattern[str]]]]:
        return [(feed, _paths(feed)) for feed in self.plant.feeds]

    @cached_property
    def _listed(self) -> dict[str, list[schemas.source.MeterRow]]:
        found: dict[str, list[schemas.source.MeterRow]] = {}
        for row in self.plant.meters:
            found.setdefault(row.meter, []).append(row)
        return found

    @cached_property
    def _virtual(self) -> dict[str, str]:
        return {meter.meter: meter.unit for meter in self.plant.virtual_meters}

    def channels(self, meter: str) -> list[tuple[Feed, Channel | None]]:
        """The feeds that can give a meter, each with its channel (None: a preset's own)."""
        path, _, channel = meter.rpartition(":")
        named = {row.feed for row in self._listed.get(path, ())}
        feeds = [feed for feed, paths in self._feeds if feed.feed in named or any(p.fullmatch(path) for p in paths)]
        found = [(feed, next((c for c in feed.channels if c.channel == channel and not c.drop), None)) for feed in feeds]
        return sorted(found, key=lambda pair: pair[1] is None)

    def unit(self, meter: str) -> str | None:
        """The unit that the plant states for a meter (table before channel), or None: a preset's own, or read from payloads."""
        if meter in self._virtual:
            return self._virtual[meter]
        path, _, channel = meter.rpartition(":")
        listed = [row.unit for row in self._listed.get(path, ()) if row.unit and row.channel in (None, channel)]
        stated = [rule.unit for _, rule in self.channels(meter) if rule and isinstance(rule.unit, str)]
        return next(iter([*listed, *stated]), None)


def expand(plant: Plant, meters: Sequence[str], units: Mapping[str, str | None] | None = None) -> tuple[Source, ...]:
    """The plant's sources, one each, in the plant's order, those of a `for_each` by meter.

    meters: all meters ever seen. units: their units where the plant does not state them (presets). `{n}` is the starred part,
    `{meter}` the meter. A `for_each` also runs over virtual meters; sums over patterns never include them.
    """
    virtual = {meter.meter: meter.is_ for meter in plant.virtual_meters}
    declared, seen, known = Declared(plant), [*meters, *virtual], list(meters)
    found: list[schemas.source.Source] = []
    for source in plant.sources:
        if source.for_each is None:
            found.append(source)
        else:
            found += [_one(source, meter, n) for meter, n in matches(source.for_each, seen)]
    return tuple(_ready(source, virtual, declared, known, units or {}) for source in found)


def _one(source: schemas.source.Source, meter: str, n: str) -> schemas.source.Source:
    """One source of a pattern.

    >>> each = Source(source="press-{n}", site="works", scope=2, category="purchased_electricity", measured_by="{meter}",
    ...     for_each="works/press/*:energy")
    >>> one = _one(each, "works/press/p7:energy", "p7")
    >>> one.source, one.measured_by, one.for_each
    ('press-p7', 'works/press/p7:energy', None)
    """
    text = source.measured_by.strip()
    inside = re.sub(r"\[\{meter\}\]|\{meter\}", lambda _: f"[{meter}]", text).replace("{n}", n)
    text = meter if text == "{meter}" else inside
    name = source.name and source.name.replace("{n}", n).replace("{meter}", meter)
    return source.model_copy(
        update={"source": source.source.replace("{n}", n), "name": name, "measured_by": text, "for_each": None}
    )


def _ready(
    source: schemas.source.Source,
    virtual: dict[str, str],
    declared: Declared,
    known: list[str],
    units: Mapping[str, str | None],
) -> Source:
    text, base = source.measured_by, _priced_in(source)
    meters: tuple[str, ...] = ()
    try:
        text = substituted(source.measured_by, virtual)
        expression = parse(text)
        meters = tuple(expression.meters(known))
        base = expression.unit(lambda meter: units.get(meter) or declared.unit(meter) or _unknown(meter), known)
    except (ExpressionProblem, UnitProblem):
        pass  # `check` names it
    return Source.model_construct(**{**dict(source), "measured_by": text, "meters": meters, "unit": base})


def _unknown(meter: str) -> str:
    raise UnitProblem(f"the unit of {meter} is not known before its first message")


def _priced_in(source: schemas.source.Source) -> str | None:
    """The base unit that the price suggests while no unit is known."""
    rule = source.factor
    if source.scope == 2:
        return "kWh"
    if rule is None or (rule.per_unit is None and rule.refrigerant is None):
        return None
    text = "kg" if rule.refrigerant else f"{rule.per_unit}_{rule.basis}" if rule.basis else rule.per_unit
    try:
        return unit(text or "").base
    except UnitProblem:
        return None


def _paths(feed: Feed) -> list[re.Pattern[str]]:
    """Patterns of the meter paths (before :channel) that a feed can give."""
    texts = [feed.meter or "{site}/{device}"]
    if feed.meters == "table":
        texts = [] if feed.unlisted == "quarantine" else [feed.unlisted]
    if feed.site:
        texts = [text.replace("{site}", feed.site) for text in texts]
    return [re.compile(".+".join(re.escape(part) for part in re.split(r"\{\w+\}", text))) for text in texts]
