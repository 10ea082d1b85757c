"""Records of Kafka as frames: whole fetches at a time where the client library lets us, otherwise record by record.

kafka-python makes several objects of each record, which costs more than much of what is done with it. `columnar` puts another
reader of fetched bytes (ingest.fetched) into one consumer; positions, seeking, pausing, rebalances and whatever is no plain data
stay the library's. What this needs of the library is not promised by it, so it is tried first, on bytes that the library itself
has made: where the two do not agree, the consumer stays as it is. No other module uses names that the library does not promise.
"""

import logging
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import polars as pl
from kafka import TopicPartition, codec
from kafka.consumer.fetcher import CompletedFetch, Fetcher
from kafka.consumer.subscription_state import SubscriptionState
from kafka.record import MemoryRecordsBuilder
from kafka.record.util import calc_crc32c

from ingest import fetched
from ingest.records import RECORDS, framed

log = logging.getLogger(__name__)

_CODECS: dict[int, Callable[[bytes], bytes]] = {
    1: codec.gzip_decode,
    2: codec.snappy_decode,
    3: codec.lz4_decode,
    4: codec.zstd_decode,
}


def columnar(consumer: Any) -> bool:
    """Let this consumer's `poll` give frames, for `gathered`; False where it goes on giving single records."""
    if not agrees():
        log.warning("this version of kafka-python is not known: records are read one by one, which takes more of a processor")
        return False
    consumer._fetcher.PartitionRecords = Columns
    return True


def gathered(polled: list[Any]) -> pl.DataFrame:
    """RECORDS of what a poll gave for one partition, frames or single records, in the order of the log."""
    frames: list[pl.DataFrame] = []
    single: list[Any] = []
    for one in polled:
        if isinstance(one, pl.DataFrame):
            frames += [framed(single), one] if single else [one]
            single = []
        else:
            single.append(one)
    if single:
        frames.append(framed(single))
    return pl.concat(frames) if frames else pl.DataFrame(schema=RECORDS)


class Piece:
    """What the library takes for a list of records: as long as they are many, and in it one frame."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __len__(self) -> int:
        return self._frame.height

    def __iter__(self) -> Iterator[pl.DataFrame]:
        return iter((self._frame,))


class Columns(Fetcher.PartitionRecords):
    """What was fetched of one partition; the library's own reader where ingest.fetched leaves it to that."""

    def __init__(self, fetch_offset: int, place: TopicPartition, records: Any, *given: Any, **options: Any) -> None:
        super().__init__(fetch_offset, place, records, *given, **options)
        self._found = fetched.read(records._buffer, calc_crc32c if self.check_crcs else None, _CODECS)
        if self._found is not None:
            self._left = self._found.records.filter(pl.col("offset") >= fetch_offset)

    def take(self, n: int | None = None) -> Any:
        """The next n records, or what there is; the position that follows them is the one that the library's reader has."""
        if self._found is None:
            return super().take(n)
        taken, self._left = self._left.head(n or self._left.height), self._left.slice(n or self._left.height)
        self.leader_epoch = self._found.leader_epoch
        self.records_read, self.bytes_read = self._found.records.height, self._found.size
        if taken.height:
            self.next_fetch_offset = taken.item(-1, "offset") + 1
        if n is None or taken.height < n:
            self.next_fetch_offset = self._found.next_offset
            self.drain()
        return Piece(taken)


@cache
def agrees() -> bool:
    """Whether the library is as this module needs it: both readers give the same records and positions of the same bytes."""
    try:
        data = _sample()
        here, there = (_taken(data, reader, 70) for reader in (Columns, Fetcher.PartitionRecords))
        return here == there and fetched.read(data, calc_crc32c, _CODECS) is not None
    except Exception:
        log.debug("kafka-python is not as it was", exc_info=True)
        return False


def _sample() -> bytes:
    """Two batches with what records may have, and one that was cut off."""
    batches = []
    for number in range(2):
        made = MemoryRecordsBuilder(2, 0, 1 << 20)
        for place in range(fetched.FEW):
            headers = [("topic", b"a/%d" % place), *([("retained", b"1")] if place % 3 else [("other", None)])]
            made.append(1_750_000_000_000 + 50 * place, b"key", None if place == 7 else b"value" * place, headers)
        made.close()
        data = bytearray(made.buffer())
        data[:8] = (1000 * number).to_bytes(8)  # the offset of its first record, which brokers write
        batches.append(bytes(data))
    return b"".join([*batches, batches[0][:300]])


def _taken(data: bytes, reader: Any, some: int) -> list[tuple[list[tuple[Any, ...]], int]]:
    """What the library's fetcher gives of fetched bytes, so many records at a time, and the position after each."""
    place, subscription = TopicPartition("sample", 0), SubscriptionState()
    subscription.assign_from_user([place])
    subscription.seek(place, 30)
    said = {"error_code": 0, "high_watermark": 2000, "diverging_epoch": None, "preferred_read_replica": -1}
    answer = SimpleNamespace(**said, records=data, aborted_transactions=None)
    fetcher = Fetcher(SimpleNamespace(_manager=SimpleNamespace(_net=None)), subscription, isolation_level="read_committed")
    fetcher.PartitionRecords = reader
    fetcher._completed_fetches.append(CompletedFetch(place, 30, 12, answer, None))
    found = []
    while polled := fetcher.fetched_records(some)[0].get(place):
        found.append((gathered(polled).rows(), subscription.position(place)))
    return found
