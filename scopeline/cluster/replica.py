"""The figures of some partitions of the log, in one data file: a cache that can be made again from log, carry and archive.

What is in the file is a function of the messages applied to it, whatever their order, so a replica that was rebuilt, extended
or restarted says the same as one that was not.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import polars as pl

from schemas.frames import MESSAGES, READINGS, empty, shaped
from schemas.plant import Plant
from scopeline import pipeline
from scopeline.cluster.carry import Carried
from scopeline.cluster.changes import NotingLog
from scopeline.cluster.complete import Older, Reach, Stopping
from scopeline.cluster.keep import Broken, History, NotingUpkeep, OfSites, Sites, alike, differs
from scopeline.corrections import edited, feeds_read
from scopeline.log import StateError, Store
from scopeline.log.tables import METERS
from scopeline.upkeep import units_seen
from scopeline.worker import unreadable

log = logging.getLogger(__name__)

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)
"""How much earlier than its observed_at a message may have been received: more than any clock that `accept` lets through."""
_MOST = 250_000
_PAUSES = (0.5, 1, 2, 5, 10)
Answer = TypeVar("Answer")


class Replica:
    """One data file. Not thread-safe: one thread applies; readers take cursors (`store`)."""

    def __init__(
        self,
        file: Path,
        configuration: pipeline.Configuration,
        history: History | None = None,
        breathe: Callable[[], None] = lambda: None,
        stop: threading.Event | None = None,
        sites: Sites | None = None,
    ) -> None:
        """history: what lies before the messages that were applied (None: nothing does). breathe: called amid long work.
        sites: whose readings are kept (None: all); a message can speak of several sites, and is logged for each.
        """
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._history, self._breathe, self._stop = history, breathe, stop or threading.Event()
        self.log = NotingLog(file)
        try:
            self._load(configuration, sites)
        except BaseException:
            self.close()
            raise

    def _load(self, configuration: pipeline.Configuration, sites: Sites | None) -> None:
        self.store = Store(self.log)
        self.problem: str | None = None
        self.offsets: dict[str, int] = self.store.fact("offsets", {})
        self.reach = Reach(self.store)
        steps: Any = pipeline if sites is None else OfSites(sites)
        self.upkeep = NotingUpkeep(self.log, steps, self._needs)
        seen = units_seen(self.store.meters())
        self.upkeep.load(pipeline.configure(configuration.plant, configuration.catalogue, seen, configuration))
        self._remember(configuration)
        if begun := self.store.fact("extending"):
            self.extend(datetime.fromisoformat(begun["at"]))

    def close(self) -> None:
        self.log.close()

    @property
    def configuration(self) -> pipeline.Configuration:
        found: pipeline.Configuration = self.upkeep.state.configuration
        return found

    def _needs(self, wanted: pl.DataFrame) -> None:
        self.reach.check(wanted, self.upkeep.state.meters)

    # messages ------------------------------------------------------------------------------------------------------------
    def apply(self, messages: pl.DataFrame, offsets: Mapping[str, int], noting: bool = True) -> None:
        """Commit messages (MESSAGES without places, in the log's order) with all they change, and where the log goes on.

        offsets: name -> offset to be read next, merged into those known. noting: whether the store must be told.
        """
        ahead = {**self.offsets, **offsets}
        self.log.noting = noting
        name = ",".join(sorted(offsets))

        def advance(more: int) -> None:
            done = self.store_within.fact("done", {})
            count = done.get(name, 0) + more
            if count >= messages.height:
                self.log.set("offsets", ahead)
                count -= messages.height
            if count or done.get(name):
                self.log.set("done", {**done, name: count})

        left = messages[self.store_within.fact("done", {}).get(name, 0) :]  # a batch that was cut off is in the file up to there
        for part in alike(left, _MOST):
            self._add(part, advance)
            self._breathe()
        if left.is_empty():
            self._within(lambda: advance(0))
        self.offsets = ahead
        self._catch_up()

    def _add(self, messages: pl.DataFrame, also: Callable[[int], None] = lambda _: None) -> None:
        """A message that breaks the computation is found by halving and goes into quarantine alone.

        also: told in the transaction how many messages it commits.
        """
        try:
            self._complete(lambda: self._store(messages, False, also))
        except Broken as broken:
            if messages.height == 1:
                log.error(
                    "a message of %s cannot be computed and goes into quarantine", messages["topic"][0], exc_info=broken.__cause__
                )
                self._complete(lambda: self._store(messages, True, also))
                return
            log.error("%d messages cannot be computed; trying their halves", messages.height, exc_info=broken.__cause__)
            half = messages.height // 2
            self._add(messages[:half], also)
            self._add(messages[half:], also)

    def _store(self, messages: pl.DataFrame, poison: bool, also: Callable[[int], None]) -> None:
        first = int(self.store_within.fact("position", 0)) + 1
        placed = shaped(messages.with_columns(message=pl.int_range(first, first + messages.height, dtype=pl.Int64)), MESSAGES)
        try:
            read = unreadable(placed, "see the log") if poison else self.upkeep.steps.read(placed, self.configuration)
            self.upkeep.add(placed, read)
        except (duckdb.Error, Older):
            raise
        except Exception as error:
            raise Broken from error
        self.log.set("position", placed["message"][-1])
        also(messages.height)

    @property
    def store_within(self) -> Store:
        """The store as the open transaction sees it."""
        return self.upkeep.store

    def _complete(self, action: Callable[[], Answer]) -> Answer:
        """Do something in one transaction; where it needs older readings than the file has, fetch these first."""
        while True:
            try:
                return self._within(action)
            except Older as older:
                self.extend(older.at)

    def extend(self, at: datetime) -> None:
        """Load what history has of the time since `at`, so that readings observed from then on are complete.

        What it says of the past has been told already, so nothing of it is noted.
        """
        if self.reach.complete_from is None or at >= self.reach.complete_from:
            return
        begun = self.store.fact("extending") or {"at": at.isoformat(), "done": 0}
        if begun["at"] != at.isoformat():  # one that was cut off comes first
            self.extend(datetime.fromisoformat(begun["at"]))
            return self.extend(at)
        since = max(at - AHEAD, BEGINNING) if at > BEGINNING else BEGINNING
        until = self.store.fact("history_from")
        fresh = pl.col("received_at") >= since
        fresh &= pl.col("received_at") < datetime.fromisoformat(until) if until else True
        log.info("reading the archive back to %s", since.isoformat(timespec="minutes"))

        def also(more: int) -> None:
            done = (self.store_within.fact("extending") or {"done": 0})["done"]
            self.log.set("extending", {"at": at.isoformat(), "done": done + more})

        noting, lenient, known = self.log.noting, self.reach.lenient, begun["done"]
        self.log.noting, self.reach.lenient = False, True
        try:
            for messages in self._history(self.store.fact("first_offset", 0), since) if self._history else ():
                new = messages.filter(fresh)
                known, new = max(0, known - new.height), new[known:]
                for part in alike(new, _MOST):
                    self._add(part, also)
                    self._breathe()
            self._within(lambda: self._extended(at, since))
        finally:
            self.log.noting, self.reach.lenient = noting, lenient

    def _extended(self, at: datetime, since: datetime) -> None:
        self.log.set("history_from", since.isoformat())
        self.log.set("extending", None)
        self.reach.extended(self.log, None if at <= BEGINNING else at)

    # configuration -------------------------------------------------------------------------------------------------------
    def configure(self, plant: Plant, version: str) -> int:
        """Put another plant in force; how many figures changed. What it changes of the past is read from the archive."""
        if differs(self.store, self.upkeep.state, plant):
            self.extend(BEGINNING)
        self.log.noting = True
        change = self._complete(lambda: edited(self.upkeep, plant, version))
        return change.figures + sum(self._catch_up().values())

    def settle(self) -> None:
        """Compute what an edit left when the process ended."""
        self.log.noting = True
        self._catch_up()

    def _remember(self, configuration: pipeline.Configuration) -> None:
        """A new file is made under this configuration."""
        if self.store.fact("feeds") is None:
            self._within(lambda: self.log.set("feeds", feeds_read(configuration.plant)))
            self._within(lambda: self.log.set("base_us", configuration.base_us))

    def _catch_up(self) -> dict[str, int]:
        """Compute what an edit or a correction has left, part by part."""
        counts: dict[str, int] = {}
        while self.upkeep.state.pending.height:
            for source, n in self._complete(self.upkeep.catch_up).items():
                counts[source] = counts.get(source, 0) + n
            self._breathe()
        return counts

    def note(self, key: str, value: Any) -> None:
        """Remember a small fact."""
        self._within(lambda: self.log.set(key, value))

    # transactions --------------------------------------------------------------------------------------------------------
    def _within(self, action: Callable[[], Answer]) -> Answer:
        """One transaction; while the disk refuses, it is tried again, and `problem` says so."""
        tries = 0
        while True:
            state = self.upkeep.state
            self.log.place = self.offsets.get("raw", 0)
            try:
                with self.log.transaction():
                    answer = action()
                self.problem = None
                return answer
            except duckdb.Error as error:
                self.problem = f"nothing can be stored in {self.log.path}: {str(error).splitlines()[0]}"
                log.error("%s", self.problem)
                self.upkeep.rolled_back(state)
                if self._stop.wait(_PAUSES[min(tries, len(_PAUSES) - 1)]):
                    raise Stopping from None
                tries += 1
                self._breathe()
                self._reopen()
            except BaseException:
                self.upkeep.rolled_back(state)
                raise

    def _reopen(self) -> None:
        try:
            self.log.reopen()
            self.upkeep.reopened()
        except (duckdb.Error, StateError) as again:
            log.error("the data file cannot be opened again: %s", again)

    def whole(self, action: Callable[[], Answer]) -> Answer:
        """Do something that may look at all of history, in one transaction, and compute what it leaves."""
        answer = self._complete(action)
        self._catch_up()
        return answer

    # beginning -----------------------------------------------------------------------------------------------------------
    def start_all(self, offsets: Mapping[str, int], whole: bool) -> None:
        """A new file of several partitions begins at these offsets; whole: nothing lies before them."""

        def put() -> None:
            self.log.set("offsets", dict(offsets))
            self.log.set("firsts", dict(offsets))
            self.reach.begun(self.log, None if whole else datetime.now(UTC), empty(READINGS))

        self._within(put)
        self.offsets = dict(offsets)

    def start(self, offset: int, complete_from: datetime | None, carried: Carried | None = None) -> None:
        """A new file begins at an offset. complete_from: observed_at from which the log says everything (None: from the first
        message on); carried: what is known of the time before."""

        def put() -> None:
            if carried:
                self.log.append("meters", shaped(carried.meters, METERS))
                self.log.append("readings", shaped(carried.readings, READINGS))
            self.log.set("offsets", {"raw": offset})
            self.log.set("first_offset", offset)
            self.reach.begun(self.log, complete_from, carried.readings if carried else empty(READINGS))

        self._within(put)
        self.offsets = {"raw": offset}
        if carried:
            seen, was = units_seen(carried.meters), self.configuration
            self.upkeep.load(pipeline.configure(was.plant, was.catalogue, seen, was))
        self._within(self.upkeep.begin)
