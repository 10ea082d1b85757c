"""Checks of meters/*.csv, virtual meters, conversions, own factors, prices, contracts and targets."""

from collections.abc import Hashable
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.feed import Feed
from schemas.source import MeterRow
from schemas.units import CURRENCIES, UnitProblem, amount_of, is_rate, no_conversion, unit
from scopeline.check.channels import UPRIGHT, falling, scaled
from scopeline.check.context import METER, REFERENCE, Context
from scopeline.check.expressions import references
from scopeline.check.meters import is_open
from scopeline.check.settings import resolve
from scopeline.plant.explain import near

Item = tuple[str, int]
_CONVERSIONS = {
    "gross_cv": ("energy/volume", "energy/normal_volume", "energy/mass"),
    "net_cv": ("energy/volume", "energy/normal_volume", "energy/mass"),
    "density": ("mass/volume", "mass/normal_volume"),
    "temperature": ("temperature",),
    "pressure": ("pressure",),
    "oxidation": ("ratio",),
}
"""quantity -> dimensions of its unit; kWh_gross/m3 counts as energy/volume."""


def check(c: Context) -> None:
    """Everything that the tables say of themselves and of the feeds."""
    _meters(c)
    _virtual(c)
    _conversions(c)
    _own_factors(c)
    _prices(c)
    _contracts(c)
    _targets(c)


def _meters(c: Context) -> None:
    feeds = {feed.feed: feed for feed in c.plant.feeds}
    spans: dict[Hashable, list[tuple[datetime | None, datetime | None, Item]]] = {}
    tabular = {row.feed for row in c.plant.meters}
    for item, row in c.items("meters"):
        feed = feeds.get(row.feed)
        if feed is None and "feeds" not in c.broken:
            c.error(item, "feed", f"there is no feed {row.feed}", near(row.feed, feeds) or f"feeds: {', '.join(feeds)}")
        if ":" in row.meter.rsplit("/", 1)[-1] or "/" not in row.meter:
            c.error(
                item,
                "meter",
                f"{row.meter} is not the part of a meter before :channel",
                "write site/path, like duisburg/press/p7",
            )
        first = row.meter.split("/")[0]
        if first != REFERENCE:
            c.site(item, "meter", first)
            if row.site and row.site != first:
                c.error(item, "site", f"site {row.site} is not the site of the meter, {first}", "correct one of the two")
        for tag in row.tags:
            if tag not in c.plant.settings.tags:
                columns = [name for name in MeterRow.model_fields if name != "tags"]
                hint = near(tag, [*c.plant.settings.tags, *columns]) or f"add {tag} to tags: in plant.yaml, or remove the column"
                c.error(item, tag, f"the column {tag} is neither known nor a tag of the plant", hint)
        if row.unit is not None:
            c.unit(item, "unit", row.unit)
        _scale(c, item, row, feed)
        named = {channel.channel for channel in feed.channels} if feed else set()
        if feed and row.channel and named and row.channel not in named and not is_open(feed):
            c.error(
                item,
                "channel",
                f"feed {row.feed} has no channel {row.channel}",
                near(row.channel, named) or f"channels: {', '.join(named)}",
            )
        counters = [channel for channel in feed.channels if channel.kind == "counter"] if feed else []
        if (row.first_reading is not None or row.last_reading is not None) and row.channel is None and len(counters) > 1:
            c.error(
                item, "channel", "first_reading and last_reading need a channel: the feed has several counters", "fill channel"
            )
        start, end = _instant(c, item, row, "valid_from"), _instant(c, item, row, "valid_to")
        if start and end and end <= start:
            c.error(item, "valid_to", f"{row.valid_to} is not after valid_from {row.valid_from}", "exchange or correct the two")
        spans.setdefault((row.feed, row.device, row.channel), []).append((start, end, item))
        spans.setdefault(("meter", row.meter, row.channel), []).append((start, end, item))
    for key, listed in spans.items():
        _apart(c, listed, "device" if isinstance(key, tuple) and key[0] != "meter" else "meter")
    for item, feed in c.items("feeds"):
        if feed.meters == "table" and feed.feed not in tabular and feed.unlisted == "quarantine" and "meters" not in c.broken:
            c.error(item, "meters", "no row of meters/*.csv names this feed", f"add rows that begin with {feed.feed},")


def _scale(c: Context, item: Item, row: MeterRow, feed: Feed | None) -> None:
    """The row's scale is never 0, and with the channel's it is above 0 on counters that only rise."""
    if row.scale is None:
        return
    scaled(c, item, ("scale",), row.scale)
    of = [rule for rule in feed.channels if not rule.drop and row.channel in (None, rule.channel)] if feed else []
    for rule in of:
        if row.scale < 0 < rule.scale and falling(rule):
            message = f"scale {row.scale:f} makes the counter {rule.channel} fall, where a fall means a reset"
            c.error(item, "scale", message, UPRIGHT if row.channel else f"{UPRIGHT}; or fill channel with the one that is turned")


def _instant(c: Context, item: Item, row: MeterRow, key: str) -> datetime | None:
    text = getattr(row, key)
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        c.error(item, key, f"{text!r} is no instant", "write 2026-03-01 or 2026-03-01T09:00:00+01:00")
        return None
    site = c.sites.get(row.meter.split("/")[0])
    try:
        return found if found.tzinfo else found.replace(tzinfo=ZoneInfo(site.timezone if site else "UTC"))
    except (ZoneInfoNotFoundError, ValueError):
        return None


def _apart(c: Context, listed: list[tuple[datetime | None, datetime | None, Item]], what: str) -> None:
    """Rows of one device, or of one meter, do not overlap in time."""
    ordered = sorted(listed, key=lambda span: span[0].timestamp() if span[0] else float("-inf"))
    for (_, end, before), (start, _, item) in pairwise(ordered):
        if end is None or start is None or start < end:
            remedy = f"end line {c.places[before].line(())} with valid_to where this row begins (valid_from)"
            c.error(item, "valid_from", f"two rows of this {what} hold at the same time", remedy)


def _virtual(c: Context) -> None:
    c.unique("virtual_meters", "meter", "virtual meter")
    for item, virtual in c.items("virtual_meters"):
        c.unit(item, "unit", virtual.unit)
        if not METER.fullmatch(virtual.meter):
            c.error(item, "meter", f"{virtual.meter!r} is no meter", "write site/path:channel, like duisburg/net-press:energy")
        elif virtual.meter.split("/")[0] != REFERENCE:
            c.site(item, "meter", virtual.meter.split("/")[0])
        for meter in references(c, item, "is", virtual.is_):
            if meter == virtual.meter:
                c.error(item, "is", "the virtual meter is computed from itself", "name the meters that it is computed from")
            else:
                c.meter(item, "is", meter)


def _conversions(c: Context) -> None:
    for item, row in c.items("conversions"):
        c.site(item, "site", row.site)
        c.days(item, row.valid_from, row.valid_to)
        if row.value.startswith(f"{REFERENCE}/"):
            c.meter(item, "value", row.value)
        elif not _number(row.value):
            c.error(item, "value", f"{row.value!r} is neither a number nor a reference meter", "write 11.31, or ref/name:channel")
        if c.unit(item, "unit", row.unit):
            dimension = unit(row.unit).dimension.replace("energy_gross", "energy").replace("energy_net", "energy")
            if dimension not in _CONVERSIONS[row.quantity]:
                example = {"density": "kg/m3", "temperature": "degC", "pressure": "kPa", "oxidation": "%"}.get(
                    row.quantity, "kWh/m3"
                )
                c.error(item, "unit", f"{row.unit} is no unit of {row.quantity}", f"write a unit like {example}")
    if c.plant.conversions:
        c.note(("conversions", 0), "quantity", "conversions are checked here but not computed yet")


def _number(text: str) -> bool:
    try:
        return float(text) not in (float("inf"), float("-inf")) and float(text) == float(text)
    except ValueError:
        return False


def _own_factors(c: Context) -> None:
    seen: set[str] = set()
    for item, row in c.items("own_factors"):
        c.days(item, row.valid_from, row.valid_to)
        stated, per = c.unit(item, "unit", row.unit), c.unit(item, "per_unit", row.per_unit)
        if per and is_rate(unit(row.per_unit)):
            remedy = f"write what it adds up to: {amount_of(row.per_unit).name}"
            c.error(item, "per_unit", f"a factor is per quantity, and {row.per_unit} is a rate", remedy)
        if stated and per and abs(Fraction(row.value)) * unit(row.unit).factor > 10**9 * unit(row.per_unit).factor:
            c.error(item, "value", "the factor is beyond 1e9 kg for one base unit", "correct value, unit or per_unit")
        if row.gwp_set is not None and row.gwp_set not in ("SAR", "TAR", "AR4", "AR5", "AR6"):
            c.error(item, "gwp_set", f"there is no GWP set {row.gwp_set}", "write SAR, TAR, AR4, AR5 or AR6, or leave it empty")
        if row.factor_id not in seen:
            resolve(c, item, ("factor_id",), {"id": f"own/{row.factor_id}"})
        seen.add(row.factor_id)


def _prices(c: Context) -> None:
    seen: set[tuple[str, int]] = set()
    for item, row in c.items("prices"):
        if row.currency not in CURRENCIES:
            c.error(
                item,
                "currency",
                f"there is no currency {row.currency}",
                near(row.currency, CURRENCIES) or "write a code like EUR",
            )
        if row.per_usd <= 0:
            c.error(item, "per_usd", f"{row.per_usd} is no exchange rate", "write how much of the currency one USD costs")
        if (row.currency, row.year) in seen:
            c.error(item, "year", f"{row.currency} {row.year} stands twice", "keep one of the rows")
        seen.add((row.currency, row.year))
    if c.plant.prices:
        c.note(("prices", 0), "currency", "prices are checked here; spend is not computed yet")


def _contracts(c: Context) -> None:
    c.unique("contracts", "contract", "contract")
    for item, contract in c.items("contracts"):
        site = c.sites.get(contract.site)
        c.site(item, "site", contract.site)
        c.days(item, contract.valid_from, contract.valid_to)
        resolve(c, item, ("factor",), dict(contract.factor), site.grid_region if site else None)
        covers, given = (
            contract.covers,
            [key for key in ("share", "volume", "meter") if getattr(contract.covers, key) is not None],
        )
        if len(given) != 1:
            remedy = "write one of share: 40%, volume: 12 GWh, meter: site/path:channel"
            c.error(item, "covers", "covers " + (" and ".join(given) or "nothing"), remedy)
        if covers.volume is not None and c.unit(item, ("covers", "volume"), covers.volume.unit):
            if unit(covers.volume.unit).dimension != "energy":
                c.error(
                    item, ("covers", "volume"), f"{covers.volume.unit or 'a plain number'} is no energy", "write it like 12 GWh"
                )
            elif covers.volume.value < 0:
                c.error(item, ("covers", "volume"), "is negative", "write how much the contract covers")
        if covers.meter is not None and c.meter(item, ("covers", "meter"), covers.meter):
            for found in c.meters.find(covers.meter):
                for stated in found.units or ():
                    _energy(c, item, stated.name)
        if not contract.evidence:
            message = "a contract without evidence is priced, and its figures are flagged as unproven"
            c.warning(item, "evidence", message, "add evidence: {registry: ..., cancellation: ...}")
        if contract.matching == "annual":
            c.note(item, "matching", "settlement of the unused rest at the year's end is not computed yet")


def _energy(c: Context, item: Item, name: str) -> None:
    try:
        stated = amount_of(name) if is_rate(unit(name)) else unit(name)
        if stated.dimension != "energy":
            raise UnitProblem(no_conversion(stated, unit("kWh")))
    except UnitProblem as problem:
        message, _, remedy = str(problem).partition(": ")
        c.error(item, ("covers", "meter"), message, remedy)


def _targets(c: Context) -> None:
    c.unique("budgets", "budget", "budget")
    c.unique("rules", "rule", "rule")
    for item, budget in c.items("budgets"):
        c.site(item, "site", budget.site)
        c.days(item, budget.from_, budget.to, ("from", "to"))
        if c.unit(item, "amount", budget.amount.unit) and unit(budget.amount.unit).dimension != "mass":
            c.error(item, "amount", f"{budget.amount.unit or 'a plain number'} is no mass of CO2e", "write it like 12000 t")
        if c.plant.settings.grafana is None:
            c.note(item, "budget", "budgets are watched by alerts of Grafana, and plant.yaml names none (grafana:)")
    for item, rule in c.items("rules"):
        known = c.meter(item, "meter", rule.meter)
        if rule.above is None and rule.below is None:
            c.error(item, "rule", "says neither above nor below", "add above: or below:")
        if c.unit(item, "unit", rule.unit) and known:
            for found in c.meters.find(rule.meter):
                for stated in found.units or ():
                    if stated.dimension != unit(rule.unit).dimension:
                        message, _, remedy = no_conversion(stated, unit(rule.unit)).partition(": ")
                        c.error(item, "unit", message, remedy)
        if c.plant.settings.grafana is None:
            c.note(item, "rule", "rules are watched by alerts of Grafana, and plant.yaml names none (grafana:)")
        if rule.meter in {virtual.meter for virtual in c.plant.virtual_meters}:
            c.warning(item, "meter", "a virtual meter has no readings that an alert can watch", "name a meter that it is made of")
