"""A Kafka partition that this worker holds: its replica, how far the store has been told, and what a new holder must do first.

After an assignment the replica catches up to the committed offset without telling (the holder before has told it), then tells
every figure changed at or after it, and compares with the store once more after the fence delay: a delayed write of the holder
before cannot be fenced by InfluxDB.
"""

import json
import logging
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from ingest.records import decode
from schemas.frames import empty
from scopeline import windows
from scopeline.cluster.carry import Carrier, Sender, meter_of
from scopeline.cluster.changes import TOUCHED
from scopeline.cluster.failpoint import failpoint
from scopeline.cluster.horizon import horizon
from scopeline.cluster.replica import BEGINNING, Replica
from scopeline.cluster.summing import Summing
from scopeline.cluster.tell import Teller, events_since, readings_since, traffic_since
from scopeline.log.tables import loaded

log = logging.getLogger(__name__)

_DAY = timedelta(days=1)
_NEVER = 1 << 62


class Gone(Exception):
    """The partition has been given to another worker; nothing of it may be told any more."""


class Part:
    """One partition."""

    def __init__(self, number: int, replica: Replica, committed: int, meta: dict[str, Any], fence: float) -> None:
        """committed: the group's offset, meta: what was committed with it; fence: seconds until the second look."""
        self.number, self.replica, self.committed, self.meta = number, replica, committed, meta
        self.carrier = Carrier(number)
        self.gone = False
        self.ours = -math.inf  # when the group last confirmed that (monotonic seconds)
        self.refused = 0
        self.messages = 0
        self._ref_told = int(meta.get("ref", 0))
        # messages whose readings were told; None: up to those that are still to be applied without telling
        self._looked: int | None = replica.store.fact("looked", 0) if self.caught_up else None
        self._clocks: dict[str, datetime] = {}
        self._new = True
        # this file knows reference readings with which the figures up to the committed offset were not told: they are told again
        self._ahead = self.ref_position > self._ref_told
        summed = meta.get("sums", [committed, self._ref_told])
        whole = self._ahead or summed[1] < self._ref_told
        known = self.caught_up and self.position == committed
        self.sums = Summing(summed, 0 if whole else summed[0], self._clocks_now() if known else {})
        self._carried = 0  # messages of the file whose late readings and events were carried
        self._fence: float | None = time.monotonic() + fence
        self._since = empty(TOUCHED)  # what has been computed and told since the assignment

    @property
    def position(self) -> int:
        """The offset to be applied next."""
        return self.replica.offsets.get("raw", 0)

    @property
    def ref_position(self) -> int:
        return self.replica.offsets.get("ref", 0)

    @property
    def caught_up(self) -> bool:
        return self.position >= self.committed and self.references

    @property
    def references(self) -> bool:
        """Whether the reference readings are here with which the figures up to the committed offset were told."""
        return self.ref_position >= self._ref_told

    @property
    def takes_references(self) -> bool:
        """Whether `take_ref` has a use for the next reference readings; new ones wait until the data is caught up."""
        return not self.references or self.caught_up

    @property
    def behind(self) -> bool:
        """Whether something was applied that the group's offset does not say."""
        return self.caught_up and (self.position != self.committed or self.commit_meta() != self.meta)

    def commit_meta(self) -> dict[str, Any]:
        """What is committed with the offset."""
        found: dict[str, Any] = {"ref": self.ref_position, "plant": self.replica.store.fact("plant")}
        if horizon := self.replica.store.fact("carry"):
            found["carry"] = horizon
        if self.unsummed:
            found["sums"] = self.sums.offsets
        return found

    @property
    def unsummed(self) -> bool:
        """Whether something was applied whose sums were not told."""
        return self.sums.offsets != [self.position, self.ref_position]

    @property
    def meta_committed(self) -> str:
        """What the group has, for a commit that changes nothing."""
        return json.dumps(self.meta, separators=(",", ":"))

    @property
    def fence_due(self) -> bool:
        return self._fence is not None and self.caught_up and time.monotonic() >= self._fence

    def aged(self, span: timedelta) -> bool:
        """Whether the file holds more than twice what a worker without state would read: then it is made again, and small."""
        if not self.caught_up or self.behind or self._fence is not None or self.replica.store.fact("carry") is None:
            return False
        first = self.replica.log.asked("SELECT min(received_at) AS at FROM messages")["at"].item()
        newest = self.replica.upkeep.state.clocks["newest"].max()
        return first is not None and isinstance(newest, datetime) and newest - first.replace(tzinfo=UTC) > 2 * span + _DAY

    # taking --------------------------------------------------------------------------------------------------------------
    def take(self, records: pl.DataFrame) -> None:
        """Apply RECORDS of the raw topic, which follow those before; new ones wait for the references (see `position`)."""
        for some, noting in self._split(records, self.position, self.sums.offsets[0], self.committed, self.references):
            self._apply(some, {"raw": some.item(-1, "offset") + 1}, noting or self._ahead)

    def take_ref(self, records: pl.DataFrame) -> None:
        """Apply RECORDS of the reference topic, which begin no later than at `ref_position` where the part `takes_references`.

        What the holder before had not told waits until the data is caught up.
        """
        for some, noting in self._split(records, self.ref_position, self.sums.offsets[1], self._ref_told, self.caught_up):
            self._apply(some, {"ref": some.item(-1, "offset") + 1}, noting)

    @staticmethod
    def _split(records: pl.DataFrame, start: int, summed: int, told: int, new: bool) -> Iterator[tuple[pl.DataFrame, bool]]:
        """Records from an offset on, and whether what they change is noted: not what the holder before told, sums and all.

        told: what comes from there on is applied apart, since notes say where a batch began, and only where `new`.
        """
        edges = [start, max(start, min(summed, told)), max(start, told), _NEVER if new else max(start, told)]
        for first, end, noting in zip(edges, edges[1:], (False, True, True), strict=False):
            if (some := records.filter(pl.col("offset").is_between(first, end, closed="left"))).height:
                yield some, noting

    def _apply(self, records: pl.DataFrame, offsets: dict[str, int], noting: bool) -> None:
        messages, refused = decode(records)
        for offset, reason in refused:
            self.refused += 1
            log.error("record %d of partition %d holds no messages (%s); it is left out", offset, self.number, reason)
        if noting and self._looked is None:
            self._looked = self.replica.store.position()
            self.replica.note("looked", self._looked)
            self.sums.clocks = self._clocks_now()
        self.messages += messages.height
        self.replica.apply(messages.drop("offset"), offsets, noting)
        failpoint("process:after_apply")

    # telling -------------------------------------------------------------------------------------------------------------
    def tell(self, teller: Teller, idle: bool = True) -> None:
        """Everything that changed and is not confirmed; sums when nothing more comes just now, else now and then."""
        if not self.caught_up:
            return
        since = 0 if self._ahead else self.committed
        changed = self.replica.log.changes(since)
        clocks = self._clocks_now()
        passed = {site: now for site, now in clocks.items() if self._clocks.get(site) != now}
        failpoint("process:before_write")
        teller.figures(self.replica, changed)
        edited = self.meta.get("plant") != self.replica.store.fact("plant")
        if edited or self.sums.due(idle):
            known = changed if self.sums.since >= since else None
            self.sums.tell(teller, self.replica, known, [self.position, self.ref_position], clocks)
        if self._new and edited and self.meta.get("plant") is not None:
            self._compare_all(teller)
        self._new = False
        if self._looked is not None:
            self._tell_messages(teller, self._looked)
        teller.clocks(passed)
        failpoint("process:after_write")
        self._clocks = clocks
        if self._fence is not None:
            base = timedelta(microseconds=self.replica.configuration.base_us)
            keys = changed.select("source", start="interval_start", end=pl.col("interval_start") + base)
            told = [self._since, self.replica.log.touched(since), keys]
            self._since = windows.merged(pl.concat(told), by="source")

    def _clocks_now(self) -> dict[str, datetime]:
        return dict(self.replica.upkeep.state.clocks.iter_rows())

    def _compare_all(self, teller: Teller) -> None:
        """Another plant folder came in force while nobody held the partition: all of history may be computed otherwise."""
        self.replica.extend(BEGINNING)
        self.correct(teller, self.everything())
        teller.reconcile(self.replica)

    def _tell_messages(self, teller: Teller, since: int) -> None:
        """Readings, events and counts of the messages after a place."""
        newest = self.replica.store.position()
        if newest == since:
            return
        readings = readings_since(self.replica, since)
        teller.readings(readings)
        teller.events(events_since(self.replica, since))
        oldest = self.replica.log.asked("SELECT min(received_at) AS at FROM messages WHERE message > ?", [since])["at"].item()
        if oldest is not None:
            teller.traffic(traffic_since(self.replica, oldest.replace(second=0, microsecond=0), self.number))
        self._looked = newest

    def carry(self, sender: Sender, span: timedelta, teller: Teller) -> None:
        """Send what a worker without state would need, before offsets that rely on it; of that, sums are told first."""
        replica, newest = self.replica, self.replica.upkeep.state.clocks["newest"].max()
        place = replica.store.position()
        if not isinstance(newest, datetime) or place == self._carried:
            return
        known, now = replica.store.fact("carry"), horizon(newest, span)
        before = datetime.fromisoformat(known) if known else None
        records = [*self.carrier.events(replica.log, self._carried)]
        if before is None or now > before:
            records += self.carrier.records(replica.log, now)
        else:
            sql = "SELECT DISTINCT meter FROM readings WHERE message > ? AND observed_at < ?"
            late = replica.log.asked(sql, [self._carried, before.replace(tzinfo=None)])["meter"].to_list()
            records += self.carrier.records(replica.log, before, late) if late else ()
        if records and self.unsummed:
            self.sums.tell_of(teller, self.replica, {meter_of(key) for key, _ in records})
        sender.send(self.number, records)
        if before is None or now > before:
            replica.note("carry", now.isoformat())
        self._carried = place

    def confirmed(self) -> None:
        """The group's offset says what the replica says."""
        self.committed, self.meta = self.position, self.commit_meta()
        self.replica.log.told(min(self.committed, self.sums.since))
        self._ahead = False
        if self._looked is not None:
            self.replica.note("looked", self._looked)

    # the second look -----------------------------------------------------------------------------------------------------
    def fence(self, teller: Teller) -> int | None:
        """After the fence delay: compare what was told since the assignment with the store, and tell what differs; how many.

        Not only the figures that changed here: what a holder before had told may have been undone by what came after it.
        """
        if not self.fence_due:
            return None
        self._fence, told = None, self._since
        self._since = empty(TOUCHED)
        return self.correct(teller, told) if told.height else 0

    def correct(self, teller: Teller, told: pl.DataFrame) -> int:
        """Compare the store with the replica in these windows (source, start, end), tell what differs; how many."""
        found = 0
        for sources, first, end in _ranges(told):
            start = first
            while start < end:
                until = min(start + _DAY, end)
                other = teller.compare(self.replica, sources, start, until)
                other = windows.within(other, told, "interval_start", by="source")
                if other.height:
                    teller.figures(self.replica, other)
                    teller.sums(self.replica, other, {})
                    found += other.height
                start = until
        if found:
            log.warning("partition %d: %d figures in InfluxDB differed and are written again", self.number, found)
        return found

    def everything(self) -> pl.DataFrame:
        """The windows of all figures, for `correct`."""
        sql = 'SELECT source, min(interval_start) AS start, max(interval_start) AS "end" FROM figures GROUP BY source'
        base = timedelta(microseconds=self.replica.configuration.base_us)
        return loaded(self.replica.log.asked(sql), TOUCHED).with_columns(pl.col("end") + base)

    def meta_text(self) -> str:
        return json.dumps(self.commit_meta(), separators=(",", ":"))

    def close(self) -> None:
        self.replica.close()


def _ranges(told: pl.DataFrame) -> list[tuple[list[str], datetime, datetime]]:
    """(sources, start, end) that hold these windows, sources of like windows together."""
    grouped = told.group_by(pl.col("start").dt.truncate("1d").alias("day"), pl.col("end").dt.truncate("1d").alias("last")).agg(
        pl.col("source").unique(), a=pl.col("start").min(), b=pl.col("end").max()
    )
    return [(sorted(sources), a, b) for sources, a, b in grouped.select("source", "a", "b").iter_rows()]
