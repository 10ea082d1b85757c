"""Sums of what changed in a partition are told when nothing more comes just now, else now and then: a worker that is busy tells
them once for many batches. What is left is said beside the committed offset, so that a new holder goes on there.
"""

import math
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import polars as pl

from scopeline.cluster.replica import Replica
from scopeline.cluster.tell import Teller

EVERY = 10.0
"""Seconds after which sums are told also while more messages come."""
_DAY = timedelta(days=1)


class Summing:
    """offsets: of raw and ref from which on the sums were not told; since: the place of the notes from which they are told next;
    clocks: site -> its clock when they were told."""

    def __init__(self, offsets: list[int], since: int, clocks: Mapping[str, datetime]) -> None:
        self.offsets, self.since, self.clocks = offsets, since, clocks
        self._told = -math.inf

    def due(self, idle: bool) -> bool:
        return idle or time.monotonic() - self._told > EVERY

    def tell(
        self,
        teller: Teller,
        replica: Replica,
        changed: pl.DataFrame | None,
        offsets: list[int],
        clocks: Mapping[str, datetime],
    ) -> None:
        """Of what changed `since` (FIGURE_KEY, lost; None: as noted), up to these offsets and clocks. What a clock passes that
        was never told of begins a day ago."""
        passed = {site: (self.clocks.get(site, now - _DAY), now) for site, now in clocks.items() if self.clocks.get(site) != now}
        teller.sums(replica, replica.log.changes(self.since) if changed is None else changed, passed)
        self.offsets, self.since, self.clocks, self._told = offsets, offsets[0], clocks, time.monotonic()

    def tell_of(self, teller: Teller, replica: Replica, meters: Iterable[str]) -> None:
        """Of what changed those that these meters can have changed, without waiting for the others."""
        sources = replica.upkeep.state.dependents.sources
        mine = sorted({source for name in meters for source in sources.get(name, ())})
        teller.sums(replica, replica.log.changes(self.since).filter(pl.col("source").is_in(mine)), {})
