"""What the dashboards and alerts must know of a plant; taken from the plant folder alone."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from schemas.feed import Feed
from schemas.influx import ROLLUPS, plant_tags
from schemas.plant import Plant, Site
from schemas.tables import Budget, Rule

SILENT_AFTER = timedelta(hours=1)
"""A feed that should speak all the time is silent after this, or after four of its own periods."""
CONSOLE, DOCS = "http://127.0.0.1:8090", "docs"


@dataclass(frozen=True)
class Facts:
    """A plant as its dashboards see it.

    prefix: starts every uid, so that several plants share a Grafana; zone: of days and axes where sites have several; silence:
    feed -> how long it may say nothing; console, docs: addresses for links; prometheus: address of the one that has our metrics.
    """

    organisation: str
    folder: str
    prefix: str
    sites: tuple[Site, ...]
    tags: tuple[str, ...]
    bucket: str
    influxdb: str
    zone: str
    base: timedelta
    lateness: timedelta
    silence: dict[str, timedelta]
    budgets: tuple[Budget, ...]
    rules: tuple[Rule, ...]
    console: str = CONSOLE
    docs: str = DOCS
    prometheus: str | None = None

    def zones(self) -> dict[str, list[str]]:
        """Time zone -> its sites, in the plant's order."""
        found: dict[str, list[str]] = {}
        for site in self.sites:
            found.setdefault(site.timezone, []).append(site.site)
        return found

    def clock(self) -> str:
        """Time zone of the axes of live dashboards: the sites' where they share one, else the reader's."""
        return self.zone if len(self.zones()) == 1 else "browser"

    def finest(self) -> tuple[str, int]:
        """The finest roll-up and its length in seconds: there is none that is not longer than the base interval."""
        lengths = {"15m": 900, "1h": 3600, "1d": 86400}
        return next((ROLLUPS[name], seconds) for name, seconds in lengths.items() if seconds > self.base.total_seconds())

    def datasource(self, kind: str) -> str:
        """The uid of a data source: figures, readings, health or metrics."""
        return f"{self.prefix}-{kind}"

    def dashboard(self, name: str) -> str:
        """The uid of a dashboard: live, feeds, inventory or source."""
        return f"{self.prefix}-{name}"


def facts(plant: Plant, console: str | None = None, docs: str | None = None, influxdb: str | None = None) -> Facts:
    """What a plant folder says. console, docs, influxdb: addresses as people and Grafana reach them, where they differ."""
    settings = plant.settings
    folder = settings.grafana.folder if settings.grafana else "Scopeline"
    store = settings.influxdb
    host = "127.0.0.1" if settings.console.host in ("0.0.0.0", "::") else settings.console.host
    return Facts(
        organisation=settings.organisation,
        folder=folder,
        prefix=slug(folder),
        sites=settings.sites,
        tags=plant_tags(settings.tags),
        bucket=store.bucket if store else "scopeline",
        influxdb=influxdb or (store.url if store else "http://localhost:8086"),
        zone=common_calendar(site.timezone for site in settings.sites),
        base=settings.reporting.base_interval,
        lateness=settings.reporting.lateness,
        silence={feed.feed: found for feed in plant.feeds if (found := silence(feed))},
        budgets=plant.budgets,
        rules=plant.rules,
        console=(console or f"http://{host}:{settings.console.port}").rstrip("/"),
        docs=(docs or DOCS).rstrip("/"),
        prometheus=settings.grafana.prometheus if settings.grafana else None,
    )


def slug(text: str) -> str:
    """A folder's title as the start of uids, which Grafana limits to 40 characters.

    >>> slug("Scopeline"), slug("Acme Steel: carbon")
    ('scopeline', 'acme-steel-carbon')
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:24].rstrip("-") or "scopeline"


def silence(feed: Feed) -> timedelta | None:
    """How long a feed may say nothing; None where it speaks only when something happens (event amounts).

    A feed that lists no channels has those of its decoder, which measure all the time.
    """
    gaps = []
    for channel in feed.channels:
        if channel.kind == "amount":
            if isinstance(channel.period, timedelta):
                gaps.append(4 * channel.period)
        else:
            gaps.append(4 * (channel.max_gap or timedelta()))
    if feed.channels and not gaps:
        return None
    return max(SILENT_AFTER, *gaps) if gaps else SILENT_AFTER


def common_calendar(zones: Iterable[str]) -> str:
    """A zone in which the start of every site's local day falls on that same day: so days and months of all sites add up.

    The one zone that all share, else a fixed offset as far east as the easternmost of them: points of a day stand at its start,
    and the start of a day further west is a few hours into the same date there.

    >>> common_calendar(["Europe/Berlin", "Europe/Berlin"]), common_calendar(["Asia/Seoul", "Europe/London"])
    ('Europe/Berlin', 'Etc/GMT-9')
    >>> common_calendar(["America/New_York", "America/Chicago"])
    'Etc/GMT+4'
    """
    names = sorted(set(zones))
    if len(names) == 1:
        return names[0]
    seasons = [datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 13)]
    offsets = [ZoneInfo(name).utcoffset(at) or timedelta() for name in names for at in seasons]
    east = -(-max(offsets) // timedelta(hours=1))
    return "UTC" if not east else f"Etc/GMT{'-' if east > 0 else '+'}{abs(east)}"
