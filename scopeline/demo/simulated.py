"""Simulated meters and deliveries: the same for the same instant on every machine, so that a demo can be repeated.

A meter follows a pattern of five-minute slots that is drawn anew for each day from the meter's name and the date. Every day has
the same total, so a counter's value at an instant needs only its own day.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from math import fsum
from random import Random
from typing import NamedTuple

EPOCH = date(2024, 1, 1)
SLOT = timedelta(minutes=5)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
SLOTS = DAY // SLOT


class Meter(NamedTuple):
    """A simulated meter: its name seeds the pattern, `daily` is the amount of each day, `night` the load outside the shifts."""

    name: str
    daily: float
    night: float = 0.2

    def counter(self, at: datetime) -> float:
        """The ever rising total since EPOCH, in units of `daily`."""
        slot, into, shares = self._place(at)
        return self.daily * ((at.date() - EPOCH).days + fsum(shares[:slot]) + shares[slot] * into)

    def rate(self, at: datetime) -> float:
        """The flow an hour at an instant."""
        slot, _, shares = self._place(at)
        return self.daily * shares[slot] * SLOTS / 24

    def _place(self, at: datetime) -> tuple[int, float, tuple[float, ...]]:
        into_day = at - datetime(at.year, at.month, at.day, tzinfo=UTC)
        return into_day // SLOT, (into_day % SLOT) / SLOT, _shares(self.name, at.date(), self.night)


@lru_cache(maxsize=64)
def _shares(name: str, day: date, night: float) -> tuple[float, ...]:
    """How a day's amount falls on its slots: two shifts from 6 to 22 h, and a tenth of the shift's slots at rest."""
    draw = Random(f"{name} {day}")
    hours = (slot * 24 / SLOTS for slot in range(SLOTS))
    shift = [(draw.uniform(0.6, 1.4), draw.random() > 0.1) for _ in range(SLOTS)]
    loads = [load if works and 6 <= hour < 22 else night for hour, (load, works) in zip(hours, shift, strict=True)]
    total = fsum(loads)
    return tuple(load / total for load in loads)


class Delivery(NamedTuple):
    """One event: its number, when, and how much."""

    number: str
    at: datetime
    amount: float


class Deliveries(NamedTuple):
    """Events, one in each of `daily` equal parts of a day, each between `least` and `most`."""

    name: str
    daily: int
    least: float
    most: float
    digits: int = 1

    def between(self, start: datetime, end: datetime) -> Iterator[Delivery]:
        """The events after start, up to and with end, in their order."""
        part = DAY // MINUTE // self.daily
        day = start.date()
        while day <= end.date():
            draw = Random(f"{self.name} {day}")
            for place in range(self.daily):
                at = datetime(day.year, day.month, day.day, tzinfo=UTC) + (place * part + draw.randrange(part)) * MINUTE
                amount = round(draw.uniform(self.least, self.most), self.digits)
                if start < at <= end:
                    yield Delivery(f"{self.name}-{day:%Y%m%d}-{place + 1}", at, amount)
            day += DAY
