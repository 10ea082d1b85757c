"""What came before: the messages of a partition up to an offset, from the archive and, where it has not got to yet, from Kafka.

Each message once, in the order of the log, in bounded memory; all of it or HistoryMissing, never a part without a word.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from kafka import KafkaConsumer, TopicPartition

from ingest.records import UNPACKED, decode
from schemas.connections import Archive, Kafka
from scopeline.cluster.archive_files import Opened, checked, stream
from scopeline.cluster.archive_index import Damaged, Entry, Index, Key, Range, cover
from scopeline.cluster.kafka import consumer
from scopeline.cluster.reach import KafkaProblem, needed, reaching
from scopeline.cluster.topics import LARGEST, topics
from scopeline.cluster.vault import Missing, Vault, VaultProblem, vault

_ROWS, _BYTES = 100_000, 32 << 20
"""A frame is given on when it has so many rows or bytes."""
_STILL = 60.0
"""Seconds without a record after which Kafka counts as unreachable."""
_TRIES = 3
"""A file that has gone may have been merged: the index is read again, so often for one place."""


class HistoryMissing(Exception):
    """Messages that are needed are neither in the archive nor in Kafka; the text names them, and the remedy."""


class History:
    """Reads the raw topic's past. Not for use by several threads at once."""

    def __init__(self, kafka: Kafka, archive: Archive, plant_dir: Path, topic: str | None = None) -> None:
        self._kafka, self._plant_dir = kafka, plant_dir
        self._topic = topic or topics(kafka).raw
        self._place: Vault = vault(archive, plant_dir)

    def archived(self, partition: int) -> int:
        """The first offset that the archive does not hold yet; 0 where it holds nothing."""
        return Index(self._place, self._topic, partition).end() or 0

    def before(self, partition: int, offset: int, since: datetime) -> Iterator[pl.DataFrame]:
        """Messages with smaller offsets, received at `since` or later, as frames (ingest.records.UNPACKED: COLUMNS and offset).

        A frame holds whole records. Raises HistoryMissing, VaultProblem (the archive's place), KafkaProblem.
        """
        since = since.astimezone(UTC)
        done, tries = 0, 0
        while done < offset:
            index = Index(self._place, self._topic, partition)
            before = done
            try:
                for one in cover(index.keys(), done, offset):
                    for frame in self._range(index, one, partition, since):
                        wanted = frame.filter(pl.col("received_at") >= since, pl.col("topic").is_not_null())
                        done = int(frame["offset"][-1]) + 1
                        if wanted.height:
                            yield wanted.select(UNPACKED.keys())
                    done = one.end
                return
            except (Missing, Damaged) as problem:  # merged meanwhile? The index then says where it is now
                tries = tries + 1 if done == before else 0
                if tries >= _TRIES:
                    raise HistoryMissing(f"{problem}. {_RESTORE}") from problem

    def _range(self, index: Index, one: Range, partition: int, since: datetime) -> Iterator[pl.DataFrame]:
        if one.key is None:
            after = min((key for key in list(index.keys()) if key.start >= one.end), default=None)
            yield from self._log(partition, one.start, one.end, since, after)
        elif one.key.last_day >= since.date():
            with ExitStack() as opened:
                try:
                    files = self._open(index.load(one.key), one, since, opened)
                except (Missing, Damaged):
                    if self._retained(partition) > one.start:
                        raise
                    files = None
                if files is None:  # a damaged file harms nobody while Kafka still has its messages
                    yield from self._log(partition, one.start, one.end, since, None)
                else:
                    yield from _gathered(stream(files, one.start, one.end))

    def _open(self, entry: Entry, one: Range, since: datetime, opened: ExitStack) -> list[Opened]:
        """All files of a range, checked before any message of it is given."""
        wanted = [p for p in entry.pieces if p.day >= since.date() and p.last >= one.start and p.first < one.end]
        return [Opened(piece, opened.enter_context(checked(self._place, piece))) for piece in wanted]

    def _retained(self, partition: int) -> int:
        place = TopicPartition(self._topic, partition)
        with reaching(self._kafka, self._topic):
            client = self._client()
            try:
                return int(client.beginning_offsets([place])[place])
            finally:
                client.close()

    def _client(self) -> KafkaConsumer:
        settings = consumer(self._kafka, self._plant_dir) | {"auto_offset_reset": "none", "max_partition_fetch_bytes": LARGEST}
        client = KafkaConsumer(**settings)
        needed(client, self._topic)
        return client

    def _log(self, partition: int, start: int, end: int, since: datetime, after: Key | None) -> Iterator[pl.DataFrame]:
        """[start, end) from Kafka. after: the archive's next entry; what is lost before it counts where it may be newer."""
        place = TopicPartition(self._topic, partition)
        with reaching(self._kafka, self._topic):
            client = self._client()
        try:
            with reaching(self._kafka, self._topic):
                client.assign([place])
                first, last = client.beginning_offsets([place])[place], client.end_offsets([place])[place]
            if last < end:
                raise HistoryMissing(
                    f"{self._topic}, partition {partition}: there are no offsets {max(start, last)} to {end - 1}: the topic "
                    f"ends before {last}, so it was made anew. Choose another kafka.prefix, or delete the workers' state."
                )
            if first >= end:
                kept = datetime.now(UTC) - self._kafka.retention  # what Kafka dropped by itself was older than this
                if after.first_day >= since.date() if after else since < kept:
                    raise self._lost(partition, start, end)
                return
            client.seek(place, max(start, first))
            lost = first > start
            while client.position(place) < end:
                with reaching(self._kafka, self._topic):
                    records = client.poll(timeout_ms=round(_STILL * 1000)).get(place, [])
                    at = client.position(place)
                if not records and at < end:
                    raise KafkaProblem(f"{self._topic}, partition {partition}: no record in {_STILL:.0f} s. Is Kafka well?")
                frame = decode([record for record in records if record.offset < end]).messages
                if lost and frame.height and frame["received_at"][0] >= since:
                    raise self._lost(partition, start, first)
                lost = lost and not frame.height
                if frame.height:
                    yield frame
        finally:
            client.close()

    def _lost(self, partition: int, start: int, end: int) -> HistoryMissing:
        return HistoryMissing(
            f"{self._topic}, partition {partition}: the offsets {start} to {end - 1} are no longer in Kafka and not in the "
            f"archive {self._place.where}. {_RESTORE}"
        )


_RESTORE = (
    "Restore the archive from its backup. "
    "Let `scopeline archive --follow` run all the time, and choose kafka.retention longer than it may ever stand still"
)


def _gathered(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Small frames joined."""
    held: list[pl.DataFrame] = []
    rows = size = 0
    for frame in frames:
        held.append(frame)
        rows, size = rows + frame.height, size + int(frame.estimated_size())
        if rows >= _ROWS or size >= _BYTES:
            yield pl.concat(held)
            held, rows, size = [], 0, 0
    if held:
        yield pl.concat(held)


__all__ = ["History", "HistoryMissing", "KafkaProblem", "VaultProblem"]
