"""Which figures a source has: by location, by market, by contract, in category 3."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from processors.derived import derived, losses
from processors.factors import Catalogue, Resolution
from processors.product import E18
from processors.sources import Source
from processors.spans import UNPROVEN, Piece, Pricing, Slot, changes
from schemas.plant import GridRegion, Plant, Site
from schemas.source import FactorRule
from schemas.tables import Contract

PURCHASED = {f"purchased_{energy}": energy for energy in ("electricity", "heat", "steam", "cooling")}


def energy_of(source: Source) -> str | None:
    """What a scope 2 source buys."""
    return PURCHASED.get(source.category) if source.scope == 2 else None


def contracts_of(plant: Plant, source: Source) -> list[Contract]:
    """The contracts that can cover what a source buys."""
    return [c for c in plant.contracts if c.site == source.site and c.energy == energy_of(source)]


def coded(plant: Plant, catalogue: Catalogue) -> Plant:
    """The plant with its grid regions as ISO 3166-1 alpha-2 or -2: UK and GBR become GB, so that sites find their region."""
    settings = plant.settings
    sites = tuple(s.model_copy(update={"grid_region": catalogue.region(s.grid_region)}) for s in settings.sites)
    regions = tuple(r.model_copy(update={"region": catalogue.region(r.region)}) for r in settings.grid_regions)
    return plant.model_copy(update={"settings": settings.model_copy(update={"sites": sites, "grid_regions": regions})})


def grid_region(plant: Plant, site: Site) -> GridRegion | None:
    return next((r for r in plant.settings.grid_regions if r.region == site.grid_region), None)


@dataclass
class Rules:
    """Resolves the factor rules of one plant; answers are kept."""

    plant: Plant
    catalogue: Catalogue
    _known: dict[Any, Resolution] = field(default_factory=dict)

    def factor(self, rule: FactorRule, region: str | None) -> Resolution:
        words = {k: v for k, v in rule.model_dump().items() if v is not None}
        key = (tuple(sorted(words.items())), region)
        if key not in self._known:
            self._known[key] = self.catalogue.resolve(words, pins=self.pins, region=region, own=self.plant.own_factors)
        return self._known[key]

    def grid(self, region: str | None) -> Resolution:
        """The grid average of a region; nothing where a site has none."""
        if region is None:
            return Resolution()
        if region not in self._known:
            own = next((r.factor for r in self.plant.settings.grid_regions if r.region == region), None)
            words = {k: v for k, v in own.model_dump().items() if v is not None} if own else None
            self._known[region] = self.catalogue.grid(region, pins=self.pins, rule=words, own=self.plant.own_factors)
        return self._known[region]

    @property
    def pins(self) -> Mapping[str, Any]:
        return self.plant.settings.factor_sets


def slots(source: Source, site: Site, base: str, rules: Rules) -> list[Slot]:
    """All slots of a source. Scope 2 has both bases; others have one figure; scope 1 and 2 derive category 3.

    base: the base unit of its activity; "" where it is not known, then nothing is priced.
    """
    share = source.biogenic_share or Decimal(0)
    known = isinstance(share, Decimal)  # a share that a meter says is not computed: unpriced, not fossil
    biogenic = Fraction(share) if isinstance(share, Decimal) else Fraction(0)
    pricing = Pricing(rules.catalogue, rules.plant.settings.reporting.gwp, base, biogenic, known)
    if source.scope == 2:
        location, market = _scope2(source, site, rules, pricing)
        basis = rules.plant.settings.reporting.cat_3_basis
        return [location, *market, *_category_3([location] if basis == "location" else market, source, rules, pricing)]
    only = _plain(source, site, rules, pricing)
    return [only, *(_category_3([only], source, rules, pricing) if source.scope == 1 else [])]


def _category_3(of: list[Slot], source: Source, rules: Rules, pricing: Pricing) -> list[Slot]:
    wanted = rules.plant.settings.reporting.derive if source.derive is None else source.derive
    return [slot for one in of for slot in derived(one, pricing)] if "cat_3" in wanted else []


def _plain(source: Source, site: Site, rules: Rules, pricing: Pricing) -> Slot:
    """The one figure of a source outside scope 2."""
    scope = source.scope if isinstance(source.scope, int) else None
    rule = rules.factor(source.factor, site.grid_region) if source.factor else Resolution()
    idle = source.category == "energy_only" and source.factor is None

    def at(day: date) -> Piece:
        if idle:  # measured for its own sake: there is nothing to price
            return Piece("main", True, pricing.base)
        return pricing.piece("main", rule.at(day), source.category)

    return Slot("all", scope, source.category, "", at, changes([rule]))


def _scope2(source: Source, site: Site, rules: Rules, pricing: Pricing) -> tuple[Slot, list[Slot]]:
    """The location-based slot, and the market-based ones: contracts in their order, then residual mix or grid average."""
    electric = source.category == "purchased_electricity"
    region = grid_region(rules.plant, site) if electric else None
    if source.factor:
        average = rules.factor(source.factor, site.grid_region)
    else:
        average = rules.grid(site.grid_region) if electric else Resolution()
    live = region if region and region.intensity and not source.factor else None
    rest = Resolution()
    if region and region.residual_mix:
        rest = rules.factor(FactorRule.model_validate({"id": region.residual_mix}), site.grid_region)
    agreed = contracts_of(rules.plant, source)

    def grid(day: date, component: str, **facts: Any) -> Piece:
        factor = average.at(day)
        used = rules.catalogue.scope2(factor) if factor else None
        piece = replace(pricing.piece(component, used, source.category, **facts), origin=factor)
        return _live(piece, live, rules.catalogue) if live else piece

    def location(day: date) -> Piece:
        return grid(day, "main")

    def market(day: date) -> Piece:
        mix = rest.at(day)
        if mix:
            return pricing.piece("residual_mix", mix, source.category, instrument="residual_mix")
        return grid(day, "grid_average", instrument="grid_average", fallback=True)

    last = "rest" if agreed else "all"
    days = changes([average, rest])
    covered = [_covered(contract, source, site, rules, pricing) for contract in agreed]
    return (
        Slot("all", 2, source.category, "location", location, days),
        [*covered, Slot(last, 2, source.category, "market", market, days)],
    )


def _covered(contract: Contract, source: Source, site: Site, rules: Rules, pricing: Pricing) -> Slot:
    """What a contract covers. Without evidence it is priced, and `unproven` stands beside the factor's version."""
    rule = rules.factor(contract.factor, site.grid_region)

    def at(day: date) -> Piece:
        piece = pricing.piece(contract.contract, rule.at(day), source.category, instrument=contract.kind)
        if contract.evidence:
            return piece
        words = sorted({*(piece.factor_version or "").split(";"), UNPROVEN} - {""})
        return replace(piece, factor_version=";".join(words))

    return Slot(contract.contract, 2, source.category, "market", at, changes([rule]))


def _live(piece: Piece, region: GridRegion, catalogue: Catalogue) -> Piece:
    """A piece that a live intensity prices while it holds; one with losses only where somebody says how large they are."""
    share: int | None = E18
    if region.boundary == "with_losses":
        lost = losses(catalogue, piece)
        share = None if lost is None else E18 - lost
    if share is None:
        return replace(piece, fallback=True)
    return replace(piece, live=region, live_role="use", live_share=share)
