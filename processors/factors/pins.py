"""Pins and spans: which version serves which days, which row of a yearly set serves which year."""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from itertools import pairwise

from processors.factors.edition import Edition
from processors.factors.factor import Factor, Span

Pin = str | Mapping[int, str]
Pins = Mapping[str, Pin]
"""Set -> version for every year, or activity year -> version."""


def pinned(pin: Pin) -> list[tuple[date | None, date | None, str]]:
    """(first day, last day, version) of a pin; neighbouring years of one version are one span.

    >>> pinned({2025: "2025", 2026: "2025"})
    [(datetime.date(2025, 1, 1), datetime.date(2026, 12, 31), '2025')]
    """
    if isinstance(pin, str):
        return [(None, None, pin)]
    found: list[tuple[date | None, date | None, str]] = []
    for year, version in sorted((int(y), v) for y, v in pin.items()):
        if found and found[-1][2] == version and found[-1][1] == date(year - 1, 12, 31):
            found[-1] = (found[-1][0], date(year, 12, 31), version)
        else:
            found.append((date(year, 1, 1), date(year, 12, 31), version))
    return found


def dated(of: Edition, found: list[Factor], start: date | None, end: date | None) -> list[Span]:
    """One span a factor; yearly rows: each from its year until the next, the last one open."""
    if not of.yearly or (len(found) == 1 and found[0].valid_from is None):
        return [Span(start, end, factor) for factor in found]
    spans = []
    for name in dict.fromkeys(without_year(f) for f in found):
        rows = sorted((f for f in found if without_year(f) == name), key=lambda f: f.valid_from or date.min)
        for row, following in zip(rows, [*rows[1:], None], strict=True):
            last = following.valid_from - timedelta(days=1) if following and following.valid_from else None
            first = max(filter(None, (row.valid_from, start)), default=None)
            last = min(filter(None, (last, end)), default=None)
            if not (first and last and first > last):
                spans.append(Span(first, last, row))
    return spans


def without_year(factor: Factor) -> str:
    """The id of a yearly row without its year."""
    return re.sub(r"-\d{4}$", "", factor.id)


def overlapping(found: list[Span]) -> tuple[Factor, ...]:
    """Factors of spans that overlap."""
    ordered = sorted(found, key=by_start)
    for before, after in pairwise(ordered):
        if before.end is None or after.start is None or after.start <= before.end:
            return tuple(s.factor for s in ordered if s.covers(max(filter(None, (before.start, after.start)), default=date.min)))
    return ()


def by_start(span: Span) -> date:
    """For sorting: an open span comes first."""
    return span.start or date.min


def frozen(pins: Pins) -> tuple:
    """Pins as a hashable value."""
    return tuple(sorted((k, v if isinstance(v, str) else tuple(sorted(v.items()))) for k, v in pins.items()))
