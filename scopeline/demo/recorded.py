"""The recorded telemetry that ships with Scopeline, moved to any day by a whole number of weeks.

Origin and licence: telemetry/ORIGIN.md.
"""

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from importlib.resources import files
from typing import NamedTuple

KOREA = timezone(timedelta(hours=9))
QUARTER = timedelta(minutes=15)
HOUR = timedelta(hours=1)
YEAR = timedelta(weeks=52)


class Recorded(NamedTuple):
    """One value of a recorded series; `value` is the text as published."""

    at: datetime
    value: str


def _rows(name: str) -> Iterator[list[str]]:
    packed = files("scopeline.demo").joinpath("telemetry", name).read_bytes()
    rows = csv.reader(gzip.decompress(packed).decode().splitlines())
    next(rows)
    return rows


def quarter_end(text: str) -> datetime:
    """The end of a steel works' quarter-hour from its published stamp, whose midnight carries the day that just ended.

    >>> quarter_end("1/1/2018 23:45").isoformat(), quarter_end("1/1/2018 0:00").isoformat()
    ('2018-01-01T23:45:00+09:00', '2018-01-02T00:00:00+09:00')
    """
    at = datetime.strptime(text, "%d/%m/%Y %H:%M").replace(tzinfo=KOREA)
    return at if at.hour or at.minute else at + timedelta(days=1)


@cache
def steel() -> tuple[Recorded, ...]:
    """The steel works' 35,040 quarter-hours of 2018, kWh, `at` their ends."""
    return tuple(Recorded(quarter_end(date), kwh) for date, kwh in _rows("steel_2018_quarter_hours.csv.gz"))


@cache
def intensity() -> tuple[Recorded, ...]:
    """Great Britain's grid intensity in the hours of 2024, g CO2/kWh, `at` their starts."""
    return tuple(Recorded(datetime.fromisoformat(at), value) for at, value in _rows("gb_intensity_2024_hours.csv.gz"))


def moved(series: tuple[Recorded, ...], step: timedelta, start: datetime, end: datetime) -> Iterator[Recorded]:
    """What a series says between start (excluded) and end (included), as if its year came again every 52 weeks.

    >>> later = datetime(2025, 12, 22, tzinfo=KOREA)  # 8 x 52 weeks after the first Monday of 2018
    >>> [r.value for r in moved(steel(), QUARTER, later, later + 2 * QUARTER)] == [r.value for r in steel()[:2]] == ["3.17", "4"]
    True
    """
    first = series[0].at
    at = first + ((start - first) // step + 1) * step
    while at <= end:
        shift = ((at - first) // YEAR) * YEAR
        yield Recorded(at.astimezone(UTC), series[(at - shift - first) // step].value)
        at += step
