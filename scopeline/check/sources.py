"""Checks of sources/*.yaml: scope and category, what measures it, which factor prices it, and in which unit."""

from typing import NamedTuple

from processors.expressions import Expression
from processors.factors import Factor, MissingGwp, Resolution
from schemas.source import SCOPE_CATEGORIES, Source
from schemas.units import CURRENCIES, Unit, no_conversion, unit
from scopeline.check.context import REFERENCE, Context, each
from scopeline.check.expressions import meters, readable, result
from scopeline.check.settings import split
from scopeline.plant.documents import Keys
from scopeline.plant.explain import near

Item = tuple[str, int]
_LATER = {
    "mass_balance": "mass balances and process emissions are checked here but not computed yet",
    "spend": "spend is checked here but not computed yet",
    "direct": "direct measurement of a gas is checked here but not computed yet",
}
_WITHOUT = ("energy_only",)
"""Categories that no factor prices."""


class Measured(NamedTuple):
    """What measures a source: the expression, and the unit of what it adds up to (None: only the devices know)."""

    expression: Expression
    unit: Unit | None


def check(c: Context) -> None:
    """Everything that sources say."""
    c.unique("sources", "source", "source")
    counted: dict[tuple[object, ...], str] = {}
    for item, source in c.items("sources"):
        c.site(item, "site", source.site)
        c.days(item, source.valid_from, source.valid_to)
        _names(c, item, source)
        for tag in source.tags:
            if tag not in c.plant.settings.tags:
                remedy = near(tag, c.plant.settings.tags) or f"add {tag} to tags: in plant.yaml"
                c.error(item, ("tags", tag), f"{tag} is not a tag of the plant", remedy)
        measured = _measured(c, item, source)
        if _category(c, item, source):
            _factor(c, item, source, measured.unit if measured else None)
        _later(c, item, source, measured)
        key = (source.site, source.scope, source.category, source.measured_by, source.for_each, source.method)
        if key in counted and not source.valid_from:
            c.warning(
                item, "measured_by", f"{counted[key]} counts the same meter in the same category", "remove one of the two sources"
            )
        counted.setdefault(key, source.source)


def _names(c: Context, item: Item, source: Source) -> None:
    allowed = "abcdefghijklmnopqrstuvwxyz0123456789-"
    plain = source.source.replace("{n}", "x") if source.for_each else source.source
    if any(sign not in allowed for sign in plain) or plain.startswith("-") or not plain:
        c.error(item, "source", f"{source.source!r} is no id", "use lower-case letters, digits and '-'")
    if source.for_each is not None:
        if "*" not in source.for_each:
            c.error(
                item, "for_each", "names a single meter", "write a pattern with *, like site/press/*:energy, or remove for_each:"
            )
        if "{n}" not in source.source:
            c.error(
                item, "source", "every source of for_each would have this id", "write {n} where the starred part goes: press-{n}"
            )
        c.meter(item, "for_each", source.for_each)


def _category(c: Context, item: Item, source: Source) -> bool:
    """Whether the category is one of the scope's; says so when it is not."""
    scope = None if source.scope == "none" else source.scope
    if source.category in SCOPE_CATEGORIES[scope]:
        return True
    home = next((of for of, names in SCOPE_CATEGORIES.items() if source.category in names), "nowhere")
    if home == "nowhere":
        every = [name for names in SCOPE_CATEGORIES.values() for name in names]
        known = f"scope {source.scope} has {', '.join(SCOPE_CATEGORIES[scope])}"
        c.error(item, "category", f"there is no category {source.category}", near(source.category, every) or known)
        return False
    right = f"write scope: {'none' if home is None else home}, or one of {', '.join(SCOPE_CATEGORIES[scope])}"
    c.error(item, "category", f"{source.category} is not in scope {source.scope}", right)
    return False


def _measured(c: Context, item: Item, source: Source) -> Measured | None:
    text, path = source.measured_by, "measured_by"
    if source.for_each is not None:
        text = (
            source.for_each
            if text.strip() == "{meter}"
            else text.replace("[{meter}]", "{meter}").replace("{meter}", f"[{source.for_each}]")
        )
        text = text.replace("{n}", "*")
    elif "{meter}" in text or "{n}" in text:
        c.error(item, path, "{meter} and {n} have a meaning only with for_each:", "add for_each:, or name the meter")
        return None
    elif "*" in text and "[" not in text:
        c.error(item, path, f"{text} is a pattern", f'write "sum([{text}])", or one source each with for_each:')
        return None
    found = readable(c, item, path, text)
    if found is None:
        return None
    known = [c.meter(item, path, meter) for meter in meters(found) if not (source.for_each and meter == source.for_each)]
    if not all(known):
        return None
    levels = _sites_and_levels(c, item, source, found)
    if levels and found.computed:
        remedy = "declare its kind (counter, rate or amount) in the feed, or multiply it with a flow"
        c.error(item, path, f"{each(levels)} is a level, which adds up to nothing", remedy)
        return None
    if not c.all_feeds or not all(c.meters.find(meter) for meter in meters(found)):
        return Measured(found, None)
    before = len(c.problems)
    gives = result(c, item, path, found)
    return Measured(found, gives) if len(c.problems) == before else None


def _sites_and_levels(c: Context, item: Item, source: Source, found: Expression) -> list[str]:
    """Meters of other sites are said; returns the meters that are levels."""
    levels = []
    shared = {site.site: site.partition or site.site for site in c.plant.settings.sites}
    for meter in meters(found):
        site = meter.split("/")[0]
        if source.site in shared and site not in (source.site, REFERENCE) and shared.get(site) != shared.get(source.site):
            say = c.error if c.plant.settings.profile == "cluster" else c.warning
            remedy = "correct site: or the meter; in a cluster, sites that share meters share a partition:"
            say(item, "measured_by", f"{meter} is a meter of {site}, the source is at {source.site}", remedy)
        kinds = [one.kind for one in c.meters.find(meter)]
        if "level" in kinds:
            levels.append(meter)
        if source.scope == 2 and any(one.channel and one.channel.decrease == "net" for one in c.meters.find(meter)):
            remedy = "measure gross import: a counter of import alone, or a rate with direction: import"
            c.warning(item, "measured_by", f"{meter} counts both ways, so that export is netted from what was bought", remedy)
        for one in c.meters.find(meter):
            if one.kind is None:
                remedy = f"add it to channels: of feed {one.giver.feed} with unit: and kind:"
                c.warning(item, "measured_by", f"{meter} is not declared, and a channel is a level until it is declared", remedy)
                break
    return levels


def _factor(c: Context, item: Item, source: Source, measured: Unit | None) -> None:
    if source.category in _WITHOUT:
        if source.factor is not None:
            c.error(
                item,
                "factor",
                f"{source.category} has no emissions of its own",
                "remove factor:, or choose another scope and category",
            )
        return
    site = c.sites.get(source.site)
    path: Keys = ("factor",)
    if source.factor is not None:
        if source.method == "spend":
            currency = source.factor.currency
            if currency is not None and currency not in CURRENCIES:
                remedy = near(currency, CURRENCIES) or "write a code like EUR"
                c.error(item, ("factor", "currency"), f"there is no currency {currency}", remedy)
            return
        rule = source.factor.model_dump(exclude_none=True)
        own = str(rule.get("id", "")).startswith("own/")
        if own and "own_factors" in c.broken:
            return
        region = site.grid_region if site else None
        found = c.catalogue.resolve(rule, pins=c.plant.settings.factor_sets, region=region, own=c.plant.own_factors)
    elif source.scope == 2:
        path = ("site",)
        if site is None:
            return
        if site.grid_region is None:
            remedy = "add factor: here, or grid_region: to the site in plant.yaml"
            c.error(item, "factor", f"no factor, and the site {source.site} has no grid_region", remedy)
            return
        if source.category != "purchased_electricity":
            remedy = "add factor:, like {set: desnz, table: Heat and steam, ...} or {id: own/...}"
            c.error(item, "factor", f"the grid average prices electricity, not {source.category}", remedy)
            return
        found = _grid(c, site.grid_region)
    elif source.method in ("mass_balance", "direct"):
        return
    else:
        c.error(
            item,
            "factor",
            "the source has no factor",
            "add factor:, like {set: desnz, table: Fuels, item: Natural gas, per_unit: m3}",
        )
        return
    live = source.scope == 2 and source.factor is None and site and _live(c, site.grid_region)
    if not found.spans and live:
        message, remedy = split(found.problem or "")
        c.warning(item, path, f"{message}; intervals without a live intensity stay unpriced", remedy)
        return
    if not found.spans:
        c.error(item, path, *split(found.problem or "the factor rule resolves to nothing"))
        return
    if found.problem:
        c.warning(item, path, found.problem, "activity of those years stays unpriced: correct the rule, or the pins")
    _priced(c, item, path, source, found, measured)


def _grid(c: Context, region: str) -> Resolution:
    settings, code = c.plant.settings, c.catalogue.region(region)
    rule = next((g.factor for g in settings.grid_regions if g.factor and c.catalogue.region(g.region) == code), None)
    return c.catalogue.grid(region, pins=settings.factor_sets, rule=rule, own=c.plant.own_factors)


def _live(c: Context, region: str | None) -> bool:
    code = c.catalogue.region
    return any(code(one.region) == code(region) and one.intensity for one in c.plant.settings.grid_regions)


def _priced(c: Context, item: Item, path: Keys, source: Source, found: Resolution, measured: Unit | None) -> None:
    """The measured unit becomes the factor's; what is used is kept, to be compared with the pins."""
    what = source.for_each or source.measured_by
    for factor in dict.fromkeys(span.factor for span in found.spans):
        per = unit(factor.per_unit)
        if measured is not None and measured.dimension != per.dimension:
            message, remedy = split(no_conversion(measured, per))
            key = path if path == ("factor",) else "measured_by"
            c.error(item, key, f"{what} is in {measured.name}, factor {factor.id} is per {per.name}: {message}", remedy)
            return
        if (gap := _unpriced(c, source, factor)) is not None:
            c.error(item, path, *split(gap))
            return
    c.used += found.spans


def _unpriced(c: Context, source: Source, factor: Factor) -> str | None:
    """Why a factor that was found prices nothing all the same, with the remedy; None where it prices."""
    try:
        c.catalogue.parts(factor, c.plant.settings.reporting.gwp, source.category)
    except MissingGwp as problem:
        return str(problem)
    if source.scope == 2 and c.catalogue.scope2(factor) is None:
        return f"{factor.id} includes grid losses and does not say how large: add a row of gas losses to it, or choose generation"
    return None


def _later(c: Context, item: Item, source: Source, measured: Measured | None) -> None:
    """What is accepted and not computed by this version."""
    if source.method in _LATER:
        c.note(item, "method", _LATER[source.method])
    if measured and not measured.expression.computed:
        c.note(item, "measured_by", str(measured.expression.reason))
    if source.over is not None:
        c.note(item, "over", "expressions on totals of a period are checked here but not computed yet")
    if isinstance(source.biogenic_share, str):
        c.meter(item, "biogenic_share", source.biogenic_share)
        c.note(item, "biogenic_share", "a measured biogenic share is checked here but not computed yet")
    if source.method == "activity" and source.category == "process":
        c.note(item, "category", "process emissions by mass balance are not computed yet; by an activity factor they are")
