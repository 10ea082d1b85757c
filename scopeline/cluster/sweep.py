"""The slow sweep: an hour of the horizon at a time, the store is compared with what the replica says, and corrected.

Nothing should ever differ: figures are told before offsets, and told again after an assignment. What does differ was deleted or
written by somebody else, or undone by a write that came late; the sweep finds it within horizon / 1 h x EVERY.
"""

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

import polars as pl

from scopeline.cluster.part import Part
from scopeline.cluster.replica import BEGINNING
from scopeline.cluster.tell import Teller

log = logging.getLogger(__name__)

EVERY = 300.0
"""Seconds between two hours of a partition."""
_HOUR = timedelta(hours=1)


class Sweep:
    """What is due of each partition, and the hour that comes next."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._due: dict[int, float] = {}
        self._next: dict[int, datetime] = {}

    def turn(
        self,
        parts: Iterable[Part],
        at: Callable[[Part], AbstractContextManager[None]],
        teller: Teller | None,
        horizon: timedelta,
    ) -> int:
        """Compare an hour of one partition, where one is due; how many figures differed. `at`: work on a part that may go."""
        for part in parts:
            due = self._due.setdefault(part.number, self._now() + EVERY)
            if teller is None or self._now() < due or part.behind or not part.caught_up:
                continue
            self._due[part.number] = self._now() + EVERY
            found = 0
            with at(part):
                found = self._hour(part, teller, horizon)
            return found
        return 0

    def _hour(self, part: Part, teller: Teller, horizon: timedelta) -> int:
        """The next hour, from the horizon to the newest reading and round again."""
        newest = part.replica.upkeep.state.clocks["newest"].max()
        windows = part.everything()
        if not isinstance(newest, datetime) or windows.is_empty():
            return 0
        since = part.replica.reach.complete_from  # before it the file may say less than the store, and rightly so
        first = max(newest - horizon, since or BEGINNING).replace(minute=0, second=0, microsecond=0)
        first += _HOUR if since else timedelta(0)
        hour = max(self._next.get(part.number, first), first)
        if hour > newest:
            hour = first
        self._next[part.number] = hour + _HOUR
        found = part.correct(teller, windows.with_columns(start=pl.lit(hour), end=pl.lit(hour + _HOUR)))
        log.debug("partition %d: hour %s compared with InfluxDB, %d figures differed", part.number, hour.isoformat(), found)
        return found
