"""Opens the partitions that a worker is given: with the state it has, or from the horizon, the carry topic and the archive."""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
from kafka import TopicPartition
from kafka.partitioner.default import murmur2

from ingest.routing import keys
from schemas.plant import Plant
from scopeline.cluster.carry import read
from scopeline.cluster.history import History
from scopeline.cluster.horizon import decoded_offsets
from scopeline.cluster.part import Part
from scopeline.cluster.replica import AHEAD, BEGINNING, Replica
from scopeline.log import DamagedState, damaged
from scopeline.log.opening import first_line

if TYPE_CHECKING:
    from scopeline.cluster.process import Process

log = logging.getLogger(__name__)


class Assigner:
    """wanted: partitions assigned and not open yet. Opening happens between polls, never inside the library's callback."""

    def __init__(self, process: "Process", consumer: Any) -> None:
        self._process, self._consumer = process, consumer
        self.wanted: set[int] = set()

    def open(self) -> set[int]:
        """Open what is wanted, and seek to where it goes on; which partitions these are."""
        opened = set()
        while self.wanted:
            number = min(self.wanted)
            self.wanted.discard(number)
            place = TopicPartition(self._process.names.raw, number)
            if place not in self._consumer.assignment():
                continue
            part = self._open(number, place)
            self._process.parts[number] = part
            self._consumer.seek(place, part.position)
            opened.add(number)
            log.info("partition %d: at %d, committed %d", number, part.position, part.committed)
        return opened

    def _open(self, number: int, place: TopicPartition) -> Part:
        process = self._process
        said = self._consumer.committed(place, metadata=True)
        meta = decoded_offsets(said.metadata) if said else {}
        committed = said.offset if said else 0
        start = self._consumer.beginning_offsets([place])[place]
        file = process.state / "partitions" / f"{process.names.raw}-{number}.duckdb"
        replica = self._replica(file, number)
        if replica.offsets and replica.offsets.get("raw", 0) < start:
            log.warning("partition %d: the state is older than the log, it is made again", number)
            replica.close()
            put_away(file)
            replica = self._replica(file, number)
        if not replica.offsets:
            self._begin(replica, number, place, meta, start, committed)
        fence = process.fence_s
        part = Part(number, replica, committed, meta, fence)
        process.adopt(part)
        return part

    def _replica(self, file: Path, number: int) -> Replica:
        process = self._process
        partitions = len(self._consumer.partitions_for_topic(process.names.raw) or ())

        def sites(plant: Plant) -> list[str]:
            return [site for site, key in keys(plant).items() if partition_of(key, partitions) == number]

        given = (process.configuration, self._history(number), process.breathe, process.stopping, sites)
        try:
            return Replica(file, *given)
        except (DamagedState, duckdb.Error) as error:
            if not isinstance(error, DamagedState) and not damaged(error):
                raise
            log.error("partition %d: %s is damaged (%s) and is made again from the log", number, file, first_line(error))
            put_away(file)
            return Replica(file, *given)

    def _history(self, number: int) -> Callable[[int, datetime], Iterator[pl.DataFrame]]:
        def before(first: int, since: datetime) -> Iterator[pl.DataFrame]:
            process = self._process
            yield from History(process.kafka, process.archive, process.plant_dir).before(number, first, since)

        return before

    def _begin(
        self, replica: Replica, number: int, place: TopicPartition, meta: dict[str, Any], start: int, committed: int
    ) -> None:
        """A file without state: from the horizon with what was carried over, or from the beginning of the log."""
        at = meta.get("carry")
        if at is None:
            replica.start(start, None if start == 0 else datetime.now(UTC))
            if start:
                replica.extend(BEGINNING)
            return
        horizon = datetime.fromisoformat(at)
        found = self._consumer.offsets_for_times({place: round(horizon.timestamp() * 1000)})[place]
        told = min(committed, meta.get("sums", [committed])[0])
        first = max(min(found.offset, told) if found else told, start)
        log.info("partition %d: no state, reading the log again from %s (offset %d)", number, horizon.isoformat(), first)
        if first == 0:
            replica.start(0, None)
        else:
            replica.start(first, horizon + AHEAD, read(self._process.kafka, self._process.plant_dir, number))


def put_away(file: Path) -> None:
    """Make room for a state that is made again; the one there was stays beside it, for whoever wants to know why."""
    file.replace(file.with_suffix(".old"))
    file.with_name(f"{file.name}.wal").unlink(missing_ok=True)


def partition_of(key: str, partitions: int) -> int:
    """The partition to which Kafka's producers send a key.

    >>> partition_of("duisburg", 12)
    6
    """
    found: int = (murmur2(key.encode()) & 0x7FFFFFFF) % partitions
    return found
