"""What people ask for: time range, interval, grouping, filter and basis of figures; the same from command line and HTTP."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, cast, get_args
from zoneinfo import ZoneInfo

from processors.periods import CLOCK
from schemas.plant import Plant
from schemas.scalars import duration_text
from schemas.source import SCOPE_CATEGORIES, Method

Interval = Literal["base", "15m", "1h", "1d", "1mo", "1y", "all"]
Basis = Literal["location", "market", "both"]
Format = Literal["csv", "parquet", "xlsx", "json"]

INTERVALS: tuple[Interval, ...] = ("base", "15m", "1h", "1d", "1mo", "1y", "all")
BASES: tuple[Basis, ...] = ("location", "market", "both")
FORMATS: tuple[Format, ...] = ("csv", "parquet", "xlsx", "json")
GROUPS = ("site", "source", "component", "scope", "category")
FILTERS = (*GROUPS, "method", "instrument")
_WORDS: dict[str, tuple[str, ...]] = {
    "scope": ("1", "2", "3", "none"),
    "category": tuple(dict.fromkeys(name for names in SCOPE_CATEGORIES.values() for name in names)),
    "method": get_args(Method),
    "instrument": ("ppa", "certificate", "supplier", "residual_mix", "grid_average"),
}
"""Columns whose words are a closed list, for `where`."""
DEFAULT_GROUP = ("site", "source", "scope", "category")
_TIME_REMEDY = "Write a year (2026), a month (2026-03), a day (2026-03-29) or an instant (2026-03-29T10:00:00Z)."


class QueryError(ValueError):
    """An argument that cannot be used: which, and what to write in its place."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}. {remedy}")
        self.message, self.remedy = message, remedy


class NotThere(LookupError):
    """Something that was asked for by its name is not there: what, and where to look."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy


def candidates(name: str, known: Iterable[str], what: str) -> str:
    """What could have been meant: all names where there are few, else the nearest.

    >>> candidates("boiler", ["press", "boiler-1"], "Sources")
    'Sources are: boiler-1, press.'
    >>> candidates("press-77", [f"press-{n}" for n in range(80)], "Sources")
    'Sources like it: press-77, press-7, press-79, press-78.'
    """
    names = sorted(known)
    if len(names) <= 12:
        return f"{what} are: {', '.join(names)}." if names else f"{what}: there are none yet."
    near = get_close_matches(name, names, 4, 0.5)
    return f"{what} like it: {', '.join(near)}." if near else f"{what} are: {', '.join(names[:4])} and {len(names) - 4} more."


class Moment(NamedTuple):
    """A point in time as asked for: an instant, or a local wall time that each site reads in its own zone."""

    text: str
    at: datetime  # with tzinfo: an instant; without: local wall time

    def instant(self, zone: str) -> datetime:
        """The UTC instant in a site's zone.

        >>> moment("2026-03", "from").instant("Europe/Berlin").isoformat()
        '2026-02-28T23:00:00+00:00'
        """
        if self.at.tzinfo is not None:
            return self.at.astimezone(UTC)
        return self.at.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def moment(text: str, key: str) -> Moment:
    """Read `2026`, `2026-03`, `2026-03-29`, `2026-03-29T10:00` (local) or an RFC 3339 instant.

    >>> moment("2026", "from").at.isoformat(), moment("2026-03-29T10:00:00+02:00", "to").at.isoformat()
    ('2026-01-01T00:00:00', '2026-03-29T08:00:00+00:00')
    """
    text = text.strip()
    try:
        if found := re.fullmatch(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?", text):
            return Moment(text, datetime(int(found[1]), int(found[2] or 1), int(found[3] or 1)))
        if re.match(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}", text):
            # a "+" in a URL arrives as a blank: 10:00:00 02:00
            read = datetime.fromisoformat(re.sub(r"(?<=\d) (?=\d{2}:?\d{2}$)", "+", text) if text.count(":") > 2 else text)
            return Moment(text, read.astimezone(UTC) if read.tzinfo else read)
    except (ValueError, OverflowError):
        pass
    raise QueryError(f"{key}={text!r} is no time", _TIME_REMEDY)


def instant(text: str, key: str, zone: str = "UTC") -> datetime:
    """The same, as a UTC instant at once."""
    return moment(text, key).instant(zone)


class Filter(NamedTuple):
    column: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class FigureQuery:
    """One question to the figures. Immutable; `arguments()` is its canonical text, the same for the same question."""

    start: Moment
    end: Moment
    interval: Interval = "1d"
    group_by: tuple[str, ...] = DEFAULT_GROUP
    where: tuple[Filter, ...] = ()
    basis: Basis = "both"
    consolidated: bool = False

    def window(self, zone: str) -> tuple[datetime, datetime]:
        """The UTC range at a site of this zone: from inclusive, to exclusive."""
        return self.start.instant(zone), self.end.instant(zone)

    def windows(self, plant: Plant) -> dict[str, tuple[datetime, datetime]]:
        """Site -> UTC range, of the sites that the filter leaves."""
        kept = next((f.values for f in self.where if f.column == "site"), None)
        sites = [s for s in plant.settings.sites if kept is None or s.site in kept]
        return {s.site: self.window(s.timezone) for s in sites}

    def arguments(self) -> dict[str, str]:
        """The question as text, for URLs and for the export's meta file."""
        given = {
            "from": self.start.text,
            "to": self.end.text,
            "interval": self.interval,
            "group_by": ",".join(self.group_by),
            "where": ",".join(f"{f.column}={v}" for f in self.where for v in f.values),
            "basis": self.basis,
            "consolidated": "true" if self.consolidated else "",
        }
        return {name: value for name, value in given.items() if value}


def _words(given: str | Sequence[str] | None) -> list[str]:
    """Split `a,b` and repeated options alike; blanks around words do not count."""
    texts = [given] if isinstance(given, str) else list(given or ())
    return [word.strip() for text in texts for word in text.split(",") if word.strip()]


def _one_of(key: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise QueryError(f"{key}={value!r} is not known", f"Use one of: {', '.join(allowed)}.")
    return value


def _groups(given: str | Sequence[str] | None, tags: Sequence[str]) -> tuple[str, ...]:
    words = _words(given)
    if not words:
        return DEFAULT_GROUP
    if words == ["none"]:
        return ()
    for word in words:
        _one_of("group_by", word, (*GROUPS, *tags))
    return tuple(dict.fromkeys(words))


def _filters(given: str | Sequence[str] | None, tags: Sequence[str]) -> tuple[Filter, ...]:
    """`site=a,scope=2,scope=3`: words of one column are alternatives, columns narrow each other."""
    found: dict[str, list[str]] = {}
    for word in _words(given):
        column, sign, value = word.partition("=")
        if not sign or not value.strip():
            raise QueryError(f"where={word!r} is no condition", "Write column=value, like site=duisburg or scope=2.")
        column, value = _one_of("where", column.strip(), (*FILTERS, *tags)), value.strip()
        if column in _WORDS:
            _one_of(f"where: {column}", value, _WORDS[column])
        if value not in found.setdefault(column, []):
            found[column].append(value)
    return tuple(Filter(column, tuple(sorted(found[column]))) for column in sorted(found))


def figure_query(
    plant: Plant,
    start: str | None,
    end: str | None,
    interval: str | None = None,
    group_by: str | Sequence[str] | None = None,
    where: str | Sequence[str] | None = None,
    basis: str | None = None,
    consolidated: bool = False,
) -> FigureQuery:
    """Read and check the arguments of a question; raises QueryError with the remedy.

    Periods of the past 10,000 days at 15 minutes are fine; a range that ends before it starts is not.
    """
    if not start or not end:
        raise QueryError(
            f"{'to' if start else 'from'} is missing", "Say from when (inclusive) to when (exclusive). " + _TIME_REMEDY
        )
    tags = [f"tag_{tag}" for tag in plant.settings.tags]
    first, last = moment(start, "from"), moment(end, "to")
    query = FigureQuery(
        first,
        last,
        cast(Interval, _one_of("interval", interval or "1d", INTERVALS)),
        _groups(group_by, tags),
        _filters(where, tags),
        cast(Basis, _one_of("basis", basis or "both", BASES)),
        consolidated,
    )
    base = plant.settings.reporting.base_interval
    if query.interval in CLOCK and timedelta(minutes=CLOCK[query.interval]) % base:
        problem = f"interval={query.interval} is no multiple of the plant's base interval of {duration_text(base)}"
        raise QueryError(problem, "Ask for 1h or longer, or set reporting: base_interval in plant.yaml.")
    known = {s.site for s in plant.settings.sites}
    for chosen in query.where:
        if chosen.column == "site" and (strange := sorted(set(chosen.values) - known)):
            raise QueryError(f"site {strange[0]!r} is not in plant.yaml", f"Sites are: {', '.join(sorted(known))}.")
    if any(begin >= stop for begin, stop in (query.window(s.timezone) for s in plant.settings.sites)):
        raise QueryError(
            f"from={start} is not before to={end}", "from is inclusive, to is exclusive: one month is 2026-03 to 2026-04."
        )
    return query


def file_format(given: str | None, name: str) -> Format:
    """The format asked for, else the one of the file's ending.

    >>> file_format(None, "march.xlsx"), file_format("csv", "march.txt")
    ('xlsx', 'csv')
    """
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    if not given and ending not in FORMATS:
        raise QueryError(f"{name!r} has no known ending", f"Give the file one of .{', .'.join(FORMATS)}, or say --format.")
    return cast(Format, _one_of("format", given or ending, FORMATS))


def chunks(
    start: datetime, end: datetime, zone: str, rows_a_day: int, limit: int = 400_000
) -> Iterable[tuple[datetime, datetime]]:
    """Cut a UTC range into whole local days of about `limit` rows, so that a year streams in constant memory.

    >>> a, b = datetime(2026, 3, 27, 23, tzinfo=UTC), datetime(2026, 3, 30, 22, tzinfo=UTC)
    >>> [(x.isoformat()[5:13], y.isoformat()[5:13]) for x, y in chunks(a, b, "Europe/Berlin", 300_000)]
    [('03-27T23', '03-28T23'), ('03-28T23', '03-29T22'), ('03-29T22', '03-30T22')]
    """
    days = max(1, limit // max(1, rows_a_day))
    begin = start
    while begin < end:
        local: date = begin.astimezone(ZoneInfo(zone)).date() + timedelta(days=days)
        stop = datetime(local.year, local.month, local.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        yield begin, min(stop, end)
        begin = stop


def local(at: datetime, zone: str) -> str:
    """A time for people: local, to the second, with its zone.

    >>> local(datetime(2026, 7, 1, 10, tzinfo=UTC), "Europe/Berlin")
    '2026-07-01 12:00:00 CEST'
    """
    return at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S %Z")


def common_zone(zones: Iterable[str]) -> str:
    """The time zone in which to show what belongs to several sites: theirs if they share one, else UTC.

    >>> common_zone(["Europe/Berlin", "Europe/Berlin"]), common_zone(["Asia/Seoul", "Europe/London"])
    ('Europe/Berlin', 'UTC')
    """
    found = set(zones)
    return found.pop() if len(found) == 1 else "UTC"


def rfc3339(value: Any) -> str:
    """A UTC time as the exchange formats write it, shortest fraction.

    >>> rfc3339(datetime(2026, 1, 1, tzinfo=UTC)), rfc3339(datetime(2026, 1, 1, 0, 0, 0, 500000, tzinfo=UTC))
    ('2026-01-01T00:00:00Z', '2026-01-01T00:00:00.5Z')
    """
    if value is None:
        return ""
    utc = value.astimezone(UTC)
    fraction = f".{utc.microsecond:06d}".rstrip("0") if utc.microsecond else ""
    return utc.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"
