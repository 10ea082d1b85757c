"""Calendar periods at a place: quarter-hours, hours, days, months and years of a time zone, as UTC instants.

Days, months and years begin at the first instant of their first local day, so a day may have 23, 24 or 25 hours. Hours and
quarter-hours are those of the local clock, so that they add up to the local day; a change of the clock by half an hour (Lord
Howe) cuts an hour short.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from schemas.frames import TIME

PERIODS: Any = {"period": pl.String, "start": TIME, "end": TIME}
CLOCK = {"15m": 15, "1h": 60}
"""Intervals of the local clock, in minutes."""
CALENDAR = ("1d", "1mo", "1y")
_STEP = timedelta(minutes=15)
_SECOND = timedelta(seconds=1)


@lru_cache(maxsize=65536)
def day_start(day: date, zone: str) -> datetime:
    """The UTC instant at which a local day begins, also where the clock skips midnight.

    >>> day_start(date(2026, 3, 29), "Europe/Berlin").isoformat(), day_start(date(2018, 11, 4), "America/Sao_Paulo").isoformat()
    ('2026-03-28T23:00:00+00:00', '2018-11-04T03:00:00+00:00')
    """
    place = ZoneInfo(zone)
    midnight = datetime(day.year, day.month, day.day)
    early, late = sorted(midnight.replace(tzinfo=place, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early == late or early.astimezone(place).date() == day:
        return early
    while late - early > _SECOND:  # midnight is skipped: the day begins where the clock jumps
        middle = early + (late - early) // 2
        early, late = (early, middle) if middle.astimezone(place).date() >= day else (middle, late)
    return late.replace(microsecond=0)


def local_date(instant: datetime, zone: str) -> date:
    return instant.astimezone(ZoneInfo(zone)).date()


def periods(interval: str, zone: str, start: datetime, end: datetime) -> pl.DataFrame:
    """PERIODS of an interval that touch the UTC range from start (in) to end (out), whole ones, in order.

    >>> berlin = periods("1d", "Europe/Berlin", datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 30, 0, tzinfo=UTC))
    >>> [(p, (e - s) / timedelta(hours=1)) for p, s, e in berlin.rows()]
    [('2026-03-29', 23.0), ('2026-03-30', 24.0)]
    """
    if start >= end:
        return pl.DataFrame(schema=PERIODS)
    if interval == "all":
        return pl.DataFrame([("all", start, end)], schema=PERIODS, orient="row")
    if interval in CLOCK:
        return _clock(CLOCK[interval], zone, start, end)
    days = [_floor(local_date(start, zone), interval)]
    last = local_date(end - timedelta(microseconds=1), zone)
    while days[-1] <= last:
        days.append(_next(days[-1], interval))
    starts = [day_start(day, zone) for day in days]
    names = [day.isoformat()[: {"1y": 4, "1mo": 7, "1d": 10}[interval]] for day in days]
    rows = [(name, a, b) for name, a, b in zip(names, starts, starts[1:], strict=False) if a < b and b > start]
    return pl.DataFrame(rows, schema=PERIODS, orient="row")


def _floor(day: date, interval: str) -> date:
    return day.replace(day=1) if interval == "1mo" else day.replace(month=1, day=1) if interval == "1y" else day


def _next(day: date, interval: str) -> date:
    if interval == "1d":
        return day + timedelta(days=1)
    if interval == "1y" or day.month == 12:
        return date(day.year + 1, 1, 1)
    return date(day.year, day.month + 1, 1)


def _clock(minutes: int, zone: str, start: datetime, end: datetime) -> pl.DataFrame:
    """Hours or quarter-hours of the local clock, from a grid of instants that every offset of a zone in use divides."""
    first = start.astimezone(UTC).replace(minute=start.minute // 15 * 15, second=0, microsecond=0) - timedelta(hours=2)
    grid = pl.datetime_range(first, end + timedelta(hours=2), _STEP, time_unit="us", eager=True).alias("at")
    local = pl.col("at").dt.convert_time_zone(zone)
    offset = local.dt.base_utc_offset() + local.dt.dst_offset()
    frame = grid.to_frame().select_seq("at", local=local, offset=offset.dt.total_minutes())
    wall = pl.col("at").dt.epoch("s") // 60 + pl.col("offset")
    frame = frame.with_columns_seq(number=pl.struct("offset", wall // minutes).rle_id())
    found = (
        frame.group_by("number", maintain_order=True)
        .agg(pl.col("at", "local", "offset").first())
        .with_columns_seq(end=pl.col("at").shift(-1))
    )
    clock = pl.col("local").dt.strftime("%Y-%m-%dT%H:%M:%S")
    sign = pl.when(pl.col("offset") < 0).then(pl.lit("-")).otherwise(pl.lit("+"))
    size = pl.col("offset").abs()
    hours, rest = (x.cast(pl.String).str.zfill(2) for x in (size // 60, size % 60))
    found = found.select_seq(period=clock + sign + hours + ":" + rest, start="at", end="end")
    return found.filter((pl.col("end") > start) & (pl.col("start") < end))
