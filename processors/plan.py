"""The plan: everything that pricing and roll-ups need to know of a plant, worked out once and looked up by column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from processors.factors import Catalogue
from processors.fingerprint import Fingerprints, fingerprint
from processors.formula import matches
from processors.measured import Measured, Meters
from processors.periods import day_start
from processors.product import E18
from processors.scope2 import CONTRACTS
from processors.slots import Rules, coded, contracts_of, energy_of, grid_region, slots
from processors.sources import Source
from processors.spans import Piece, Slot, segments
from schemas.frames import EXACT, GASES, TIME
from schemas.numeric import N
from schemas.plant import Plant, Site
from schemas.units import convert

EVER = datetime(1900, 1, 1, tzinfo=UTC)
ORDER = ("certificate", "ppa", "supplier")
"""Kinds of contracts, in the order in which they cover consumption."""

FACTS: dict[str, Any] = {
    "site": pl.String,
    "zone": pl.String,
    "part": pl.String,  # of the activity: all, rest, or a contract
    "component": pl.String,
    "scope": pl.Int8,
    "category": pl.String,
    "basis": pl.String,
    "method": pl.String,
    "priced": pl.Boolean,
    "fallback": pl.Boolean,
    **{f"{gas}_f": EXACT for gas in GASES},  # 1e-18 kg for a base unit of activity
    "rest_f": EXACT,
    "activity_unit": pl.String,
    "factor_id": pl.String,
    "factor_version": pl.String,
    "published": pl.Int32,  # last year for which the factor was published
    "instrument": pl.String,
    "config": pl.String,
    "live": pl.String,  # reference meter with the live intensity
    "live_role": pl.String,
    "live_gas": pl.String,
    "live_max_age_us": pl.Int64,
    "live_share": EXACT,
    "live_whole": pl.Boolean,  # the intensity is a life-cycle value
}
"""How one span prices activity; processors.intensity says what the live columns mean."""

SPANS: dict[str, Any] = {"segment": pl.UInt32, "span": pl.UInt32, **FACTS}
SEGMENTS: dict[str, Any] = {"source": pl.String, "start": TIME, "segment": pl.UInt32}
SOURCES: dict[str, Any] = {
    "source": pl.String,
    "site": pl.String,
    "zone": pl.String,
    "active_from": TIME,
    "active_to": TIME,
    "event": pl.Boolean,  # all its meters give amounts at instants: there is no time to cover
    "expect": pl.String,  # of events: 1d, 1mo, 1y
    "expect_us": pl.Int64,  # of events: another length
}
LINES: dict[str, Any] = {
    "source": pl.String,
    "component": pl.String,
    "scope": pl.Int8,
    "category": pl.String,
    "basis": pl.String,
    "method": pl.String,
    "instrument": pl.String,
    "expected": pl.Boolean,  # also shown where the source is silent
}


@dataclass(frozen=True, eq=False)
class Plan:
    """A plant, compiled. Frames: SOURCES, SEGMENTS, SPANS, LINES, processors.scope2.CONTRACTS."""

    sources: tuple[Source, ...]
    base_us: int
    lateness_us: int
    max_age_us: int  # how long before a window the levels begin that it needs
    gwp: str
    table: pl.DataFrame
    tagged: pl.DataFrame  # source, tag_<name>
    segments: pl.DataFrame
    spans: pl.DataFrame
    facts: pl.DataFrame  # FACTS of the spans, by their number
    whole: pl.DataFrame  # segment, span: of the spans that price all of an activity
    dated: bool  # factors of a source change in time: it has several segments
    lines: pl.DataFrame
    purchases: pl.DataFrame  # source, site, energy: of sites with contracts
    contracts: pl.DataFrame
    shares: pl.DataFrame  # site, start, share_n
    measured: Mapping[str, Measured]  # by source
    coupled: Mapping[str, frozenset[str]]  # meter of a price (reference, contract) -> sources
    together: Mapping[str, frozenset[str]]  # source -> the purchases that share contracts with it

    def meters(self, known: Sequence[str]) -> pl.DataFrame:
        """source, meter: what measures each source, patterns matched against known meters."""
        rows = [
            (source, meter)
            for source, found in self.measured.items()
            for meter in {*found.meters, *(m for p in found.patterns for m, _ in matches(p, list(known)))}
        ]
        return pl.DataFrame(rows, schema={"source": pl.String, "meter": pl.String}, orient="row").sort("source", "meter")

    def dependents(self, meter: str) -> frozenset[str]:
        """The sources whose figures a reading of this meter can change.

        Those it measures (directly, by a pattern, through virtual meters), those that it prices as a reference or contract
        meter, and all purchases that share contracts with one of them.
        """
        if meter not in self._dependents:
            found = set(self.coupled.get(meter, ())) | {s for s, m in self.measured.items() if _measures(m, meter)}
            self._dependents[meter] = frozenset(found.union(*(self.together.get(source, frozenset()) for source in found)))
        return self._dependents[meter]

    _dependents: dict[str, frozenset[str]] = field(default_factory=dict)


def _measures(found: Measured, meter: str) -> bool:
    return meter in found.meters or any(matches(pattern, [meter]) for pattern in found.patterns)


def compile(plant: Plant, catalogue: Catalogue, sources: Sequence[Source]) -> Plan:
    """Work out the plan of a plant.

    sources: from processors.sources.expand, which knows their base units. A rule that does not resolve gives unpriced spans;
    `check` says why.
    """
    plant = coded(plant, catalogue)
    settings = plant.settings
    meters = Meters(plant)
    sites = {site.site: site for site in settings.sites}
    measured = {source.source: meters.measured(source) for source in sources}
    spans = _Spans(plant, Rules(plant, catalogue), Fingerprints(plant, sources, meters))
    for source in sources:
        spans.add(source, sites[source.site], source.unit or "")
    ages = [_us(region.max_age) for region in settings.grid_regions if region.intensity]
    tags: list[dict[str, str | None]] = [
        {"source": s.source, **{f"tag_{k}": v for k, v in meters.tags(s, measured[s.source], settings.tags).items()}}
        for s in sources
    ]
    coupled, together = _couplings(plant, sources)
    segmented = pl.DataFrame(spans.segments, schema=SEGMENTS, orient="row").sort("start", "source")
    priced = pl.DataFrame(spans.spans, schema=SPANS, orient="row")
    return Plan(
        sources=tuple(sources),
        base_us=_us(settings.reporting.base_interval),
        lateness_us=_us(settings.reporting.lateness),
        max_age_us=max(ages, default=0),
        gwp=settings.reporting.gwp,
        table=pl.DataFrame([_row(s, sites[s.site], measured[s.source]) for s in sources], schema=SOURCES, orient="row"),
        tagged=pl.DataFrame(tags, schema={"source": pl.String} | {f"tag_{tag}": pl.String for tag in settings.tags}),
        segments=segmented,
        spans=priced,
        facts=priced.select_seq(FACTS.keys()),
        whole=priced.filter(part="all").select_seq("segment", "span"),
        dated=segmented["source"].n_unique() < segmented.height,
        lines=_lines(priced, spans.owners),
        purchases=_purchases(plant, sources),
        contracts=_contracts(plant, sites),
        shares=_shares(settings.sites),
        measured=measured,
        coupled=coupled,
        together=together,
    )


def _us(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


def _start(day: date | None, zone: str) -> datetime | None:
    return day_start(day, zone) if day else None


def _end(day: date | None, zone: str) -> datetime | None:
    return day_start(day + timedelta(days=1), zone) if day else None


def _row(source: Source, site: Site, found: Measured) -> tuple[Any, ...]:
    expect, days = source.expect, timedelta(days=1)
    length = _us(expect) if isinstance(expect, timedelta) and expect != days else None
    named = "1d" if expect == days else expect if isinstance(expect, str) else None
    active = (_start(source.valid_from, site.timezone), _end(source.valid_to, site.timezone))
    return (source.source, source.site, site.timezone, *active, found.event or expect is not None, named, length)


@dataclass
class _Spans:
    """Gathers segments and spans, source by source; sources that are priced alike share the work."""

    plant: Plant
    rules: Rules
    prints: Fingerprints
    segments: list[tuple[Any, ...]] = field(default_factory=list)
    spans: list[tuple[Any, ...]] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    _alike: dict[Any, list[tuple[date | None, list[tuple[Slot, Piece]]]]] = field(default_factory=dict)

    def add(self, source: Source, site: Site, base: str) -> None:
        rule = source.factor.model_dump_json() if source.factor else None
        kind = (source.site, source.scope, source.category, rule, source.biogenic_share, source.derive, base)
        key = (*kind, source.valid_from, source.valid_to)
        if key not in self._alike:
            self._alike[key] = segments(slots(source, site, base, self.rules), source.valid_from, source.valid_to)
        for start, pieces in self._alike[key]:
            number = len(self.segments)
            self.segments.append((source.source, _start(start, site.timezone) or EVER, number))
            for slot, piece in pieces:
                self.spans.append((number, len(self.spans), *self._facts(source, site, slot, piece)))
                self.owners.append(source.source)

    def _facts(self, source: Source, site: Site, slot: Slot, piece: Piece) -> tuple[Any, ...]:
        factors = dict(piece.factors)
        live = piece.live
        reads = {
            "activity": self.prints.activity(source, site),
            "price": self.prints.price(source, site, slot.basis, slot.scope),
            "factor": self.prints.factor(piece.factor_id, piece.factor_version),
        }
        head = (site.site, site.timezone, slot.part, piece.component, slot.scope, slot.category, slot.basis, source.method)
        tail = (piece.unit, piece.factor_id, piece.factor_version, piece.published, piece.instrument, fingerprint(reads))
        intensity = (
            (live.intensity, piece.live_role, live.gas, _us(live.max_age), piece.live_share, live.boundary == "life_cycle")
            if live
            else (None,) * 6
        )
        return (*head, piece.priced, piece.fallback, *(factors.get(gas) for gas in GASES), piece.rest, *tail, *intensity)


def _lines(spans: pl.DataFrame, owners: list[str]) -> pl.DataFrame:
    contract = ~pl.col("part").is_in(["all", "rest"])
    found = spans.with_columns_seq(source=pl.Series(owners, dtype=pl.String), expected=~contract)
    key = ["source", "component", "scope", "category", "basis"]
    one = found.group_by(key).agg(pl.col("method", "instrument").first(), pl.col("expected").any())
    return one.select_seq(LINES.keys()).sort(key, nulls_last=True)


def _purchases(plant: Plant, sources: Sequence[Source]) -> pl.DataFrame:
    rows = [(s.source, s.site, energy_of(s)) for s in sources if contracts_of(plant, s)]
    return pl.DataFrame(rows, schema={"source": pl.String, "site": pl.String, "energy": pl.String}, orient="row")


def _contracts(plant: Plant, sites: Mapping[str, Site]) -> pl.DataFrame:
    rows, ranks = [], dict[tuple[str, str], int]()
    for c in sorted(plant.contracts, key=lambda c: (ORDER.index(c.kind), c.contract)):
        rank = ranks[c.site, c.energy] = ranks.get((c.site, c.energy), -1) + 1
        zone, covers = sites[c.site].timezone, c.covers
        share = None if covers.share is None else round(Fraction(covers.share) * E18)
        volume = None if covers.volume is None else round(convert(covers.volume.value, covers.volume.unit, "kWh") * N)
        term = (_start(c.valid_from, zone), _end(c.valid_to, zone))
        rows.append((c.contract, c.site, c.energy, rank, *term, share, volume, covers.meter))
    return pl.DataFrame(rows, schema=CONTRACTS, orient="row")


def _shares(sites: Sequence[Site]) -> pl.DataFrame:
    """The share of each site from an instant on; 0 on days that a dated list leaves out."""
    rows: list[tuple[str, datetime, int]] = []
    for site in sites:
        if isinstance(site.share, Decimal):
            rows.append((site.site, EVER, round(Fraction(site.share) * E18)))
            continue
        changes = {EVER: 0}
        for one in sorted(site.share, key=lambda s: s.valid_from or date.min):
            changes[_start(one.valid_from, site.timezone) or EVER] = round(Fraction(one.share) * E18)
            if one.valid_to:
                changes.setdefault(_end(one.valid_to, site.timezone) or EVER, 0)
        rows += [(site.site, at, share) for at, share in changes.items()]
    return pl.DataFrame(rows, schema={"site": pl.String, "start": TIME, "share_n": EXACT}, orient="row").sort("start", "site")


def _couplings(plant: Plant, sources: Sequence[Source]) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    """Sources by the meters that price them (references, contracts), and purchases that share contracts."""
    coupled: dict[str, set[str]] = {}
    together: dict[str, frozenset[str]] = {}
    sites = {site.site: site for site in plant.settings.sites}
    for source in sources:
        region = grid_region(plant, sites[source.site]) if source.category == "purchased_electricity" else None
        prices = [region.intensity] if region and region.intensity and not source.factor else []
        prices += [c.covers.meter for c in contracts_of(plant, source) if c.covers.meter]
        for meter in prices:
            coupled.setdefault(meter, set()).add(source.source)
        if contracts_of(plant, source):
            same = [s for s in sources if s.site == source.site and energy_of(s) == energy_of(source)]
            together[source.source] = frozenset(s.source for s in same)
    return {meter: frozenset(found) for meter, found in coupled.items()}, together
