"""Checks of plant.yaml: sites, zones, base interval, grid regions, pins, connections."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from schemas.plant import Plant
from schemas.scalars import duration_text
from scopeline.check.context import REFERENCE, Context
from scopeline.plant.documents import Keys
from scopeline.plant.explain import near

ITEM = ("settings", 0)
_DAY = timedelta(days=1)


def check(c: Context) -> None:
    """Everything that plant.yaml says of itself."""
    _sites(c)
    _base_interval(c)
    _pins(c)
    _regions(c)
    _connections(c)


def _sites(c: Context) -> None:
    seen: set[str] = set()
    for index, site in enumerate(c.plant.settings.sites):
        path: Keys = ("sites", index)
        if site.site in seen:
            c.error(ITEM, (*path, "site"), f"the site {site.site} stands twice", "give one of them another id")
        if site.site == REFERENCE:
            c.error(ITEM, (*path, "site"), "ref is reserved for reference meters", "give the site another id")
        seen.add(site.site)
        zone(c, ITEM, (*path, "timezone"), site.timezone)
        if isinstance(site.share, tuple):
            for number, share in enumerate(site.share):
                if share.valid_from and share.valid_to and share.valid_to < share.valid_from:
                    remedy = "exchange or correct the two days"
                    c.error(ITEM, (*path, "share", number), f"{share.valid_to} is before valid_from {share.valid_from}", remedy)


def zone(c: Context, item: tuple[str, int], path: Keys, name: str) -> bool:
    """Whether a text is a time zone; says so when it is not."""
    if name in _zones():
        return True
    hint = near(name, _zones()) or "write an IANA zone, like Europe/Berlin or UTC"
    c.error(item, path, f"there is no time zone {name}", hint)
    return False


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _base_interval(c: Context) -> None:
    base, path = c.plant.settings.reporting.base_interval, ("reporting", "base_interval")
    if base < timedelta(seconds=1) or base > timedelta(hours=1) or timedelta(hours=1) % base:
        c.error(ITEM, path, f"{duration_text(base)} does not divide an hour", "write 1m, 5m, 10m, 15m, 30m or 1h")
        return
    for site in c.plant.settings.sites:
        if site.timezone not in _zones():
            continue
        of = offsets(site.timezone)
        odd = next((offset for offset in sorted(of) if offset % base), None)
        if odd is not None:
            sizes = [timedelta(seconds=size) for size in (1800, 900, 600, 300, 60, 30, 10, 5, 1)]
            fits = next(size for size in sizes if not any(offset % size for offset in of))
            what = f"{_clock(odd)}, an offset of {site.timezone} ({site.site}) since 1970"
            c.error(ITEM, path, f"{duration_text(base)} does not divide {what}", f"write {duration_text(fits)} or a part of it")


def _clock(offset: timedelta) -> str:
    """An offset as people write it.

    >>> _clock(timedelta(hours=5, minutes=45)), _clock(-timedelta(minutes=44, seconds=30))
    ('UTC+05:45', 'UTC-00:44:30')
    """
    sign, (minutes, seconds) = "-" if offset < timedelta() else "+", divmod(abs(offset) // timedelta(seconds=1), 60)
    return f"UTC{sign}{minutes // 60:02}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")


@lru_cache(maxsize=1024)
def offsets(name: str) -> frozenset[timedelta]:
    """The offsets from UTC that were or will be in force in a zone, 1970 to 2037.

    >>> sorted(offset // timedelta(minutes=1) for offset in offsets("Australia/Lord_Howe"))
    [600, 630, 660, 690]
    """
    info, found = ZoneInfo(name), set()
    instant, end = datetime(1970, 1, 1, tzinfo=UTC), datetime(2037, 12, 31, tzinfo=UTC)
    while instant < end:  # no offset was ever in force for less than five days
        found.add(instant.astimezone(info).utcoffset() or timedelta())
        instant += 5 * _DAY
    return frozenset(found)


def _pins(c: Context) -> None:
    for name, pin in c.plant.settings.factor_sets.items():
        known = c.catalogue.versions(name)
        path: Keys = ("factor_sets", name)
        if not known:
            sets = sorted({of_set for of_set, _ in c.catalogue.sources})
            c.error(ITEM, path, f"there is no factor set {name}", near(name, sets) or f"sets: {', '.join(sets)}")
            continue
        pins: list[tuple[Keys, str]] = [(path, pin)] if isinstance(pin, str) else [((*path, y), v) for y, v in pin.items()]
        for where, version in pins:
            if version not in known:
                c.error(ITEM, where, f"{name} has no version {version}", f"versions: {', '.join(known)}")


def outdated(c: Context) -> None:
    """Warns, once for each pin, of factors that price activity after the days for which they were published."""
    said: set[tuple[str, str]] = set()
    for span in c.used:
        factor = span.factor
        pin = c.plant.settings.factor_sets.get(factor.set)
        last = span.end or c.today
        if pin is None or factor.valid_to is None or last <= factor.valid_to or (factor.set, factor.version) in said:
            continue
        said.add((factor.set, factor.version))
        years = [] if isinstance(pin, str) else [y for y, v in pin.items() if v == factor.version and y > factor.valid_to.year]
        path: Keys = ("factor_sets", factor.set, *years[:1])
        message = f"{factor.set} {factor.version} is published for {factor.valid_to.year} and prices later activity ({factor.id})"
        remedy = "figures show factor_age_years above 0; pin a later version for later years when there is one"
        c.warning(ITEM, path, message, remedy)


def _regions(c: Context) -> None:
    settings = c.plant.settings
    seen: dict[str, str] = {}
    for index, region in enumerate(settings.grid_regions):
        path: Keys = ("grid_regions", index)
        code = c.catalogue.region(region.region) or region.region
        if code in seen:
            c.error(ITEM, (*path, "region"), f"the region {region.region} stands twice", "keep one of the two")
        seen[code] = region.region
        if region.factor is not None:
            resolve(c, ITEM, (*path, "factor"), dict(region.factor), region.region)
        if region.residual_mix is not None:
            resolve(c, ITEM, (*path, "residual_mix"), {"id": region.residual_mix}, region.region)
        if region.intensity is not None:
            _intensity(c, (*path, "intensity"), region.intensity)
    for index, site in enumerate(settings.sites):
        if site.grid_region and seen and (c.catalogue.region(site.grid_region) or site.grid_region) not in seen:
            _unlisted_region(c, ("sites", index, "grid_region"), site.grid_region, list(seen.values()))


def _unlisted_region(c: Context, path: Keys, region: str, listed: list[str]) -> None:
    """A region needs no entry in grid_regions, but then some pinned set or own factor must speak of it; a near miss is a slip."""
    if near(region, listed) and c.catalogue.grid(region, pins=c.plant.settings.factor_sets).problem:
        c.error(ITEM, path, f"there is no grid region {region}", near(region, listed))


def _intensity(c: Context, path: Keys, meter: str) -> None:
    if not meter.startswith(f"{REFERENCE}/"):
        c.error(ITEM, path, f"{meter} is no reference meter", "reference meters start with ref/, like ref/grid-de:intensity")
        return
    if not c.meter(ITEM, path, meter):
        return
    for found in c.meters.find(meter):
        if found.kind not in (None, "level", "virtual"):
            c.error(ITEM, path, f"{meter} is a {found.kind}", "an intensity is a level: write kind: level in its feed")
            return
        for stated in found.units or ():
            if stated.dimension != "mass/energy":
                remedy = "write unit: g/kWh (or kg/kWh, kg/MWh) in its feed"
                c.error(ITEM, path, f"{meter} is in {stated.name or 'no unit'}, which is no mass per energy", remedy)


def resolve(c: Context, item: tuple[str, int], path: Keys, rule: dict, region: str | None = None) -> None:
    """Says when a factor rule resolves to none or several."""
    if "own_factors" in c.broken and str(rule.get("id", "")).startswith("own/"):
        return
    found = c.catalogue.resolve(rule, pins=c.plant.settings.factor_sets, region=region, own=c.plant.own_factors)
    if found.problem and not found.spans:
        c.error(item, path, *split(found.problem))
    elif found.problem:
        c.warning(item, path, found.problem, "activity of those years stays unpriced: correct the rule, or the pins")


def split(text: str) -> tuple[str, str]:
    """A problem's text as message and remedy, parted at its first colon outside braces (a rule is shown as it is written).

    >>> split("no factor matches {set: x, item: Electricity: UK}: choose y")
    ('no factor matches {set: x, item: Electricity: UK}', 'choose y')
    """
    found = re.match(r"((?:\{[^{}]*\}|[^{}])*?): (.*)", text, re.DOTALL)
    return (found[1], found[2]) if found else (text, "correct the rule")


def _connections(c: Context) -> None:
    settings = c.plant.settings
    if settings.profile == "cluster":
        for key in ("kafka", "influxdb", "brokers", "archive"):
            if not getattr(settings, key):
                c.error(ITEM, key, f"the cluster profile needs {key}", f"add {key}: to plant.yaml, or write profile: embedded")
    if settings.influxdb and urlsplit(settings.influxdb.url).password:
        c.error(
            ITEM, ("influxdb", "url"), "a secret must not stand in the address", "use token_file: and take it out of the address"
        )
    for name, broker in settings.brokers.items():
        if "@" in broker.host or "://" in broker.host:
            remedy = "write the bare host name; username:, port: and password_file: have keys of their own"
            c.error(ITEM, ("brokers", name, "host"), "is no host name", remedy)
        if broker.password_file and not broker.username:
            remedy = "add username:, or remove password_file:"
            c.warning(ITEM, ("brokers", name, "password_file"), "a password without a username is not sent", remedy)


def secret_files(plant: Plant, folder: Path) -> list[tuple[Keys, str]]:
    """The files that plant.yaml names and that are not there: where they are named, and their names."""
    named: list[tuple[Keys, str | None]] = []
    for name, broker in plant.settings.brokers.items():
        named.append((("brokers", name, "password_file"), broker.password_file))
        if broker.tls:
            named += [(("brokers", name, "tls", key), getattr(broker.tls, key)) for key in ("ca_file", "cert_file", "key_file")]
    if plant.settings.influxdb:
        named.append((("influxdb", "token_file"), plant.settings.influxdb.token_file))
    if kafka := plant.settings.kafka:
        named.append((("kafka", "password_file"), kafka.password_file))
        if kafka.tls:
            named += [(("kafka", "tls", key), getattr(kafka.tls, key)) for key in ("ca_file", "cert_file", "key_file")]
    if plant.settings.archive:
        named.append((("archive", "credentials_file"), plant.settings.archive.credentials_file))
    return [(path, file) for path, file in named if file and not (folder / file).is_file()]


def files(c: Context, folder: Path) -> None:
    """Warns of named files that are not there (a plant folder may be checked where its secrets are not)."""
    for path, file in secret_files(c.plant, folder):
        c.warning(ITEM, path, f"there is no file {file}", "create it in the plant folder, or correct the name")
