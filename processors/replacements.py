"""Where the meters table replaces a device: the instant, and what the old and the new device showed then."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from schemas.source import MeterRow


class Replacement(NamedTuple):
    old: MeterRow
    new: MeterRow
    until: datetime  # end of the old device
    at: datetime  # start of the new one
    last: Decimal | None  # last_reading of the old
    first: Decimal | None  # first_reading of the new


_EARLIEST = datetime.min.replace(tzinfo=UTC)


def instant(text: str, zone: str) -> datetime:
    """A day or time of the meters table in UTC; without an offset it is in the site's zone (a repeated hour: the earlier).

    >>> instant("2026-03-01", "Europe/Berlin").isoformat(), instant("2026-03-01T09:00:00+01:00", "UTC").isoformat()
    ('2026-02-28T23:00:00+00:00', '2026-03-01T08:00:00+00:00')
    """
    found = datetime.fromisoformat(text.strip())
    return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def replacements(rows: Sequence[MeterRow], zone: str) -> list[Replacement]:
    """Replacements among the rows of one meter's channel, by time: the next row with another device or feed, or one that states
    a reading (the device stayed, its counter changed). A row for the channel wins over one for the whole device.

    >>> row = {"feed": "f", "meter": "s/p"}
    >>> old = MeterRow(**row, device="a", valid_from="2026-01-01", last_reading="80.5")
    >>> new = MeterRow(**row, device="b", valid_from="2026-03-01", first_reading="2")
    >>> [(swap.at.isoformat(), swap.last, swap.first) for swap in replacements([new, old], "UTC")]
    [('2026-03-01T00:00:00+00:00', Decimal('80.5'), Decimal('2'))]
    """
    since: dict[tuple[datetime, str, str], MeterRow] = {}
    for row in sorted(rows, key=lambda row: row.channel is not None):
        since[_start(row, zone), row.feed, row.device] = row
    chain = [since[key] for key in sorted(since)]
    found = []
    for old, new in pairwise(chain):
        at, other = _start(new, zone), (old.feed, old.device) != (new.feed, new.device)
        if at > _EARLIEST and (other or old.last_reading is not None or new.first_reading is not None):
            until = min(instant(old.valid_to, zone), at) if old.valid_to else at
            found.append(Replacement(old, new, until, at, old.last_reading, new.first_reading))
    return found


def _start(row: MeterRow, zone: str) -> datetime:
    return instant(row.valid_from, zone) if row.valid_from else _EARLIEST
