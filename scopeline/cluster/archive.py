"""The raw log to Parquet for good: a consumer that writes files by site and day, and commits offsets only when they are durable.

The order is what keeps the promise: files, read back and equal; then the index entry that names them; then the offsets. Killed
anywhere, the next one goes on where the index ends, and what was written without an entry is read by nobody.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import polars as pl
from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition, errors

from ingest.records import decode
from schemas.connections import Archive, Kafka
from scopeline.cluster.archive_files import FILE, write
from scopeline.cluster.archive_index import Entry, Index, Key
from scopeline.cluster.archive_merge import merge, tidy
from scopeline.cluster.failpoint import failpoint
from scopeline.cluster.kafka import consumer
from scopeline.cluster.reach import PATIENCE_MS, needed, reaching
from scopeline.cluster.topics import LARGEST, topics
from scopeline.cluster.vault import Vault, vault

log = logging.getLogger(__name__)

EVERY = 300.0
"""Seconds after which what was read is written, however little it is. Until then it is in Kafka, where `History` reads it."""
_BYTES = 64 << 20
"""Bytes of records after which it is written at once: what the archiver holds in memory, about."""
_MERGE, _LOOK = 3600.0, 10.0
"""Seconds between two merges of days that are over, and between two looks at the lag."""
_TAKEN = (errors.CommitFailedError, errors.IllegalGenerationError, errors.UnknownMemberIdError, errors.RebalanceInProgressError)
_SESSION_MS = 15_000
UNKEYED = "unkeyed"
"""Site of records that another program wrote without a key."""


METRICS = {
    "scopeline_archive_messages_total": ("counter", "Messages written to the archive."),
    "scopeline_archive_files_total": ("counter", "Files written to the archive."),
    "scopeline_archive_last_write_timestamp_seconds": ("gauge", "When the archiver last wrote what its partitions had (Unix)."),
    "scopeline_archive_lag_records": ("gauge", "Records of a partition that are in Kafka and not in the archive yet."),
}
"""Name -> type and help, as docs/metrics.md lists them."""


class _Held:
    """What was read of one partition and is not written yet."""

    def __init__(self, start: int) -> None:
        self.start = self.end = start
        self.records: list[Any] = []


class Archiver:
    """Moves the raw and the reference topic into the archive. `run` until told to stop, or `once` up to the present end.

    member: a name of its own, by which it gets its partitions back at once when it starts again after a crash.
    Raises KafkaProblem and VaultProblem: nothing is committed then, and the next one goes on.
    """

    def __init__(
        self,
        kafka: Kafka,
        archive: Archive,
        plant_dir: Path,
        every: float = EVERY,
        member: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.messages = self.files = 0
        self._wrote = 0.0
        self._lag: dict[tuple[str, int], int] = {}
        self._looked = float("-inf")
        self._kafka, self._every, self._now = kafka, every, now
        self.place: Vault = vault(archive, plant_dir)
        self.place.prepare()
        self._tidied: set[TopicPartition] = set()
        self._held: dict[TopicPartition, _Held] = {}
        self._changes: deque[tuple[bool, TopicPartition]] = deque()
        self._bytes, self._since, self._merged = 0, time.monotonic(), float("-inf")
        named = topics(kafka)
        with reaching(kafka, named.raw):
            settings = consumer(kafka, plant_dir) | {"group_id": f"{kafka.prefix}.archive", "max_partition_fetch_bytes": LARGEST}
            settings |= {"bootstrap_timeout_ms": PATIENCE_MS, "group_instance_id": member, "session_timeout_ms": _SESSION_MS}
            self._consumer = KafkaConsumer(**settings)
            for topic in (named.raw, named.ref):
                needed(self._consumer, topic)
            self._consumer.subscribe([named.raw, named.ref], listener=_Listener(self._changes))
            self._consumer.topics()  # who joins before it knows the partitions joins once more as soon as it does

    def run(self, stop: Event) -> None:
        """Archive until `stop` is set; what was read is written before it returns."""
        while not stop.is_set():
            self.step(0.5)
        self.flush()

    def once(self, stop: Event | None = None) -> None:
        """Archive all that is in the log now, and merge the days that are over; ends earlier when `stop` is set."""
        stop = stop or Event()
        while not self._held and not stop.is_set():
            self.step(0.2)
        with reaching(self._kafka, topics(self._kafka).raw):
            ends = self._consumer.end_offsets(list(self._held)) if self._held else {}
        while not stop.is_set() and any(self._held[place].end < end for place, end in ends.items() if place in self._held):
            self.step(0.2)
        self.flush()
        if not stop.is_set():
            self.merge()

    def step(self, timeout: float) -> None:
        """Take what has come, and write when it is time."""
        with reaching(self._kafka, topics(self._kafka).raw):
            found = self._consumer.poll(timeout_ms=round(timeout * 1000))
            began = self._begin()
            for place, held in self._held.items():
                if place in began:
                    continue
                records = found.get(place, [])
                held.records += records
                held.end = self._consumer.position(place)
                self._bytes += sum(len(record.value or b"") for record in records)
        if self._bytes >= _BYTES or time.monotonic() - self._since >= self._every:
            self.flush()
        if time.monotonic() - self._looked >= _LOOK:
            self._lag, self._looked = self.lag(), time.monotonic()
        if self._held and time.monotonic() - self._merged >= max(_MERGE, self._every):
            self.merge()

    def flush(self) -> None:
        """Write what was read: files, then index, then offsets."""
        for place, held in list(self._held.items()):
            if held.end > held.start:
                self._write(place, held)
                failpoint("archive:after_index")
                self._held[place] = _Held(held.end)
                self._commit(place, held.end)
                failpoint("archive:after_commit")
        self._bytes, self._since = 0, time.monotonic()
        if self._held:
            self._wrote = self._now().timestamp()

    def merge(self) -> None:
        """The small files of days that are over become one by site, day and partition."""
        for place in list(self._held):
            today = self._now().astimezone(UTC).date()
            merge(self.place, place.topic, place.partition, today)
            if place not in self._tidied:
                tidy(self.place, place.topic, place.partition, today)
                self._tidied.add(place)
        self._merged = time.monotonic()

    def lag(self) -> dict[tuple[str, int], int]:
        """By topic and partition: how many offsets of the log are not in the archive yet."""
        with reaching(self._kafka, topics(self._kafka).raw):
            ends = self._consumer.end_offsets(list(self._held)) if self._held else {}
        return {(place.topic, place.partition): int(ends[place]) - self._held[place].start for place in ends}

    @property
    def problems(self) -> list[str]:
        """Why it is not ready: it has no partition yet. Everything else ends it."""
        return [] if self._held else ["no partition is assigned yet"]

    @property
    def metrics(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Name (of METRICS) -> labels and value; of the last look, so that it may be asked from any thread."""
        found: dict[str, list[tuple[dict[str, str], float]]] = {
            "scopeline_archive_messages_total": [({}, self.messages)],
            "scopeline_archive_files_total": [({}, self.files)],
            "scopeline_archive_last_write_timestamp_seconds": [({}, self._wrote)],
        }
        lags = [({"topic": topic, "partition": str(number)}, float(lag)) for (topic, number), lag in self._lag.items()]
        return found | {"scopeline_archive_lag_records": lags}

    def close(self) -> None:
        self._consumer.close(autocommit=False)

    def _write(self, place: TopicPartition, held: _Held) -> None:
        frame = rows(held.records, place.partition)
        parts = frame.partition_by("site", "day", as_dict=True)
        pieces = tuple(
            write(self.place, place.topic, str(site), day, [part.select(*FILE)])
            for (site, day), part in sorted(parts.items(), key=str)
        )
        failpoint("archive:after_files")
        today = self._now().astimezone(UTC).date()
        days = [piece.day for piece in pieces] or [today]
        key = Key(held.start, held.end, min(days), max(days), False)
        Index(self.place, place.topic, place.partition).save(Entry(key, pieces))
        self.messages, self.files = self.messages + frame.height, self.files + len(pieces)

    def _commit(self, place: TopicPartition, end: int) -> None:
        with reaching(self._kafka, place.topic):
            try:
                self._consumer.commit({place: OffsetAndMetadata(end, "", -1)})
            except _TAKEN as error:  # another one has the partition now, and goes on from the index or from what was committed
                log.warning("%s, partition %d has gone to another archiver (%s)", *place, type(error).__name__)

    def _begin(self) -> set[TopicPartition]:
        """Take up what a rebalance has brought; the partitions that are to be read from where the archive ends."""
        began = set()
        while self._changes:
            assigned, place = self._changes.popleft()
            self._held.pop(place, None)  # not written and not committed: whoever has it now reads it again
            began.discard(place)
            if assigned:
                began.add(place)
        for place in began:
            known = Index(self.place, place.topic, place.partition).end()
            committed = self._consumer.committed(place) or 0
            if known is None and committed:
                log.warning("%s, partition %d: offsets up to %d were archived, and the archive is empty", *place, committed)
            start = max(committed, known or 0, self._consumer.beginning_offsets([place])[place])
            self._consumer.seek(place, start)
            self._held[place] = _Held(start)
        return began


class _Listener(ConsumerRebalanceListener):
    """Notes what a rebalance does; runs where the client may not be asked."""

    def __init__(self, changes: deque[tuple[bool, TopicPartition]]) -> None:
        self._changes = changes

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._changes.extend((True, place) for place in assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._changes.extend((False, place) for place in revoked)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._changes.extend((False, place) for place in lost)


def rows(records: list[Any], partition: int) -> pl.DataFrame:
    """Records as rows of a file (FILE), with their site (the record's key) and day (UTC, of received_at).

    A record that holds no message of ours is kept as it is: its value as payload, topic null.
    """
    messages, refused = decode(records)
    values = {record.offset: record for record in records}
    foreign = pl.DataFrame(
        [
            {"payload": values[one.offset].value or b"", "received_at": values[one.offset].timestamp * 1000, "offset": one.offset}
            for one in refused
        ],
        schema={"payload": pl.Binary, "received_at": pl.Int64, "offset": pl.Int64},
    ).with_columns(pl.col("received_at").clip(0).cast(pl.Datetime("us", "UTC")), retained=pl.lit(False))
    sites = pl.DataFrame(
        {"offset": list(values), "site": [(one.key or b"").decode("utf-8", "replace") or UNKEYED for one in values.values()]},
        schema={"offset": pl.Int64, "site": pl.String},
    )
    return (
        pl.concat([messages, foreign], how="diagonal")
        .sort("offset", maintain_order=True)
        .with_columns(
            partition=pl.lit(partition, dtype=pl.Int32),
            row=pl.int_range(pl.len(), dtype=pl.Int32).over("offset"),
            day=pl.col("received_at").dt.date(),
        )
        .join(sites, on="offset", how="left", maintain_order="left")
    )
